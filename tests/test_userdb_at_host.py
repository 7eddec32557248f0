"""The user database on a host: what a login sees of it, whoever floods it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from sshd_hook import accounts, paths
from tests.hosts import wait_for
from tests.user_database import FLOOD, NAME, by_name

if TYPE_CHECKING:
    from machine.host import Host

HOARD = """
import contextlib, socket, sys
held = []
while True:
    with contextlib.suppress(OSError):
        held.append(socket.socket(socket.AF_UNIX))
        held[-1].connect(sys.argv[1])
    del held[:-500]
"""
LOOK_UP = """
import contextlib, pwd, sys, time
found = 0
for _ in range(100):
    with contextlib.suppress(KeyError):
        found += pwd.getpwnam(sys.argv[1]).pw_name == sys.argv[1]
    time.sleep(0.01)
print(found)
"""
CONNECT = """
import socket, sys
socket.socket(socket.AF_UNIX).connect(sys.argv[1])
"""


def test_the_name_service_finds_services_and_nobody_else(host: Host) -> None:
    shared = host.machine.path(paths.SHARED_UID).read_text().strip()
    live = accounts.parse(host.machine.path(paths.UIDS).read_bytes()).live
    (name, uid), *_ = live.items()

    def entry(database: str, key: str) -> str:
        return host.machine.run("getent", database, key).out

    def row(name: str, uid: object, home: str) -> str:
        return f"{name}:x:{uid}:{uid}:{name}:/srv/amrgate/{home}:/bin/sh\n"

    for number in ("", "--0", "--12"):
        assert entry("passwd", name + number) == row(name + number, uid, name)
    assert entry("passwd", str(uid)) == row(name, uid, name)
    assert entry("group", str(uid)) == f"{name}:x:{uid}:\n"
    assert entry("shadow", name).startswith(f"{name}:!*:")
    assert entry("passwd", "zyxwvut654321-x--y") == row("zyxwvut654321-x--y", shared, "shared")
    assert entry("passwd", "zyxwvut654321") == row("zyxwvut654321", shared, "shared")
    for unknown in ("amrgate", "somebody", "499999", "400000000"):
        assert entry("passwd", unknown) == ""


@pytest.mark.attack(200)
def test_an_administrator_does_not_wait_for_a_flooded_user_database(host: Host) -> None:
    host.machine.path("/tmp/flood.py").write_text(FLOOD)
    asked = (paths.USERDB_SOCKET, by_name("root").decode(), "1")
    words = ("/usr/bin/python3", "-IS", "/tmp/flood.py", *asked)
    floods = [host.machine.popen(words, user="mallory") for _ in range(4)]
    time.sleep(0.3)
    try:
        assert max(host.admin_login() for _ in range(3)) < 5
        assert [flood.poll() for flood in floods] == [None] * 4
    finally:
        host.machine.run("pkill", "-KILL", "-u", "mallory")
        for flood in floods:
            flood.communicate()
    host.certify("alice")
    wait_for(lambda: host.admits("alice"))


@pytest.mark.parametrize("flood", [FLOOD, HOARD], ids=["questions", "connections"])
def test_no_user_makes_services_vanish_for_sshd(host: Host, flood: str) -> None:
    """sshd and PAM ask as root, and the name service does not wait for a place in a queue."""
    host.certify("alice")
    host.machine.path("/tmp/flood.py").write_text(flood)
    asked = (paths.USERDB_SOCKET, by_name("root").decode(), "1")
    words = ("/usr/bin/python3", "-IS", "/tmp/flood.py", *asked)
    floods = [host.machine.popen(words, user="mallory") for _ in range(4)]
    time.sleep(0.3)
    try:
        found = host.machine.check("/usr/bin/python3", "-c", LOOK_UP, NAME)
        assert host.admits("alice")
        assert [one.poll() for one in floods] == [None] * 4
    finally:
        host.machine.run("pkill", "-KILL", "-u", "mallory")
        for one in floods:
            one.communicate()
    assert found == "100\n"


def test_only_root_can_reach_the_socket_for_root(host: Host) -> None:
    words = ("/usr/bin/python3", "-c", CONNECT, paths.USERDB_ROOT_SOCKET)
    assert "PermissionError" in host.machine.run(*words, user="mallory").err
    assert host.machine.run(*words).err == ""


def test_who_loses_a_supervisor_serves_on_until_the_next_one_comes(host: Host) -> None:
    pids = ("pgrep", "-f", "[s]shd-hook userdb")
    host.certify("alice")
    host.machine.check("pkill", "-KILL", "-f", "[s]upervise")

    assert host.admits("alice")
    host.start_user_database()

    wait_for(lambda: len(host.machine.check(*pids).split()) == 2)
    assert host.admits("alice")


def test_a_question_gets_through_while_a_user_database_is_replaced(host: Host) -> None:
    """Of look-ups that begin at any moment of it, none waits long, and soon all are right again."""
    host.machine.check("pkill", "-KILL", "-u", paths.USERDB_USER)
    times = []
    deadline = time.monotonic() + 10
    while host.machine.run("getent", "passwd", NAME).status != 0:
        times.append(time.monotonic())
        assert time.monotonic() < deadline
    assert not times or times[-1] - times[0] < 3
