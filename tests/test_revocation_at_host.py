"""A revoked certificate at a real sshd: refused a moment after the operator's command."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from machine.clients import ssh
from machine.private import PYTHON, PrivateMachine
from machine.sshd import make_keys, start_sshd
from sshd_hook import paths
from sshd_hook.certificate import parse
from sshd_hook.wire import b64, unb64
from tests.hosts import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

CA = (*PYTHON, "-m", "ca.ops.main")
DATA = "/var/lib/amrgate-ca"
PASSPHRASE = "/root/passphrase"
EXAMPLE = (Path(__file__).parent.parent / "examples" / "acme.toml").read_text()
HOST = "ssh.acme.example"
PORT = 8080


@dataclass
class Session:
    """Somebody's, with its two certificates as their ssh takes them."""

    person: str
    handle: str
    certificates: list[str]

    @property
    def serials(self) -> list[str]:
        return [str(parse(unb64(line.split()[1]))[0].serial) for line in self.certificates]


class World:
    """A host and its CA, as operators run them, and people who want in."""

    def __init__(self, machine: PrivateMachine) -> None:
        self.machine = machine
        self.keys = make_keys(machine)
        machine.check("sh", "-c", f"umask 077; echo a passphrase of a test > {PASSPHRASE}")
        url = f"http://127.0.0.1:{PORT}"
        where = ("--issuer", url, "--listen", url.removeprefix("http://"), "--ssh-host", HOST)
        self.operate("init", "--passphrase-file", PASSPHRASE, *where)
        machine.path("/root/acme.toml").write_text(EXAMPLE)
        self.operate("apply", "/root/acme.toml")
        self.serve()
        line = self.operate("host", "token", HOST).split()
        machine.check(*PYTHON, "-m", "sshd_hook.main", *line[1:])
        machine.spawn(paths.SSHD_HOOK, "userdb", "--supervise", log="/var/log/userdb")
        machine.spawn(paths.SSHD_HOOK, "agent", log="/var/log/agent")
        wait_for(lambda: "obeying" in machine.path("/var/log/agent").read_text(), 60)
        start_sshd(machine)
        self.sessions = self._log_in("alice", "alice", "alice", "bob", "carol")

    def operate(self, *arguments: str) -> str:
        return self.machine.check(*CA, *arguments)

    def serve(self) -> None:
        words = ("serve", "--passphrase-file", PASSPHRASE, "--workers", "1")
        self.pid = self.machine.spawn(*CA, *words, log="/var/log/ca")
        wait_for(lambda: self.machine.listens(PORT), 60)

    def stop_ca(self) -> None:
        self.machine.check("kill", str(self.pid))
        wait_for(lambda: not self.machine.path(f"/proc/{self.pid}/exe").exists(), 20)

    def _log_in(self, *people: str) -> list[Session]:
        asked = [(one, f"ssh-ed25519 {b64(self.keys[one])}") for one in people]
        words = ("-m", "tests.issue_inside", DATA, PASSPHRASE)
        given = json.loads(self.machine.check(*PYTHON, *words, stdin=json.dumps(asked)))
        return [
            Session(person, handle, lines)
            for person, (handle, lines) in zip(people, given, strict=True)
        ]

    def admits(self, session: Session, number: int = 0) -> bool:
        """Whether sshd lets them in with one of the session's certificates."""
        path = self.machine.path(f"/home/{session.person}/.ssh/id_ed25519-cert.pub")
        path.write_text(f"{session.certificates[number]}\n")
        return ssh(self.machine, session.person, "echo", "in").out == "in\n"

    def list(self) -> bytes:
        return self.machine.path(paths.REVOKED).read_bytes()

    def revoke(self, *what: str) -> float:
        """Have the operator revoke something; how long it then took until the host has the list."""
        before = self.list()
        self.operate(*what)
        begun = time.monotonic()
        wait_for(lambda: self.list() != before, 20)
        return time.monotonic() - begun


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with PrivateMachine() as machine:
        yield World(machine)


@pytest.mark.attack(62)
def test_what_is_revoked_is_refused_within_a_second_and_others_go_on(world: World) -> None:
    one, another, _, bob, carol = world.sessions
    everybody = [(one, 0), (one, 1), (another, 0), (bob, 0), (carol, 0)]
    assert all(world.admits(session, number) for session, number in everybody)
    key = world.machine.check("ssh-keygen", "-lf", "/home/carol/.ssh/id_ed25519.pub").split()[1]

    seconds = [
        world.revoke("certificate", "revoke", one.serials[0], "--why", "a test"),
        world.revoke("certificate", "revoke", another.handle),
        world.revoke("certificate", "revoke", key),
    ]
    still = [(session, number) for session, number in everybody if world.admits(session, number)]
    seconds.append(world.revoke("user", "revoke", "bob"))

    assert still == [(one, 1), (bob, 0)]
    assert not world.admits(bob)
    assert world.admits(one, 1)
    assert min(seconds) < 1, seconds


def test_a_host_hears_of_it_when_its_ca_is_back(world: World) -> None:
    alice = world.sessions[2]
    before = world.list()
    world.stop_ca()
    world.operate("certificate", "revoke", alice.serials[0])
    assert world.list() == before
    assert world.admits(alice), "nobody could tell the host"

    world.serve()

    wait_for(lambda: world.list() != before, 60)
    assert not world.admits(alice)
    assert world.admits(alice, 1)
