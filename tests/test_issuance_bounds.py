"""Whoever holds a stolen token fills neither the audit log nor the table, and locks nobody out."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import func, select, text

from ca import audit
from ca.errors import CAError, TooManyAttempts
from ca.identity.attempts import WINDOW
from ca.issuance import bounds
from ca.issuance.sign import Bearer, Issuer
from ca.issuance.subject_key import parse_subject_key
from ca.store import sessions
from ca.store.engine import reading, writing
from ca.store.tables import attempts, audit_records, certificates
from tests.api_tokens import exchange, made, somebody
from tests.directory import log_in
from tests.issuing import add_session, new_key, post, token_of

if TYPE_CHECKING:
    import pytest

    from ca.services import Services
    from ca.store.sessions import GrantSession

NOW = (int(time.time()) // WINDOW + 1) * WINDOW + WINDOW // 2  # in the midst of an hour


def ask(issuer: Issuer, session: GrantSession, count: int, now: int = NOW) -> list[CAError]:
    """Ask `count` times at once; return the refusals."""
    bearer = Bearer(session.user.id, session.sid, "a token")

    async def asked() -> list[bytes | BaseException]:
        keys = [parse_subject_key(new_key()) for _ in range(count)]
        every = [issuer.issue_user(bearer, key, 3600, now) for key in keys]
        return await asyncio.gather(*every, return_exceptions=True)

    answers = [one for one in asyncio.run(asked()) if not isinstance(one, bytes)]
    assert all(isinstance(one, CAError) for one in answers), answers
    return [one for one in answers if isinstance(one, CAError)]


def another_login(services: Services, session: GrantSession) -> GrantSession:
    other = replace(session, sid=str(uuid.uuid4()), handle=str(uuid.uuid4()))
    with writing(services.engine) as connection:
        sessions.add_grant_session(connection, other, NOW)
    return other


def recorded(services: Services) -> list[tuple[str, str, dict[str, object]]]:
    """Whose bounds were reached, of what, and what that record says."""
    columns = audit_records.c
    with reading(services.engine) as connection:
        rows = connection.execute(
            select(columns.actor, columns.subject, columns.detail)
            .where(columns.event == "certificate:bound")
            .order_by(columns.seq)
        ).all()
    return [(row.actor, row.subject, json.loads(row.detail)) for row in rows]


def issued(services: Services) -> int:
    with reading(services.engine) as connection:
        return connection.execute(select(func.count()).select_from(certificates)).scalar_one()


def test_a_login_gets_no_more_than_that_of_all_nodes_together(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "OF_LOGIN", 7)
    monkeypatch.setattr(bounds, "STEP", 1)
    session = add_session(services)
    nodes = [services.issuer, Issuer(services.engine, services.keys)]

    refused = [one for number in range(20) for one in ask(nodes[number % 2], session, 1)]

    assert len(refused) == 12
    assert all(isinstance(one, TooManyAttempts) for one in refused), refused
    assert issued(services) == 8, "the other node does not know until it notes one"
    told = [(session.user.id, session.sid, {"of": "session", "most": 7})]
    assert recorded(services) == told

    assert ask(nodes[1], session, 3, NOW + WINDOW) == [], "the next hour"
    assert recorded(services) == told
    nodes[1].close()
    with reading(services.engine) as connection:
        audit.verify(connection)


def test_who_asks_now_and_then_or_on_and_on_costs_no_write(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "OF_LOGIN", 10)
    monkeypatch.setattr(bounds, "STEP", 5)
    session = add_session(services)

    def noted() -> list[int]:
        with reading(services.engine) as connection:
            return list(connection.execute(select(attempts.c.failures)).scalars())

    assert ask(services.issuer, session, 4) == []
    assert noted() == []
    assert ask(services.issuer, session, 1) == []
    assert noted() == [5, 5]
    assert ask(services.issuer, session, 5) == []
    assert noted() == [10, 10]

    monkeypatch.setattr("ca.issuance.writer.Writer.record", None)  # whoever wants to write, fails
    (refusal,) = ask(services.issuer, session, 1)
    assert isinstance(refusal, TooManyAttempts)
    assert refusal.retry_after == WINDOW // 2


def test_what_waits_when_it_is_reached_is_refused(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands may wait to be recorded by then."""
    monkeypatch.setattr(bounds, "OF_LOGIN", 20)
    monkeypatch.setattr(bounds, "STEP", 1)
    monkeypatch.setattr("ca.issuance.writer.MAX_BATCH", 8)
    session = add_session(services)

    refused = ask(services.issuer, session, 100)

    assert 20 <= 100 - len(refused) == issued(services) < 28


def test_what_was_not_recorded_is_not_counted(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "OF_LOGIN", 3)
    monkeypatch.setattr(bounds, "STEP", 1)
    session = add_session(services)
    for before, after in ("audit_records", "elsewhere"), ("elsewhere", "audit_records"):
        with writing(services.engine) as connection:
            connection.execute(text(f"ALTER TABLE {before} RENAME TO {after}"))
        refused = ask(services.issuer, session, 3)
        assert len(refused) == (3 if after == "elsewhere" else 0), refused
    assert len(ask(services.issuer, session, 1)) == 1


def test_the_same_person_goes_on_with_another_login_up_to_a_bound_of_their_own(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "OF_LOGIN", 4)
    monkeypatch.setattr(bounds, "OF_USER", 6)
    monkeypatch.setattr(bounds, "STEP", 1)
    stolen, other = add_session(services), add_session(services, "bob")
    assert ask(services.issuer, stolen, 4) == []
    assert len(ask(services.issuer, stolen, 10)) == 10

    again = another_login(services, stolen)

    assert ask(services.issuer, again, 2) == []
    (refusal,) = ask(services.issuer, again, 1)
    assert "With this account, 6 certificates" in refusal.message
    assert ask(services.issuer, other, 4) == []
    assert [told[:2] for told in recorded(services)] == [
        (stolen.user.id, stolen.sid),
        (stolen.user.id, stolen.user.id),
        (other.user.id, other.sid),
    ]


def test_all_jobs_of_one_api_token_share_its_bound(
    one_ca: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "OF_LOGIN", 2)
    monkeypatch.setattr(bounds, "STEP", 1)
    api = log_in(one_ca, somebody(one_ca, app=True).username, "pwd", "otp")
    secret, another = made(api)["token"], made(api, "another")["token"]

    def job(token: str) -> int:
        return post(one_ca, exchange(one_ca, token).json()["access_token"]).status_code

    assert [job(secret) for _ in range(4)] == [200, 200, 429, 429]
    assert job(another) == 200


def test_the_person_is_told_what_happened_and_for_how_long(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "OF_LOGIN", 1)
    monkeypatch.setattr(bounds, "STEP", 1)
    session = add_session(services)
    token = token_of(services, session)
    assert post(services, token).status_code == 200

    answer = post(services, token)

    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= WINDOW
    body = answer.json()
    assert body["error"] == "too_many_attempts"
    assert body["error_description"].startswith("With this login, 1 certificates")
    assert "amrgate logout" in body["error_description"]
