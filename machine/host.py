"""A host without a CA: real sshd, PAM, hook and user database, and a policy that tests write."""

import base64
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ca.hosts import bundle_writer
from ca.hosts.bundle_writer import BundleContent
from machine.clients import SERVICE, Form, ssh, use
from machine.people import CERTIFICATE_TYPE, IDS, TWO_FACTORS, Authority, draft
from machine.private import PYTHON, PrivateMachine, Result
from machine.sshd import make_keys, start_sshd
from sshd_hook import freshness
from sshd_hook.bundle import ServiceRecord
from sshd_hook.certificate import Certificate
from sshd_hook.freshness import Freshness
from sshd_hook.policy import ADMIN, CONTRIBUTOR, Requirement
from sshd_hook.wire import b64

HOST_ID = "11111111-2222-4333-8444-555555555555"
DAY = 86400
ROLES = {"alice": CONTRIBUTOR, "bob": ADMIN, "carol": CONTRIBUTOR}
EMPTY_KRL = "/run/empty.krl"


@dataclass(frozen=True)
class Service:
    """What a test wants of a service: what a login must show, who has which role, and the rest."""

    requirement: Requirement = field(default_factory=Requirement)
    roles: Mapping[str, int] = field(default_factory=lambda: ROLES)
    forwards: tuple[str, ...] = ()
    max_offline: int = DAY


class Host:
    """The host, its people's keys, and the CA that it trusts."""

    def __init__(self, machine: PrivateMachine) -> None:
        self.machine = machine
        self.authority = Authority()
        self.keys = make_keys(machine)
        self._version = 0
        set_up(machine)
        machine.check("ssh-keygen", "-q", "-k", "-f", EMPTY_KRL)
        self.set_policy()
        start_sshd(machine)

    def set_policy(self, services: Mapping[str, Service] | None = None, age: int = 0) -> None:
        """Install a policy that the CA stated `age` seconds ago; by default one open service."""
        wanted = {SERVICE: Service()} if services is None else services
        self._version += 1
        data = bundle_writer.write(
            BundleContent(
                host_id=HOST_ID,
                version=self._version,
                authorities=(self.authority.public_key,),
                services=[
                    ServiceRecord(
                        name,
                        one.requirement,
                        max_offline=one.max_offline,
                        access_list=number,
                        forwards=one.forwards,
                    )
                    for number, (name, one) in enumerate(wanted.items())
                ],
                access_lists=[
                    {IDS[person]: (role, False) for person, role in one.roles.items()}
                    for one in wanted.values()
                ],
            )
        )
        krl = self.machine.path(EMPTY_KRL).read_bytes()
        files = {
            "bundle": data,
            "fresh": freshness.render(self._statement(data, krl, age)),
            "krl": krl,
        }
        encoded = {name: base64.b64encode(file).decode() for name, file in files.items()}
        given = json.dumps({"services": list(wanted), **encoded})
        self.machine.check(*PYTHON, "-m", "machine.policy", stdin=given)

    def require(self, amr: str = "", max_age: int | None = None, **rest: Any) -> None:
        """Make the one service demand something of a login: `amr` values joined by commas."""
        values = frozenset(amr.split(",")) if amr else frozenset()
        self.set_policy({SERVICE: Service(Requirement(values, max_age, **rest))})

    def draft(self, person: str, amr: str = TWO_FACTORS, **changes: Any) -> Certificate:
        """The fields of a good certificate for one of the people, but for `changes`."""
        return Certificate(**(draft(person, self.keys[person], self.authority, amr) | changes))

    def certify(self, person: str, amr: str = TWO_FACTORS, **changes: Any) -> bytes:
        """Give a person a certificate, where their ssh looks for it; return it as bytes."""
        blob = self.authority.sign(self.draft(person, amr, **changes))
        self.give(person, blob)
        return blob

    def give(self, person: str, blob: bytes) -> None:
        """Put a certificate where a person's ssh looks for it."""
        path = self.machine.path(f"/home/{person}/.ssh/id_ed25519-cert.pub")
        path.write_text(f"{CERTIFICATE_TYPE} {b64(blob)}\n")

    def use(self, person: str, form: Form, service: str = SERVICE) -> Result:
        """Let a person reach a service in one of the ways, to its end."""
        return use(self.machine, person, form, service)

    def ssh(self, person: str, *command: str, service: str = SERVICE) -> Result:
        """`ssh service@host command`, as a person."""
        return ssh(self.machine, person, *command, service=service)

    def admits(self, person: str, service: str = SERVICE) -> bool:
        """Whether a person gets in."""
        return self.ssh(person, "echo", "in", service=service).out == "in\n"

    def admin_login(self) -> float:
        """Log the administrator in with his own plain key; return the seconds that it took."""
        begin = time.monotonic()
        words = ("-i", "/home/admin/.ssh/id_ed25519", "-o", "BatchMode=yes")
        self.machine.check("ssh", *words, "admin@ssh.acme.example", "true", user="admin")
        return time.monotonic() - begin

    def start_user_database(self) -> None:
        """Start it, and wait until names resolve."""
        start_user_database(self.machine)
        while self.machine.run("getent", "passwd", SERVICE).status:
            time.sleep(0.05)

    def _statement(self, data: bytes, krl: bytes, age: int) -> Freshness:
        issued_at = int(time.time()) - age
        return Freshness(
            host_id=HOST_ID,
            version=self._version,
            digest=hashlib.sha256(data).hexdigest(),
            krl_version=0,
            krl_digest=hashlib.sha256(krl).hexdigest(),
            issued_at=issued_at,
            not_after=issued_at + DAY,
        )


def set_up(machine: PrivateMachine) -> None:
    """Install the hook and start the user database, as `sshd-hook enroll` does without a CA."""
    machine.check(*PYTHON, "-m", "machine.enroll")
    start_user_database(machine)


def start_user_database(machine: PrivateMachine) -> None:
    """What systemd does on a host that has it."""
    machine.spawn("/usr/lib/amrgate/sshd-hook", "userdb", "--supervise", log="/var/log/userdb.log")
