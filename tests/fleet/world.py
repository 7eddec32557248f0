"""Three hosts and a CA, each a machine of its own, with a network and clocks that fail as told."""

from __future__ import annotations

import binascii
import json
import struct
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ca.keys import keyring
from machine.clients import ssh
from machine.people import CERTIFICATE_TYPE, draft
from machine.private import PYTHON, PrivateMachine
from machine.sshd import make_keys, start_sshd
from sshd_hook import bundle, certificate, freshness, paths
from sshd_hook.certificate import Certificate
from sshd_hook.wire import b64, string
from tests.fleet.wire import Wire
from tests.hosts import wait_for

if TYPE_CHECKING:
    from types import TracebackType

    from ca.keys import Keyring
    from sshd_hook.bundle import ServiceRecord

CA = "ca.acme.example"
URL = f"https://{CA}"
CA_ADDRESS = "10.77.0.1"
TRUST = ("--ca-file", "/root/ca.pem")
COUNT = 3
OPERATE = (*PYTHON, "-m", "ca.ops.main")
SETTINGS = ("--data", "/srv/ca")
PASSPHRASE = "a passphrase of a drill"
UNLOCK = ("--passphrase-file", "/root/passphrase")
CLOCK = Path(__file__).with_name("clock.c")
START = 60  # seconds
CERTIFY = (
    "openssl req -x509 -newkey ed25519 -nodes -keyout /root/key -out /root/ca.pem -days 3"
    f" -subj /CN={CA} -addext subjectAltName=DNS:{CA} 2>&1 && cd /root && cat key ca.pem > front.pem"
)


@dataclass
class Host:
    """One host: its machine, its place on the network, and the service that is on it."""

    number: int
    machine: PrivateMachine
    agent: int = 0  # its process id, in the machine

    @property
    def name(self) -> str:
        return f"ssh{self.number}.acme.example"

    @property
    def address(self) -> str:
        return f"10.77.0.{10 + self.number}"

    @property
    def service(self) -> str:
        return f"abcdefg12345{self.number}-main--app"

    def start_agent(self) -> None:
        self.agent = self.machine.spawn(paths.SSHD_HOOK, "agent", log="/var/log/agent")

    def kill_agent(self) -> None:
        self.machine.run("kill", "-9", str(self.agent))

    def obeys(self) -> int:
        """The version of the bundle in place, 0 for none."""
        record = self.record()
        return record[0] if record else 0

    def record(self) -> tuple[int, ServiceRecord] | None:
        """That version, and what it says of the service."""
        try:
            found = bundle.from_bytes(self.machine.path(paths.BUNDLE).read_bytes())
        except FileNotFoundError:
            return None
        record = found.service(self.service)
        return None if record is None else (found.version, record)

    def stated(self) -> freshness.Freshness:
        """The word in place that the bundle is current."""
        return freshness.parse(self.machine.path(paths.FRESH).read_bytes())

    def move_clock(self, seconds: int) -> None:
        """Move the wall clock of all its programs."""
        path = self.machine.path("/etc/clock-offset")
        with path.open("r+b") as file:  # in place: programs have it mapped
            file.write(struct.pack("q", seconds))

    def admits(self, person: str) -> bool:
        """Whether a person gets in, by a real login."""
        return ssh(self.machine, person, "echo", "in", service=self.service).out == "in\n"

    def log(self) -> str:
        return self.machine.path("/var/log/agent").read_text()


class Fleet:
    """All of them, joined and at work."""

    def __init__(self) -> None:
        with ExitStack() as stack:
            self.ca = stack.enter_context(PrivateMachine())
            machines = [stack.enter_context(PrivateMachine()) for _host in range(COUNT)]
            self.hosts = [Host(number, machine) for number, machine in enumerate(machines, 1)]
            by_address = {host.address: host.machine for host in self.hosts}
            self.wire = stack.enter_context(Wire({CA_ADDRESS: self.ca} | by_address))
            self._service = 0
            self.required: tuple[str, ...] = ()
            self._start_ca()
            self._changer = self.ca.popen((*PYTHON, "-m", "tests.fleet.changer", "/srv/ca"))
            stack.callback(self._changer.communicate)
            self.keys: Keyring = keyring.unlock(self.ca.path("/srv/ca"), PASSPHRASE.encode())
            listed = json.loads(self.ca.check(*OPERATE, "user", "list", *SETTINGS, "--json"))
            self.people = {one["username"]: one["id"] for one in listed}
            library = _compile(Path(stack.enter_context(tempfile.TemporaryDirectory())))
            for host in self.hosts:
                self._join(host, library)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def require(self, *amr: str) -> tuple[int, float]:
        """Require this in the organization; the version that says so, and when it was committed."""
        assert self._changer.stdin
        assert self._changer.stdout
        self._changer.stdin.write(" ".join(amr) + "\n")
        self._changer.stdin.flush()
        self.required = amr
        version, at = self._changer.stdout.readline().split()
        return int(version), float(at)

    def start_service(self) -> None:
        serve = (*OPERATE, "serve", *SETTINGS, *UNLOCK, "--workers", "1")
        self._service = self.ca.spawn(*serve, log="/var/log/ca.log")

    def kill_service(self) -> None:
        """As a machine does that loses its power: worker and all."""
        self.ca.run("sh", "-c", f"kill -9 {self._service} $(pgrep -P {self._service})")

    def certify(self, host: Host, person: str, amr: str = "pwd", **changes: object) -> bytes:
        """Give a person on a host's machine a certificate, where their ssh looks for it."""
        key = certificate_key(host, person)
        fields = draft(person, key, _Public(self.keys.user_ca.public_key), amr)  # type: ignore[arg-type]  # no more of it is used
        own = {"key_id": self.people[person], "principals": (self.people[person],)}
        signed = certificate.to_be_signed(Certificate(**(fields | own | changes)))
        blob = signed + string(self.keys.user_ca.sign(signed))
        path = host.machine.path(f"/home/{person}/.ssh/id_ed25519-cert.pub")
        path.write_text(f"{CERTIFICATE_TYPE} {b64(blob)}\n")
        return blob

    def _start_ca(self) -> None:
        machine = self.ca
        passphrase = machine.path("/root/passphrase")
        passphrase.write_text(PASSPHRASE)
        passphrase.chmod(0o600)
        machine.check("sh", "-c", CERTIFY)
        machine.path("/root/acme.toml").write_text(_directory(self.hosts))
        where = ("--issuer", URL, "--listen", "127.0.0.1:8022")
        machine.check(*OPERATE, "init", *SETTINGS, *UNLOCK, *where)
        machine.check(*OPERATE, "apply", *SETTINGS, "/root/acme.toml")
        machine.spawn(*PYTHON, "-m", "tests.https_front", "/root/front.pem", log="/var/log/front")
        self.start_service()
        wait_for(lambda: machine.listens(8022), START)

    def _join(self, host: Host, library: Path) -> None:
        machine = host.machine
        machine.path("/etc/clock-offset").write_bytes(struct.pack("q", 0))
        machine.path("/etc/moved-clock.so").write_bytes(library.read_bytes())
        machine.path("/etc/ld.so.preload").write_text("/etc/moved-clock.so\n")
        names = machine.path("/etc/hosts")
        local = names.read_text().replace(CA, "")
        names.write_text(f"{local}{CA_ADDRESS} {CA}\n")
        machine.path("/root/ca.pem").write_text(self.ca.path("/root/ca.pem").read_text())
        make_keys(machine)
        line = self.ca.check(*OPERATE, "host", "token", *SETTINGS, *TRUST, host.name).split()
        token, name = (line[line.index(word) + 1] for word in ("--token", "--name"))
        enroll = (*PYTHON, "-m", "sshd_hook.main", "enroll", "--admin", "none")
        machine.check(*enroll, "--ca", URL, *TRUST, "--token", token, "--name", name)
        machine.spawn(paths.SSHD_HOOK, "userdb", "--supervise", log="/var/log/userdb")
        start_sshd(machine)
        host.start_agent()
        wait_for(lambda: host.obeys() > 0, START)


@dataclass(frozen=True)
class _Public:
    """As much of an authority as a draft needs."""

    public_key: bytes


def certificate_key(host: Host, person: str) -> bytes:
    """A person's public key on a host's machine, as SSH encodes it."""
    text = host.machine.path(f"/home/{person}/.ssh/id_ed25519.pub").read_text()
    return binascii.a2b_base64(text.split()[1])


def _compile(folder: Path) -> Path:
    library = folder / "clock.so"
    words = ("cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(CLOCK))
    subprocess.run(words, check=True)
    return library


def _directory(hosts: list[Host]) -> str:
    lines = ["[organizations.acme]", 'members = { bob = "owner" }']
    for person in ("alice", "bob", "carol", "mallory"):
        lines += [
            f"[users.{person}]",
            f'name = "{person.title()}"',
            f'email = "{person}@a.example"',
        ]
    for host in hosts:
        project = host.service.partition("-")[0]
        lines += [f'[hosts."{host.name}"]', f"[projects.{project}]", 'organization = "acme"']
        lines += [f"[projects.{project}.environments]", 'main = { type = "production" }']
        lines += [f"[projects.{project}.access]", 'alice = { production = "contributor" }']
        lines += ['bob = { production = "contributor" }']
        lines += [f"[services.{host.service}]", f'host = "{host.name}"']
    return "\n".join(lines)
