"""Parts of the host missing, broken or stopped: administrators get in, nobody else gains anything."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from machine.clients import SERVICE
from machine.people import PASSWORD_ONLY
from tests.hosts import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.host import Host

ADMIN_SECONDS = 5
MISSING = "mv {path} {path}.away"
GARBAGE = "cp -p {path} {path}.away; echo garbage > {path}"
SHORT = "cp -p {path} {path}.away; truncate -s 5 {path}"
PROGRAMS = "/usr/lib/amrgate"
BREAKS = {
    "account program missing": (f"{PROGRAMS}/account", MISSING),
    "account program is no program": (f"{PROGRAMS}/account", GARBAGE),
    "account program may not run": (
        f"{PROGRAMS}/account",
        "cp -p {path} {path}.away; chmod 644 {path}",
    ),
    "hook missing": (f"{PROGRAMS}/principals", MISSING),
    "hook is no program": (f"{PROGRAMS}/principals", GARBAGE),
    "hook's package missing": (f"{PROGRAMS}/lib", MISSING),
    "all programs missing": (PROGRAMS, MISSING),
    "revocation list missing": ("/etc/amrgate/revoked.krl", MISSING),
    "revocation list garbage": ("/etc/amrgate/revoked.krl", GARBAGE),
    "revocation list short": ("/etc/amrgate/revoked.krl", SHORT),
    "authorities missing": ("/etc/amrgate/user_ca.pub", MISSING),
    "authorities garbage": ("/etc/amrgate/user_ca.pub", GARBAGE),
    "bundle missing": ("/var/lib/amrgate/policy/bundle", MISSING),
    "bundle garbage": ("/var/lib/amrgate/policy/bundle", GARBAGE),
    "bundle short": ("/var/lib/amrgate/policy/bundle", SHORT),
    "statement missing": ("/var/lib/amrgate/policy/fresh", MISSING),
    "verdict folder missing": ("/run/amrgate/verdict", MISSING),
    "verdict folder another's": (
        "/run/amrgate/verdict",
        "mv {path} {path}.away; mkdir -m 700 {path}; chown nobody {path}",
    ),
}


@pytest.fixture(params=BREAKS)
def broken(host: Host, request: pytest.FixtureRequest) -> Iterator[None]:
    path, how = BREAKS[request.param]
    host.certify("alice")
    assert host.admits("alice"), "before"
    host.machine.check("sh", "-c", how.format(path=path))
    yield
    host.machine.check("sh", "-c", f"rm -rf {path}; mv {path}.away {path}")
    assert host.admits("alice"), "afterwards"


@pytest.mark.attack(200, 38)
@pytest.mark.usefixtures("broken")
def test_a_broken_part(host: Host) -> None:
    result = host.ssh("alice", "echo in")

    assert (result.status, result.out) == (255, "")
    assert host.admin_login() < ADMIN_SECONDS


def userdb(host: Host, signal: str) -> None:
    host.machine.check("pkill", f"-{signal}", "-u", "amrgate-userdb")


@pytest.mark.attack(200)
@pytest.mark.parametrize("signal", ["STOP", "KILL"])
def test_the_user_database_is_stopped_or_killed_and_comes_back(host: Host, signal: str) -> None:
    host.require("mfa")
    host.certify("alice")
    host.certify("carol", PASSWORD_ONLY)
    userdb(host, signal)

    assert host.admin_login() < ADMIN_SECONDS
    deadline = time.monotonic() + 10
    while not host.admits("alice"):
        assert time.monotonic() < deadline
    assert not host.admits("carol")


@pytest.mark.attack(200)
def test_without_a_user_database(host: Host) -> None:
    host.certify("alice")
    host.machine.check("pkill", "-KILL", "-f", "[s]shd-hook userdb")

    took = host.admin_login()
    admitted = host.admits("alice")
    host.start_user_database()

    assert took < ADMIN_SECONDS
    assert not admitted
    assert host.admits("alice")


@pytest.mark.attack(200)
def test_an_account_program_that_hangs_holds_up_no_administrator(host: Host) -> None:
    host.certify("alice")
    path = host.machine.path(f"{PROGRAMS}/account")
    before = path.read_text()
    path.write_text("#!/bin/sh\nexec sleep 30\n")
    try:
        with host.machine.popen(
            ("ssh", f"{SERVICE}@ssh.acme.example", "echo in"), user="alice"
        ) as waiting:
            wait_for(lambda: host.machine.run("pgrep", "-x", "sleep").status == 0)
            took = host.admin_login()
            host.machine.check("pkill", "-x", "sleep")
            out, _ = waiting.communicate()
    finally:
        path.write_text(before)

    assert took < ADMIN_SECONDS
    assert out == ""


@pytest.mark.attack(54)
def test_a_full_run_refuses(host: Host) -> None:
    host.certify("alice")
    host.machine.check(
        "mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=1,mode=0700", "t", "/run/amrgate/verdict"
    )
    host.machine.check("chown", "amrgate-hook", "/run/amrgate/verdict")
    admitted = host.admits("alice")
    took = host.admin_login()
    host.machine.check("umount", "/run/amrgate/verdict")

    assert not admitted
    assert took < ADMIN_SECONDS
    assert host.admits("alice")


@pytest.mark.attack(57)
def test_a_killed_hook_lets_nobody_in(host: Host) -> None:
    host.certify("alice")
    kill = "while :; do pkill -KILL -u amrgate-hook; done"
    with host.machine.popen(("timeout", "6", "sh", "-c", kill)) as killing:
        admitted = [host.admits("alice") for _ in range(3)]
        killing.communicate()

    assert admitted == [False, False, False]
    assert host.admits("alice")
