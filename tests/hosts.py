"""A host in a private machine, and a CA for it whose every answer a test decides."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from ca.hosts import bundle_writer
from ca.hosts.bundle_writer import BundleContent
from machine.private import PYTHON, PrivateMachine
from sshd_hook import accounts, bundle, freshness, paths
from sshd_hook.bundle import ServiceRecord
from sshd_hook.freshness import Freshness
from sshd_hook.policy import Requirement
from sshd_hook.wire import unb64

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from machine.private import Result

HOST_ID = "11111111-2222-4333-8444-555555555555"
SERVICE = "abcdefg123456-main-bvxea6i--app"
USER = "7d2b6f0e-1c55-4b7e-9a40-3f6d1e2c8a01"
TOKEN = "a-host-token"
FOLDER = "/run/ca"
PORT = 8022
URL = f"http://127.0.0.1:{PORT}"
DAY = 86400


def keygen(*arguments: str | Path, stdin: bytes = b"") -> bytes:
    words = ["ssh-keygen", *map(str, arguments)]
    return subprocess.run(words, input=stdin, capture_output=True, check=True, timeout=20).stdout


@dataclass
class PolicyCA:
    """Signs with ssh-keygen; `answer` is all that a poll gets, to be bent as a test likes."""

    directory: Path
    version: int = 0
    krl_version: int = 0
    services: Sequence[str] = (SERVICE,)
    host_id: str = HOST_ID
    keys: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("bundle", "recovery", "user_ca", "other"):
            keygen("-q", "-t", "ed25519", "-N", "", "-C", "", "-f", self.directory / name)
            self.keys[name] = (self.directory / f"{name}.pub").read_text().strip()

    def sign(self, namespace: str, data: bytes, key: str = "bundle") -> str:
        return keygen(
            "-Y", "sign", "-q", "-f", self.directory / key, "-n", namespace, "-", stdin=data
        ).decode()

    def krl(self, version: int | None = None) -> bytes:
        """The list of a version, the same bytes each time: ssh-keygen writes the time into it."""
        number = self.krl_version if version is None else version
        path = self.directory / f"krl{number}"
        if not path.exists():
            keygen("-q", "-k", "-z", str(number), "-f", path, "/dev/null")
        return path.read_bytes()

    def longer_krl(self) -> bytes:
        """A list of the same version that also revokes a key."""
        path = self.directory / f"longer-krl{self.krl_version}"
        revoked = self.directory / "other.pub"
        keygen("-q", "-k", "-z", str(self.krl_version), "-f", path, revoked)
        return path.read_bytes()

    def bundle(self, **changes: Any) -> bytes:
        content: dict[str, Any] = {
            "host_id": self.host_id,
            "version": self.version,
            "authorities": (unb64(self.keys["user_ca"].split()[1]),),
            "services": [
                ServiceRecord(name, Requirement(), max_offline=DAY, access_list=0)
                for name in self.services
            ],
            "access_lists": [{USER: (2, False)}],
        }
        return bundle_writer.write(BundleContent(**(content | changes)))

    def statement(self, data: bytes, **changes: Any) -> bytes:
        now = int(time.time())
        fields: dict[str, Any] = {
            "host_id": self.host_id,
            "version": self.version,
            "digest": hashlib.sha256(data).hexdigest(),
            "krl_version": self.krl_version,
            "krl_digest": hashlib.sha256(self.krl()).hexdigest(),
            "issued_at": now,
            "not_after": now + DAY,
        }
        return freshness._text(Freshness(**(fields | changes))).encode()

    def answer(
        self, data: bytes | None = None, fresh: bytes | None = None, krl: bytes | None = None
    ) -> dict[str, Any]:
        """A good answer to a poll, but for what the caller gives."""
        data = self.bundle() if data is None else data
        fresh = self.statement(data) if fresh is None else fresh
        krl = self.krl() if krl is None else krl
        return {
            "version": self.version,
            "bundle": base64.b64encode(data).decode(),
            "bundle_signature": self.sign(bundle.NAMESPACE, data),
            "fresh": fresh.decode(),
            "fresh_signature": self.sign(freshness.NAMESPACE, fresh),
            "krl": base64.b64encode(krl).decode(),
            "krl_version": self.krl_version,
            "authorities": [self.keys["user_ca"]],
            "services": list(self.services),
            "keys": [],
        }

    def joined(self) -> dict[str, Any]:
        return {
            "id": self.host_id,
            "token": TOKEN,
            "bundle_key": self.keys["bundle"],
            "recovery_key": self.keys["recovery"],
            "user_authorities": [self.keys["user_ca"]],
            "host_certificates": [],
            "keys_number": 0,
            "keys_recovery": 0,
        }


@dataclass
class Host:
    """The machine, as its root sees it, and the CA that answers in it."""

    machine: PrivateMachine
    ca: PolicyCA

    def start_ca(self) -> None:
        self.machine.check("mkdir", "-p", FOLDER)
        self.machine.path(f"{FOLDER}/joined.json").write_text(json.dumps(self.ca.joined()))
        self.publish()
        words = ("-m", "tests.policy_server", FOLDER, str(PORT))
        self.machine.spawn(*PYTHON, *words, log="/var/log/ca")
        wait_for(lambda: self.machine.listens(PORT))

    def publish(self, **bent: Any) -> dict[str, Any]:
        """Offer the next version; `bent` are fields of the answer that differ from a good one."""
        self.ca.version += 1
        answer = self.ca.answer() | bent
        self.offer(answer)
        return answer

    def offer(self, answer: dict[str, Any]) -> None:
        path = self.machine.path(f"{FOLDER}/policy.json")
        path.with_suffix(".new").write_text(json.dumps(answer))
        path.with_suffix(".new").rename(path)

    def requests(self) -> list[dict[str, Any]]:
        text = self.machine.path(f"{FOLDER}/requests").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def command(self, *arguments: str) -> Result:
        """`sshd-hook` from the checkout, as before anything is installed."""
        return self.machine.run(*PYTHON, "-m", "sshd_hook.main", *arguments)

    def enroll(self, *more: str) -> Result:
        return self.command(*self.enrolling(), *more)

    def enrolling(self) -> tuple[str, ...]:
        """The arguments of `sshd-hook` with which this host joins its CA."""
        words = ("--ca", URL, "--token", "join-token", "--name", "ssh1", "--admin", "none")
        return ("enroll", *words)

    def read(self, path: str) -> bytes:
        return self.machine.path(path).read_bytes()

    def installed(self) -> tuple[int, list[str]]:
        """The version of the bundle in place, and the services that have accounts."""
        known = accounts.parse(self.read(paths.UIDS))
        return bundle.from_bytes(self.read(paths.BUNDLE)).version, sorted(known.live)


@pytest.fixture
def fresh_host(tmp_path: Path) -> Iterator[Host]:
    """A machine that is no host yet, and a CA that would take it."""
    with PrivateMachine() as machine:
        host = Host(machine, PolicyCA(tmp_path))
        host.start_ca()
        yield host


@pytest.fixture(scope="module")
def joined_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A machine that was enrolled; nothing of it runs."""
    with enrolled(tmp_path_factory.mktemp("ca")) as host:
        yield host


@contextmanager
def enrolled(folder: Path) -> Iterator[Host]:
    """A host that has just been enrolled; what its CA signs with is in `folder`."""
    with PrivateMachine() as machine:
        host = Host(machine, PolicyCA(folder))
        host.start_ca()
        ended = host.enroll()
        assert ended.status == 0, ended.err
        yield host


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
