"""One private machine per test process, and stock sshd in it with a configuration per test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from machine.host import Host
from machine.people import CERTIFICATE_TYPE, Authority, draft
from machine.private import PrivateMachine, Result
from machine.sshd import KEY_EXCHANGE
from sshd_hook.certificate import Certificate
from sshd_hook.wire import b64, unb64

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = "/etc/ssh/facts.conf"
HOOK = "/usr/lib/facts/hook"
RUNS = "/run/facts/runs"
CA_FILE = "/etc/facts_ca.pub"
SERVER = ("/usr/sbin/sshd", "-i", "-f", CONFIG, "-E", "/var/log/facts.log")


@pytest.fixture(scope="session")
def machine() -> Iterator[PrivateMachine]:
    with PrivateMachine() as private:
        yield private


@pytest.fixture(scope="session")
def enrolled(machine: PrivateMachine) -> Host:
    return Host(machine)


@pytest.fixture
def host(enrolled: Host) -> Host:
    """A host with one service that asks for nothing; its sshd, hook and PAM are the real ones."""
    enrolled.set_policy()
    return enrolled


@dataclass(frozen=True)
class Stock:
    """sshd in inetd mode, with a principals command that notes how often it ran."""

    machine: PrivateMachine
    authority: Authority
    key: bytes

    def configure(self, *lines: str) -> None:
        usual = {
            "HostKey": "/etc/ssh/ssh_host_ed25519_key",
            "TrustedUserCAKeys": CA_FILE,
            "AuthorizedPrincipalsCommand": f"{HOOK} %u %U %i %s %t %K %k",
            "AuthorizedPrincipalsCommandUser": "nobody",
            "AuthorizedKeysFile": "none",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "LogLevel": "VERBOSE",
            "KexAlgorithms": KEY_EXCHANGE,
        }
        settings = usual | dict(line.split(" ", 1) for line in lines)
        text = "".join(f"{name} {value}\n" for name, value in settings.items())
        self.machine.path(CONFIG).write_text(text)
        self.machine.path(CA_FILE).write_text(self.authority.line + "\n")
        self.machine.path(RUNS).write_text("")

    def hook(self, *lines: str) -> None:
        """Make sshd's principals command print these lines."""
        body = "".join(f"echo '{line}'\n" for line in lines)
        path = self.machine.path(HOOK)
        path.write_text(f'#!/bin/sh\necho "$PPID" "$@" >> {RUNS}\n{body}')
        path.chmod(0o755)

    def runs(self) -> list[list[str]]:
        """For each run of the command, its parent's process id and its arguments."""
        lines = self.machine.path(RUNS).read_text().splitlines()
        return [line.split(" ") for line in lines]

    def certify(self, file: str = "", **changes: Any) -> Certificate:
        """Give the machine's root a certificate for its key; `changes` are fields of it."""
        fields = draft("alice", self.key, self.authority) | changes
        certificate = Certificate(**fields)
        line = f"{CERTIFICATE_TYPE} {b64(self.authority.sign(certificate))}\n"
        self.machine.path(file or "/root/.ssh/id_ed25519-cert.pub").write_text(line)
        return certificate

    def login(self, user: str = "carol", *options: str, command: str = "id -un") -> Result:
        words = (
            *("ssh", "-F", "none", "-i", "/root/.ssh/id_ed25519"),
            *("-o", f"ProxyCommand={' '.join(SERVER)}"),
            *("-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"),
            *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
            *("-o", "LogLevel=ERROR", *options),
        )
        return self.machine.run(*words, f"{user}@stock", command)

    def lets_in(self, user: str = "carol", *options: str) -> bool:
        return self.login(user, *options).out == f"{user}\n"

    def log(self) -> str:
        return self.machine.path("/var/log/facts.log").read_text()


@pytest.fixture(scope="session")
def _root_key(machine: PrivateMachine) -> bytes:
    machine.check("mkdir", "-p", "-m", "700", "/root/.ssh")
    machine.check("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/.ssh/id_ed25519")
    return unb64(machine.path("/root/.ssh/id_ed25519.pub").read_text().split()[1])


@pytest.fixture
def stock(machine: PrivateMachine, _root_key: bytes) -> Iterator[Stock]:
    for path in (HOOK, RUNS):
        machine.check("mkdir", "-p", str(Path(path).parent))
    machine.path(RUNS).touch()
    machine.path(RUNS).chmod(0o666)
    machine.path("/var/log/facts.log").write_text("")
    yield Stock(machine, Authority(), _root_key)
    machine.check("rm", "-rf", "/usr/lib/facts", "/run/facts", CONFIG, CA_FILE)
