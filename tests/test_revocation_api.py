"""Certificates, sessions and keys that somebody revokes: who may, and who may not."""

from __future__ import annotations

import re
import subprocess
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from ca.app import create_app
from ca.errors import Conflict, NotFound
from ca.issuance import host as issuance
from ca.issuance import revocation
from ca.issuance.sign import Host
from ca.keys.files import public_line
from ca.store.revocations import SLOW_CLOCK
from sshd_hook.wire import unb64
from tests.issuing import add_session, issue, new_key, post, token_of
from tests.revoking import (
    last_record,
    listed,
    log_out,
    record_certificates,
    serial_of,
    serials,
    version,
)
from tests.web import ISSUER

if TYPE_CHECKING:
    from pathlib import Path

    from ca.services import Services

# --- certificates and keys by themselves, as ssh-keygen sees the list --------------------------


def verdicts(services: Services, folder: Path, **lines: str) -> set[str]:
    """Which of these certificates and keys the list refuses, as everybody may read it."""
    for name, text in lines.items():
        (folder / f"{name}.pub").write_text(f"{text}\n")
    answer = TestClient(create_app(services), base_url=ISSUER).get("/ssh/krl")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/octet-stream")
    (folder / "krl").write_bytes(answer.content)
    names = ["krl", *(f"{name}.pub" for name in lines)]
    words = ["ssh-keygen", "-Q", "-f", *(str(folder / name) for name in names)]
    shown = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)
    found = dict(re.findall(r"/(\w+)\.pub[^:]*: (REVOKED|ok)", shown.stdout))
    assert found.keys() == lines.keys(), shown
    return {name for name, verdict in found.items() if verdict == "REVOKED"}


@pytest.mark.attack(62)
def test_a_certificate_by_its_serial(services: Services, tmp_path: Path) -> None:
    alice = add_session(services)
    lines = {name: issue(services, alice) for name in ("first", "second", "third")}
    now, serial = int(time.time()), serial_of(lines["second"])
    assert verdicts(services, tmp_path, **lines) == set()

    done = [
        revocation.revoke_serial(services.engine, serial, "operator olga", "stolen", now)
        for _ in range(2)
    ]

    assert done == [True, False]
    assert verdicts(services, tmp_path, **lines) == {"second"}
    detail = {"why": "stolen", "revoked": [str(serial)]}
    assert last_record(services.engine) == ("certificate:revoke", "operator olga", detail)
    assert post(services, token_of(services, alice)).status_code == 200


def test_a_hosts_certificate_by_its_serial(services: Services, tmp_path: Path) -> None:
    host = Host(str(uuid.uuid4()), ("ssh.acme.example",))
    now = int(time.time())
    key = unb64(new_key().split()[1])
    lines = {name: issuance.issue(services.issuer, host, key, now) for name in ("revoked", "good")}

    revocation.revoke_serial(services.engine, serial_of(lines["revoked"]), "olga", "", now)

    assert verdicts(services, tmp_path, **lines) == {"revoked"}


def test_a_serial_that_nobody_can_use_is_not_found(services: Services) -> None:
    now = int(time.time())
    record_certificates(services.engine, 5, [now - SLOW_CLOCK])

    for never_issued_or_expired in (4, 5):
        with pytest.raises(NotFound):
            revocation.revoke_serial(services.engine, never_issued_or_expired, "olga", "", now)


@pytest.mark.attack(62)
def test_a_key_by_its_fingerprint(services: Services, tmp_path: Path) -> None:
    alice, bob = add_session(services), add_session(services, "bob")
    stolen = new_key()
    lines = {
        "key": stolen,
        "certificate": issue(services, alice, key=stolen),
        "another_persons": issue(services, bob, key=stolen),
        "another_key": issue(services, alice),
    }
    now = int(time.time())

    def revoke_it() -> bool:
        return revocation.revoke_key(
            services.engine, fingerprint(stolen), ours(services), "operator olga", "", now=now
        )

    assert [revoke_it(), revoke_it()] == [True, False]
    refused = post(services, token_of(services, alice), key=stolen)
    assert (refused.status_code, refused.json()["error"]) == (403, "access_denied")
    assert "This key was revoked" in refused.json()["error_description"]
    assert verdicts(services, tmp_path, **lines) == lines.keys() - {"another_key"}
    assert last_record(services.engine)[:2] == ("key:revoke", "operator olga")


def fingerprint(line: str) -> str:
    shown = subprocess.run(
        ["ssh-keygen", "-lf", "-"], input=line, capture_output=True, text=True, check=True
    )
    return shown.stdout.split()[1]


def ours(services: Services) -> tuple[bytes, ...]:
    return services.keys.user_ca.public_key, services.keys.host_ca.public_key


def test_the_cas_own_key_is_not_revoked_by_mistake(services: Services) -> None:
    before = version(services.engine)

    for key in ours(services):
        with pytest.raises(Conflict, match="own key"):
            revocation.revoke_key(
                services.engine, fingerprint(public_line(key)), ours(services), "olga", "", now=1
            )

    assert version(services.engine) == before


def test_a_session_that_is_none_is_not_found(services: Services) -> None:
    alice = add_session(services)
    now = int(time.time())
    log_out(services, alice, now)

    for handle in (str(uuid.uuid4()), alice.handle, alice.sid):
        with pytest.raises(NotFound):
            revocation.revoke_session(services.engine, handle, "operator olga", "", now)


# --- by HTTP: everybody their own -----------------------------------------------------------


class Person:
    """The API as somebody sees it."""

    def __init__(self, services: Services, name: str) -> None:
        self.services = services
        self.session = add_session(services, name)
        self.id = self.session.user.id
        self.http = TestClient(
            create_app(services),
            base_url=ISSUER,
            headers={"authorization": f"Bearer {token_of(services, self.session)}"},
        )

    def serials(self) -> list[int]:
        answer = self.http.get(f"/users/{self.id}/certificates")
        assert answer.status_code == 200
        return [int(one["serial"]) for one in answer.json()]

    def revoke(self, path: str = "", whose: str = "") -> Any:
        return self.http.delete(f"/users/{whose or self.id}/certificates{path}")


def test_everybody_sees_their_own_certificates(services: Services) -> None:
    alice, bob = Person(services, "alice"), Person(services, "bob")
    mine = serials(services, alice.session, 2)
    serials(services, bob.session)

    (first, _second) = alice.http.get(f"/users/{alice.id}/certificates").json()

    assert set(alice.serials()) == mine
    assert first.keys() == {"serial", "session", "issued_at", "expires_at", "revoked_at"}
    assert (first["session"], first["revoked_at"]) == (alice.session.handle, None)


def test_everybody_may_revoke_their_own(services: Services) -> None:
    alice, bob = Person(services, "alice"), Person(services, "bob")
    mine = sorted(serials(services, alice.session, 3))
    serials(services, bob.session)

    assert [alice.revoke(f"/{mine[1]}").status_code for _ in range(2)] == [204, 204]
    assert listed(services.engine) == {mine[1]}
    assert last_record(services.engine)[:2] == ("certificate:revoke", alice.id)
    assert alice.revoke().status_code == 204
    assert listed(services.engine) == set(mine)
    assert last_record(services.engine)[2] == {"revoked": [str(mine[0]), str(mine[2])]}
    revoked = alice.http.get(f"/users/{alice.id}/certificates").json()
    assert all(one["revoked_at"] for one in revoked)
    assert serials(services, alice.session), "the session lives on"


def test_nobody_may_see_or_revoke_anothers(services: Services) -> None:
    alice, bob = Person(services, "alice"), Person(services, "bob")
    (theirs,) = serials(services, bob.session)
    record_certificates(services.engine, 5, [int(time.time()) + 60], kind="host")
    nobody = str(uuid.uuid4())

    attempts = [
        alice.http.get(f"/users/{bob.id}/certificates"),
        alice.revoke(whose=bob.id),
        alice.revoke(f"/{theirs}", whose=bob.id),
        alice.revoke(f"/{theirs}"),
        alice.revoke("/5"),
    ]
    nothing_there = [
        alice.http.get(f"/users/{nobody}/certificates"),
        alice.revoke(whose=nobody),
        alice.revoke(f"/{theirs}", whose=nobody),
        alice.revoke("/123456"),
        alice.revoke("/123457"),
    ]

    assert {one.status_code for one in attempts} == {404}
    assert [one.json() for one in attempts] == [one.json() for one in nothing_there]
    assert listed(services.engine) == set()


def test_what_is_no_serial_is_a_bad_request(services: Services) -> None:
    alice = Person(services, "alice")

    for serial in ("0", "-1", str(1 << 63), "1" * 5000, "x"):
        assert alice.revoke(f"/{serial}").status_code == 400, serial


def test_who_is_nobody_may_do_nothing(services: Services) -> None:
    alice = Person(services, "alice")
    (mine,) = serials(services, alice.session)
    stranger = TestClient(create_app(services), base_url=ISSUER)
    log_out(services, alice.session, int(time.time()))
    before = version(services.engine)

    for http in (stranger, alice.http):
        for method, path in (("GET", ""), ("DELETE", ""), ("DELETE", f"/{mine}")):
            answer = http.request(method, f"/users/{alice.id}/certificates{path}")
            assert answer.status_code == 401

    assert version(services.engine) == before
