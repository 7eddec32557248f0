"""What decides on a host, out of reach of those inside; and services that come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from machine.clients import SERVICE
from machine.host import Service
from sshd_hook import paths
from sshd_hook.policy import CONTRIBUTOR

if TYPE_CHECKING:
    from machine.host import Host

OTHER = "abcdefg123456-main-bvxea6i--other"
TWO = {
    SERVICE: Service(roles={"alice": CONTRIBUTOR}),
    OTHER: Service(roles={"carol": CONTRIBUTOR}),
}
# Who attaches to a process can do whatever it may (ptrace(2), PTRACE_ATTACH is 16).
TRACE = (
    "import ctypes, os, sys; libc = ctypes.CDLL(None, use_errno=True);"
    "sys.exit(libc.ptrace(16, int(sys.argv[1]), 0, 0) == 0)"
)


@pytest.mark.attack(57)
def test_a_hook_that_is_killed_after_it_has_allowed_lets_nobody_in(host: Host) -> None:
    host.certify("alice")
    real = f"{paths.PROGRAMS}/real"
    host.machine.check("cp", "-a", paths.PRINCIPALS, real)
    program = host.machine.path(paths.PRINCIPALS)
    try:
        program.write_text(f'#!/bin/sh\n{real} "$@"\nkill -KILL $$\n')
        assert not host.admits("alice")
        program.write_text(f'#!/bin/sh\nexec {real} "$@"\n')
        assert host.admits("alice")
    finally:
        host.machine.check("mv", real, paths.PRINCIPALS)


@pytest.mark.attack(57)
def test_nobody_from_inside_stops_kills_or_traces_what_decides(host: Host) -> None:
    run = ("setpriv", f"--reuid={paths.HOOK_USER}", f"--regid={paths.HOOK_USER}", "--clear-groups")
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
        host.machine.run("kill", str(held))
    assert host.admits("alice")


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
