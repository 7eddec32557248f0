"""Certificates as they are issued: what is in them, who gets them, and what is on record first."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, insert, select, text, update

from ca import audit
from ca.errors import Denied, SigningFailed
from ca.issuance import draft, host
from ca.issuance.abandoned import close_abandoned
from ca.issuance.sign import Bearer, Host, Issuer
from ca.issuance.subject_key import parse_subject_key
from ca.issuance.verify import ACTIVE, verify_certificate
from ca.keys.files import FileSigner
from ca.store import sessions
from ca.store.engine import open_engine, reading, writing
from ca.store.revocations import Cause
from ca.store.tables import (
    audit_records,
    certificates,
    members,
    organizations,
    revoked_access_tokens,
    users,
)
from sshd_hook.certificate import Certificate, parse
from sshd_hook.wire import unb64
from tests.issuing import add_session, issue, new_key, post, token_of
from tests.web import Browser, Client, Person

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from ca.keys import Keyring
    from ca.services import Services
    from ca.store.sessions import GrantSession


def read(line: str) -> Certificate:
    return parse(unb64(line.split(" ")[1]))[0]


def keygen(*arguments: str | Path) -> str:
    """What ssh-keygen prints."""
    command = ["ssh-keygen", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout


def intents(engine: Engine) -> list[bytes]:
    """The bytes that are on record as to be signed, in order."""
    with reading(engine) as connection:
        details = connection.execute(
            select(audit_records.c.detail)
            .where(audit_records.c.event == "certificate:intent")
            .order_by(audit_records.c.seq)
        ).scalars()
        return [base64.b64decode(json.loads(detail)["to_be_signed"]) for detail in details]


def wait_for_outcomes(engine: Engine) -> dict[int, str]:
    """What became of each certificate, once that is known of all."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with reading(engine) as connection:
            rows = connection.execute(select(certificates.c.serial, certificates.c.outcome)).all()
        if all(row.outcome for row in rows):
            return {row.serial: row.outcome for row in rows}
        time.sleep(0.02)
    raise AssertionError(rows)


# --- what is in them ------------------------------------------------------------------------


def test_it_says_who_and_how_and_until_when(services: Services) -> None:
    session = add_session(services, amr="pwd otp", via="device")
    before = int(time.time())

    line = issue(services, session)

    found = verify_certificate(
        unb64(line.split(" ")[1]), {services.keys.user_ca.public_key: ACTIVE}
    )
    assert found.key_id == session.user.id
    assert found.principals == (session.user.id,)
    assert found.serial >> 32 >= before - 60
    assert before - 60 <= found.valid_after <= before - 55
    assert found.valid_before == found.valid_after + 60 + 3600
    assert found.critical_options == ()


def test_its_options_are_the_bytes_that_ssh_keygen_writes(
    services: Services, tmp_path: Path
) -> None:
    session = add_session(services, amr="pwd otp", via="device")
    line = issue(services, session)
    (tmp_path / "subject.pub").write_text(new_key() + "\n")
    keygen("-t", "ed25519", "-N", "", "-f", tmp_path / "ca")
    options = [
        "amr@amrgate=mfa,otp,pwd",
        f"auth-time@amrgate={session.auth_time}",
        f"session@amrgate={session.handle}",
        "name@amrgate=Alice",
        "via@amrgate=device",
        "has-mfa@platform.sh",
    ]
    words = [word for option in options for word in ("-O", f"extension:{option}")]
    permits = ["pty", "port-forwarding", "agent-forwarding", "X11-forwarding"]
    words += ["-O", "clear", *[word for one in permits for word in ("-O", f"permit-{one}")]]
    keygen("-s", tmp_path / "ca", "-I", "x", "-n", "x", *words, tmp_path / "subject.pub")

    theirs = read((tmp_path / "subject-cert.pub").read_text().strip())

    assert read(line).extensions == theirs.extensions


def test_a_password_alone_is_not_mfa(services: Services) -> None:
    found = dict(read(issue(services, add_session(services))).extensions)

    assert found["amr@amrgate"] == b"\0\0\0\x03pwd"
    assert "has-mfa@platform.sh" not in found
    assert "via@amrgate" not in found


def test_one_line_end_is_taken_off_and_nothing_else_is_taken(services: Services) -> None:
    session = add_session(services)
    key = new_key()

    line = issue(services, session, key=f"{key}\n", principals=["root"], amr=["mfa"])

    assert read(line).public_key == parse_subject_key(key)
    assert read(line).principals == (session.user.id,)


# --- how long it lives ----------------------------------------------------------------------

ABSENT = object()


@pytest.mark.attack(75)
@pytest.mark.parametrize(
    ("asked", "lifetime"),
    [
        pytest.param(ABSENT, 3600, id="missing"),
        pytest.param(300, 300, id="the shortest"),
        pytest.param(1800, 1800, id="shorter"),
        pytest.param(3600, 3600, id="the longest"),
        pytest.param(3601, 3600, id="one more"),
        pytest.param(2**63, 3600, id="2^63"),
        pytest.param(10**400, 3600, id="absurd"),
        pytest.param(299, None, id="one less"),
        pytest.param(1, None, id="1"),
        pytest.param(0, None, id="0"),
        pytest.param(-1, None, id="-1"),
        pytest.param(1800.0, None, id="float"),
        pytest.param("1e9", None, id="text"),
        pytest.param("1800", None, id="digits"),
        pytest.param(None, None, id="null"),
        pytest.param(True, None, id="true"),
        pytest.param([1800], None, id="list"),
    ],
)
def test_a_lifetime_is_granted_cut_or_refused(
    services: Services, asked: object, lifetime: int | None
) -> None:
    session = add_session(services)
    fields = {} if asked is ABSENT else {"lifetime": asked}

    response = post(services, token_of(services, session), **fields)

    if lifetime is None:
        assert response.status_code == 400, response.text
        assert "lifetime" in response.json()["error_description"]
        assert intents(services.engine) == []
    else:
        found = read(response.json()["certificate"])
        assert found.valid_before - found.valid_after == 60 + lifetime


@pytest.mark.attack(75)
@pytest.mark.parametrize(
    ("limits", "lifetime"),
    [((), 3600), ((None, 1800), 1800), ((7200, 1200), 1200), ((10, None), 300), ((-5,), 300)],
)
def test_the_strictest_limit_wins(limits: tuple[int | None, ...], lifetime: int) -> None:
    assert draft.lifetime(draft.MAX_LIFETIME, limits) == lifetime
    assert draft.lifetime(300, limits) == 300


@pytest.mark.attack(75)
def test_an_organization_of_the_person_or_the_session_may_say_less(services: Services) -> None:
    session = add_session(services, life=1000)
    now = int(time.time())
    found = read(issue(services, session))
    assert 990 <= found.valid_before - now <= 1000

    with writing(services.engine) as connection:
        for name, limit in (("acme", 600), ("other", None)):
            values = {"id": name, "name": name, "label": name, "created_at": now}
            connection.execute(insert(organizations).values(**values, certificate_lifetime=limit))
            values = {"organization_id": name, "user_id": session.user.id, "role": "viewer"}
            connection.execute(insert(members).values(**values))

    found = read(issue(services, session))
    assert found.valid_before - found.valid_after == 60 + 600


# --- who gets one ---------------------------------------------------------------------------


@pytest.mark.attack(68)
def test_nobody_gets_one_without_an_access_token(services: Services) -> None:
    session = add_session(services)
    alice = Person(session.user.id, "alice")
    browser = Browser(services)
    client = Client(services)
    tokens = client.exchange(client.log_in(browser, alice)).json()
    assert browser.cookie
    key = {"key": new_key()}
    cases = {
        "no token": browser.http.post(
            "/ssh", json=key, headers={"origin": "http://127.0.0.1:8080"}
        ),
        "an empty one": post(services, ""),
        "a refresh token": post(services, tokens["refresh_token"]),
        "a cookie": post(services, browser.cookie),
        "a session's id": post(services, session.sid),
        "another scheme": Browser(services).http.post(
            "/ssh", json=key, headers={"authorization": f"Basic {tokens['access_token']}"}
        ),
        "in the address": Browser(services).http.post(
            f"/ssh?access_token={tokens['access_token']}", json=key
        ),
    }

    assert {name: answer.status_code for name, answer in cases.items()} == dict.fromkeys(cases, 401)
    assert intents(services.engine) == []
    assert post(services, tokens["access_token"]).status_code == 200


def end(services: Services, session: GrantSession, how: str) -> None:
    now = int(time.time())
    with writing(services.engine) as connection:
        if how == "ended":
            sessions.end_grant_session(connection, session.sid, Cause(now, "", ""))
        elif how == "disabled":
            connection.execute(update(users).values(disabled_at=now))
        elif how == "deleted":
            connection.execute(delete(users).where(users.c.id == session.user.id))


@pytest.mark.parametrize("how", ["ended", "disabled", "deleted"])
def test_what_ended_gets_none_at_the_very_next_request(services: Services, how: str) -> None:
    session = add_session(services)
    token = token_of(services, session)
    assert post(services, token).status_code == 200

    end(services, session, how)

    answer = post(services, token)
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_token"
    assert "amrgate login" in answer.json()["error_description"]
    assert len(intents(services.engine)) == 1


def test_a_revoked_token_gets_none(services: Services) -> None:
    session = add_session(services)
    token = token_of(services, session)
    payload = token.split(".")[1]
    jti = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"]
    with writing(services.engine) as connection:
        connection.execute(insert(revoked_access_tokens).values(jti=jti, expires_at=2**40))

    assert post(services, token).status_code == 401
    assert post(services, token_of(services, session)).status_code == 200


def test_a_token_for_somebody_else_s_session_gets_none(services: Services) -> None:
    alice, bob = add_session(services), add_session(services, "bob")
    forged = replace(alice, user=bob.user)

    assert post(services, token_of(services, forged)).status_code == 401


def test_a_session_without_a_time_gets_none(services: Services) -> None:
    session = add_session(services, "robot", amr="")

    assert post(services, token_of(services, session)).status_code == 403


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", '{"key"'),
        (b'{"key": null}', '{"key"'),
        (b'{"key": ["ssh-ed25519 A"]}', '{"key"'),
        (b'{"key": "a", "key": "b"}', "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(services: Services, body: bytes, words: str) -> None:
    token = token_of(services, add_session(services))
    http = Browser(services).http

    answer = http.post("/ssh", content=body, headers={"authorization": f"Bearer {token}"})

    assert answer.status_code == 400
    assert words in answer.json()["error_description"]
    assert answer.json()["error"] == "invalid_request"


# --- what is on record ----------------------------------------------------------------------


class Watched:
    """A key that looks, when it is to sign, whether that is on record; and can be made to fail."""

    def __init__(self, engine: Engine) -> None:
        self._inner = FileSigner(Ed25519PrivateKey.generate())
        self._engine = engine
        self.public_key = self._inner.public_key
        self.signed: list[bytes] = []
        self.faulty = ""

    def sign(self, data: bytes) -> bytes:
        assert data in intents(self._engine)
        if self.faulty == "unreachable":
            raise SigningFailed("The key cannot be reached.")
        self.signed.append(data)
        return self._inner.sign(data + self.faulty.encode())


@pytest.fixture
def watched(services: Services, database_url: str) -> Iterator[tuple[Services, Watched]]:
    """The service with such a key, which has a database connection of its own."""
    engine = open_engine(database_url)
    key = Watched(engine)
    keys: Keyring = replace(services.keys, user_ca=key)
    issuer = Issuer(services.engine, keys)
    yield replace(services, keys=keys, issuer=issuer), key
    issuer.close()
    engine.dispose()


def test_the_exact_bytes_are_on_record_before_they_are_signed(
    watched: tuple[Services, Watched],
) -> None:
    services, key = watched
    session = add_session(services)

    line = issue(services, session)

    certificate, signed, _ = parse(unb64(line.split(" ")[1]))
    assert key.signed == intents(services.engine) == [signed]
    assert wait_for_outcomes(services.engine) == {certificate.serial: "signed"}
    with reading(services.engine) as connection:
        row = connection.execute(select(certificates)).one()
        assert (row.kind, row.subject, row.sid) == ("user", session.user.id, session.sid)
        assert row.valid_before == certificate.valid_before
        assert audit.verify(connection).seq >= 2


@pytest.mark.parametrize("fault", ["unreachable", "a wrong signature"])
def test_a_key_that_fails_gives_no_certificate(
    watched: tuple[Services, Watched], fault: str
) -> None:
    services, key = watched
    session = add_session(services)
    key.faulty = fault

    answer = post(services, token_of(services, session))

    assert answer.status_code == 503
    assert answer.json()["error"] == "signing_failed"
    assert "certificate" not in answer.json()
    assert list(wait_for_outcomes(services.engine).values()) == ["failed"]

    key.faulty = ""
    issue(services, session)
    assert sorted(wait_for_outcomes(services.engine).values()) == ["failed", "signed"]


def test_what_cannot_be_recorded_is_not_signed(watched: tuple[Services, Watched]) -> None:
    services, key = watched
    session = add_session(services)
    token = token_of(services, session)
    with writing(services.engine) as connection:
        connection.execute(text("ALTER TABLE audit_records RENAME TO elsewhere"))

    answer = post(services, token)

    assert answer.status_code == 503
    assert answer.json()["error"] == "temporarily_unavailable"
    assert key.signed == []
    with writing(services.engine) as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO audit_records"))
        assert connection.execute(select(certificates)).all() == []
    assert post(services, token).status_code == 200


def test_many_at_once_are_all_recorded_in_one_chain(services: Services) -> None:
    session = add_session(services)
    bearer = Bearer(session.user.id, session.sid, "a token")
    now = int(time.time())

    async def ask(count: int) -> list[bytes]:
        keys = [parse_subject_key(new_key()) for _ in range(count)]
        asked = [services.issuer.issue_user(bearer, key, 3600, now) for key in keys]
        return await asyncio.gather(*asked)

    issued = asyncio.run(ask(300))

    signed = {parse(blob)[1] for blob in issued}
    assert len(signed) == 300
    assert signed == set(intents(services.engine))
    assert list(wait_for_outcomes(services.engine).values()) == ["signed"] * 300
    with reading(services.engine) as connection:
        audit.verify(connection)


def test_what_was_left_open_is_closed_as_unknown(services: Services) -> None:
    now = int(time.time())
    row = {"kind": "user", "subject": "a", "sid": "b", "valid_before": now + 3600}
    with writing(services.engine) as connection:
        for serial, age in ((1, 120), (2, 10)):
            values = {"serial": serial, "issued_at": now - age, **row}
            connection.execute(insert(certificates).values(values))

        assert close_abandoned(connection, now) == [1]
        assert close_abandoned(connection, now) == []

        last = connection.execute(
            select(audit_records.c.detail).order_by(audit_records.c.seq.desc()).limit(1)
        ).scalar_one()
        assert json.loads(last) == {"unknown": ["1"]}
        outcomes = select(certificates.c.outcome).order_by(certificates.c.serial)
        assert connection.execute(outcomes).scalars().all() == ["unknown", None]


def test_a_slow_key_holds_up_nobody_else(services: Services) -> None:
    """A key across a network is asked in a thread: the event loop goes on."""
    key_is_asked, released = threading.Event(), threading.Event()
    inner = FileSigner(Ed25519PrivateKey.generate())

    class Slow:
        public_key = inner.public_key

        def sign(self, data: bytes) -> bytes:
            key_is_asked.set()
            assert released.wait(timeout=20)
            return inner.sign(data)

    session = add_session(services)
    bearer = Bearer(session.user.id, session.sid, "a token")
    issuer = Issuer(services.engine, replace(services.keys, user_ca=Slow()))

    async def ask() -> bytes:
        key = parse_subject_key(new_key())
        asked = asyncio.create_task(issuer.issue_user(bearer, key, 3600, int(time.time())))
        await asyncio.to_thread(key_is_asked.wait, 20)
        released.set()  # only a loop that is not held up comes here
        return await asked

    assert asyncio.run(ask())
    issuer.close()


# --- hosts ----------------------------------------------------------------------------------

HOST = Host("0b7bcf44-0f8a-4c2e-9f5e-2f4f9d1a7a11", ("ssh.acme.example", "ssh2.acme.example"))


def test_a_host_certificate_has_exactly_its_names(services: Services, tmp_path: Path) -> None:
    now = int(time.time())

    line = host.issue(services.issuer, HOST, parse_subject_key(new_key()), now)

    found = verify_certificate(
        unb64(line.split(" ")[1]), {services.keys.host_ca.public_key: ACTIVE}
    )
    assert (found.kind, found.key_id, found.principals) == (2, HOST.id, HOST.names)
    assert found.valid_before - now == 30 * 86400
    assert found.extensions == found.critical_options == ()
    assert wait_for_outcomes(services.engine) == {found.serial: "signed"}
    (tmp_path / "host-cert.pub").write_text(line)
    shown = keygen("-L", "-f", tmp_path / "host-cert.pub")
    assert "host certificate" in shown
    assert "ssh2.acme.example" in shown


@pytest.mark.parametrize(
    "names", [(), ("*",), ("*.acme.example",), ("SSH.acme.example",), ("a", "a"), ("root@a",)]
)
def test_no_host_certificate_for_names_that_are_none(
    services: Services, names: tuple[str, ...]
) -> None:
    key = parse_subject_key(new_key())
    with pytest.raises((Denied, SigningFailed)):
        services.issuer.issue_host(replace(HOST, names=names), key, int(time.time()))
    assert intents(services.engine) == []


def test_authority_tells_whom_to_trust(services: Services) -> None:
    answer = Browser(services).http.get("/ssh/authority")

    assert answer.status_code == 200
    assert set(answer.json()) == {"authorities", "host_authorities", "host_patterns"}
    assert parse_subject_key(answer.json()["authorities"][0]) == services.keys.user_ca.public_key
