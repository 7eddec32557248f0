"""Nothing is signed that is not on record first, whatever fails."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, select, text

from ca import audit
from ca.errors import SigningFailed
from ca.issuance.abandoned import close_abandoned
from ca.issuance.sign import Bearer, Issuer
from ca.issuance.subject_key import parse_subject_key
from ca.keys.files import FileSigner
from ca.store.engine import open_engine, reading, writing
from ca.store.tables import audit_records, certificates
from sshd_hook.certificate import parse
from sshd_hook.wire import unb64
from tests.issuing import add_session, intents, issue, new_key, post, token_of, wait_for_outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from ca.keys import Keyring
    from ca.services import Services


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
