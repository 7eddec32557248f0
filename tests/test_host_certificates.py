"""A host renews its certificates by itself, and takes none that clients would not."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from ca import audit
from ca.store import audit_log
from ca.store.engine import reading
from sshd_hook import paths, prepare, status
from sshd_hook.agent import host_certificates, keygen, poll
from sshd_hook.agent.host import Host
from sshd_hook.agent.host_certificates import DAY, Installed
from sshd_hook.certificate import HOST, parse
from sshd_hook.changes import ChangeError
from sshd_hook.wire import b64, unb64
from tests.host_client import NAME, HostClient, line, public_key
from tests.hosts import HOST_ID, TOKEN
from tests.hosts import keygen as run_keygen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ca.services import Services
    from sshd_hook.certificate import Certificate

LIFE = 30 * DAY


# --- the CA ---------------------------------------------------------------------------------


def parsed(written: str) -> Certificate:
    return parse(unb64(written.split()[1]))[0]


def certify(host: HostClient, *keys: str, token: str = "") -> Any:
    return host.http.post(
        f"/hosts/{host.joined['id']}/certificates",
        json={"host_keys": keys},
        headers={"authorization": f"Bearer {token or host.joined['token']}"},
    )


def test_each_key_gets_a_certificate_with_the_names_of_the_join_token(acme: Services) -> None:
    host = HostClient(acme, NAME, "192.0.2.9")
    ecdsa = line(generate_private_key(SECP256R1()))

    answer = certify(host, host.host_key, ecdsa)

    assert answer.status_code == 201
    first, second = map(parsed, answer.json()["host_certificates"])
    assert first.principals == second.principals == (NAME, "192.0.2.9")
    assert (first.kind, first.key_id) == (HOST, host.joined["id"])
    assert first.signature_key == acme.keys.host_ca.public_key
    assert ecdsa.split()[1] == b64(second.public_key)
    before = parsed(host.joined["host_certificates"][0])
    assert first.serial != before.serial
    assert first.valid_before - first.valid_after == LIFE + 60


def test_nobody_else_gets_one_and_none_is_for_a_weak_key_or_without_a_record(
    acme: Services,
) -> None:
    host, other = HostClient(acme), HostClient(acme, "ssh2.acme.example")

    assert certify(host, public_key(), token=other.joined["token"]).status_code == 401
    assert certify(host).status_code == 400
    assert certify(host, *[public_key()] * 9).status_code == 400
    assert certify(host, "ssh-dss AAAAB3NzaC1kc3M=").status_code == 400
    assert certify(host, host.joined["host_certificates"][0]).status_code == 400
    serial = parsed(certify(host, public_key()).json()["host_certificates"][0]).serial
    with reading(acme.engine) as connection:
        audit.verify(connection)
        details = [record.detail for record in audit_log.records(connection)]
    assert any(str(serial) in detail for detail in details)


# --- the host -------------------------------------------------------------------------------


@dataclass
class Files:
    """A host CA, and a folder of certificates such as `enroll` leaves behind."""

    folder: Path
    now: int
    asked: list[list[str]] = field(default_factory=list)

    def sign(self, *options: str, key: str = "host", ca: str = "ca") -> str:
        words = ("-q", "-s", self.folder / ca, "-I", HOST_ID, "-z", str(len(self.asked) + 1))
        run_keygen(*words, *options, self.folder / f"{key}.pub")
        return (self.folder / f"{key}-cert.pub").read_text().strip()

    def signed(self, begin: int, names: str = NAME, **more: str) -> str:
        """A certificate of 30 days that begins so many days from now."""
        times = (self.now + begin * DAY, self.now + (begin + 30) * DAY)
        span = ":".join(time.strftime("%Y%m%d%H%M%SZ", time.gmtime(one)) for one in times)
        return self.sign("-h", "-n", names, "-V", span, **more)

    @property
    def path(self) -> Path:
        return self.folder / "ssh-ed25519-host-cert.pub"

    def renew(self, *answers: str) -> int:
        """Renew from a CA that answers so."""
        self.asked.append([])

        class CA(poll.CA):
            def certify(self, host: Host, keys: list[str]) -> tuple[str, ...]:  # noqa: ARG002
                asked.extend(keys)
                return answers

        asked = self.asked[-1]
        known = Host(HOST_ID, TOKEN, NAME, "http://127.0.0.1")
        return host_certificates.renew(known, CA("http://127.0.0.1", None), self.now)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.setattr(paths, "CONFIGURATION", str(tmp_path))
    monkeypatch.setattr(prepare, "reload_sshd", lambda: None)
    for name in ("ca", "other_ca", "host", "other"):
        run_keygen("-q", "-t", "ed25519", "-N", "", "-C", "", "-f", tmp_path / name)
    return Files(tmp_path, int(time.time()))


@pytest.mark.parametrize(("days", "due"), [(0, False), (19, False), (20, True), (29, True)])
def test_it_is_renewed_at_two_thirds_of_its_life(files: Files, days: int, *, due: bool) -> None:
    files.path.write_text(files.signed(-days) + "\n")
    new = files.signed(0)

    assert files.renew(new) == due

    key = (files.folder / "host.pub").read_text().strip()
    assert files.asked == [[key] if due else []]
    assert (files.path.read_text() == f"{new}\n") is due


def test_one_that_ended_while_the_host_was_off_is_renewed_too(files: Files) -> None:
    files.path.write_text(files.signed(-60) + "\n")
    assert files.renew(new := files.signed(0)) == 1
    assert files.path.read_text() == f"{new}\n"


def bent(written: str) -> str:
    kind, data = written.split()[:2]
    blob = bytearray(unb64(data))
    blob[-5] ^= 1
    return f"{kind} {b64(bytes(blob))}"


BAD: dict[str, Callable[[Files], list[str]]] = {
    "another's key": lambda files: [files.signed(0, key="other")],
    "another name": lambda files: [files.signed(0, "ssh2.acme.example")],
    "a name more": lambda files: [files.signed(0, f"{NAME},ssh2.acme.example")],
    "any name": lambda files: [files.sign("-h", "-V", "+0s:+30d")],
    "a user's": lambda files: [files.sign("-n", NAME, "-V", "+0s:+30d")],
    "another CA's": lambda files: [files.signed(0, ca="other_ca")],
    "a bent signature": lambda files: [bent(files.signed(0))],
    "not for longer": lambda files: [files.signed(-25)],
    "not yet": lambda files: [files.signed(1)],
    "none": lambda _: [],
    "two": lambda files: [files.signed(0)] * 2,
    "no certificate": lambda files: [(files.folder / "host.pub").read_text()],
    "no line": lambda _: ["\n"],
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_one_is_not_taken_and_the_old_one_stays(files: Files, bad: str) -> None:
    files.path.write_text(files.signed(-25) + "\n")
    before = files.path.read_text()

    with pytest.raises((poll.CAError, keygen.KeygenError, ValueError)):
        files.renew(*BAD[bad](files))

    assert files.path.read_text() == before


def test_where_sshd_does_not_take_them_all_old_ones_are_back(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise ChangeError("sshd -t: no")

    monkeypatch.setattr(prepare, "reload_sshd", refuse)
    second = files.folder / "ssh-second-host-cert.pub"
    files.path.write_text(files.signed(-25) + "\n")
    second.write_text(files.signed(-25, key="other") + "\n")
    before = files.path.read_text(), second.read_text()

    with pytest.raises(ChangeError):
        files.renew(files.signed(0), files.signed(0, key="other"))

    assert (files.path.read_text(), second.read_text()) == before


def test_the_days_that_are_left_are_shown(files: Files) -> None:
    files.path.write_text(files.signed(-25) + "\n")

    (found,) = host_certificates.installed()

    assert isinstance(found, Installed)
    assert found.days_left(files.now - 60) == 5
    assert found.days_left(files.now + 6 * DAY) == 0
    assert status.certificates(files.now - 60) == ["certified  ssh-ed25519, 5 days left"]
