"""A host with a part missing, broken, stopped or attacked from inside: nobody gets in who should
not, and the administrator always does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from machine.clients import SERVICE
from machine.host import Service
from machine.people import PASSWORD_ONLY, TWO_FACTORS
from sshd_hook import paths
from sshd_hook.policy import CONTRIBUTOR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.host import Host

OTHER = "abcdefg123456-main-bvxea6i--other"
TWO = {
    SERVICE: Service(roles={"alice": CONTRIBUTOR}),
    OTHER: Service(roles={"carol": CONTRIBUTOR}),
}
GONE, EMPTY, GARBAGE, FOLDER, CLOSED = "gone", "empty", "garbage", "a folder", "not executable"
BREAK = {
    GONE: "rm -rf {path}",
    EMPTY: ": > {path}",
    GARBAGE: "echo garbage > {path}",
    FOLDER: "rm -rf {path}; mkdir {path}",
    CLOSED: "chmod 000 {path}",
}
# Who attaches to a process can do whatever it may (ptrace(2), PTRACE_ATTACH is 16).
TRACE = (
    "import ctypes, os, sys; libc = ctypes.CDLL(None, use_errno=True);"
    "sys.exit(libc.ptrace(16, int(sys.argv[1]), 0, 0) == 0)"
)


@pytest.fixture
def repaired(host: Host) -> Iterator[Host]:
    """The host, whose files are put back when the test has broken them."""
    folders = f"{paths.PROGRAMS} {paths.CONFIGURATION} {paths.POLICY} {paths.RUN}"
    host.machine.check("sh", "-c", f"tar -cpPf /run/backup {folders}")
    yield host
    host.machine.check("sh", "-c", f"rm -rf {folders}; tar -xpPf /run/backup")


@pytest.mark.attack(38)
@pytest.mark.attack(200)
@pytest.mark.parametrize(
    ("path", "how", "still_in"),
    [
        pytest.param(path, how, how == EMPTY and path == paths.REVOKED, id=f"{path} {how}")
        for path, ways in {
            paths.ACCOUNT: (GONE, EMPTY, GARBAGE, FOLDER, CLOSED),
            paths.PRINCIPALS: (GONE, EMPTY, GARBAGE, FOLDER, CLOSED),
            paths.LIBRARY: (GONE,),
            paths.PROGRAMS: (GONE,),
            paths.REVOKED: (GONE, EMPTY, GARBAGE, FOLDER),
            paths.USER_CA: (GONE, EMPTY, GARBAGE, FOLDER),
            paths.BUNDLE: (GONE, EMPTY, GARBAGE, FOLDER),
            paths.FRESH: (GONE, EMPTY, GARBAGE, FOLDER),
            paths.SHARED_UID: (GONE, EMPTY, GARBAGE, FOLDER),
            paths.VERDICTS: (GONE,),
        }.items()
        for how in ways
    ],
)
def test_a_broken_part_lets_nobody_in_and_the_administrator_always(
    repaired: Host, path: str, how: str, *, still_in: bool
) -> None:
    """An empty revocation list, which sshd takes for one of nothing, is all that it lets pass."""
    repaired.require("mfa")
    repaired.certify("alice", TWO_FACTORS)
    repaired.certify("carol", PASSWORD_ONLY)

    repaired.machine.check("sh", "-c", BREAK[how].format(path=path))

    assert repaired.admits("alice") is still_in
    assert not repaired.admits("carol")
    assert repaired.admin_login() < 5


@pytest.mark.attack(57)
@pytest.mark.parametrize("how", ["before it says anything", "after it has allowed"])
def test_a_hook_that_is_killed_lets_nobody_in(repaired: Host, how: str) -> None:
    repaired.certify("alice")
    real = f"{paths.PROGRAMS}/real"
    repaired.machine.check("cp", "-a", paths.PRINCIPALS, real)
    call = "" if how.startswith("before") else f'{real} "$@"\n'
    repaired.machine.path(paths.PRINCIPALS).write_text(f"#!/bin/sh\n{call}kill -KILL $$\n")
    assert not repaired.admits("alice")

    repaired.machine.path(paths.PRINCIPALS).write_text(f'#!/bin/sh\nexec {real} "$@"\n')
    assert repaired.admits("alice")


@pytest.mark.attack(57)
def test_nobody_from_inside_stops_kills_or_traces_what_decides(host: Host) -> None:
    run = ("setpriv", f"--reuid={paths.HOOK_USER}", f"--regid={paths.HOOK_USER}", "--clear-groups")
    hook = host.machine.spawn(*run, "/usr/bin/python3", "-IS", "-c", "input()", log="/dev/null")
    held = host.machine.spawn(*run, "sleep", "60", log="/dev/null")
    found = host.machine.check("pgrep", "-f", "[s]shd-hook userdb|^sshd: /usr/sbin/[s]shd").split()
    assert len(found) >= 3
    host.certify("alice")
    try:
        for pid in (*found, str(held)):
            kill = f"kill -STOP {pid}; kill -KILL {pid}; python3 -c '{TRACE}' {pid} && echo no"
            said = host.ssh("alice", kill)
            assert said.out == "no\n", said.err
            assert said.err.count("ot permitted") == 2
            outside = host.machine.run("sh", "-c", kill, user="mallory")
            assert outside.out == "no\n", outside.err
            assert outside.err.count("ot permitted") == 2
    finally:
        host.machine.run("kill", str(hook), str(held))
    assert host.admits("alice")


def test_two_services_do_not_reach_each_other(host: Host) -> None:
    host.set_policy(TWO)
    host.certify("alice")
    host.certify("carol")
    there = "umask 0; echo secret > file; chmod 777 file .; exec setsid -f sleep 300 <&- >&- 2>&-"
    assert host.ssh("carol", there, service=OTHER).status == 0
    pid = host.machine.check("pgrep", "-f", "^sleep 300").strip()
    home = f"{paths.HOMES}/{OTHER}"
    host.machine.check("chmod", "700", home)
    try:
        attempts = {
            f"kill -0 {pid}": "permitted",
            f"kill -KILL {pid}": "permitted",
            f"cat /proc/{pid}/environ": "denied",
            f"ls /proc/{pid}/fd/": "denied",
            f"cat {home}/file": "denied",
            f"echo x > {home}/file": "denied",
            f"ls {home}": "denied",
            f"ls {paths.HOMES}": "denied",
            f"cat {paths.UIDS}": "denied",
            f"ls {paths.POLICY}": "denied",
            f"ls {paths.VERDICTS}": "denied",
            f"ls {paths.AGENT}": "denied",
        }
        for command, reason in attempts.items():
            tried = host.ssh("alice", f"LC_ALL=C {command}" if "echo" not in command else command)
            assert tried.status not in (0, 255), command
            assert reason in tried.err, command
            assert tried.out == "", command
        traced = host.ssh("alice", f"python3 -c '{TRACE}' {pid} && echo no")
        assert traced.out == "no\n"
        assert host.machine.path(f"{home}/file").read_text() == "secret\n"
        ids = {
            host.ssh(who, "id", service=where).out
            for who, where in (("alice", SERVICE), ("carol", OTHER), ("alice", f"{SERVICE}--3"))
        }
        assert len({text.split(" ")[0].split("(")[0] for text in ids}) == 2
    finally:
        host.machine.run("kill", pid)


def test_a_service_that_went_away_lets_nobody_in_and_keeps_its_files(host: Host) -> None:
    host.set_policy(TWO)
    host.certify("alice")
    host.certify("carol")
    assert host.ssh("carol", "echo mine > file", service=OTHER).status == 0
    host.set_policy({SERVICE: TWO[SERVICE]})

    assert not host.admits("carol", OTHER)
    new = "abcdefg123456-main-bvxea6i--new"
    host.set_policy({**TWO, new: TWO[SERVICE]})

    assert host.ssh("carol", "cat file", service=OTHER).out == "mine\n"
    uids = {host.ssh("alice", "id -u", service=name).out for name in (SERVICE, new)}
    assert len(uids | {host.ssh("carol", "id -u", service=OTHER).out}) == 3


def test_a_frozen_user_database_delays_nobody_long_and_lets_nobody_in(host: Host) -> None:
    host.require("mfa")
    host.certify("carol", PASSWORD_ONLY)
    pid = host.machine.check("pgrep", "-u", paths.USERDB_USER).strip()
    host.machine.check("kill", "-STOP", pid)
    begin = time.monotonic()

    assert not host.admits("carol")
    assert time.monotonic() - begin < 5
