"""Certificates to be revoked, and what came of it."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from ca.identity import sessions as browser
from ca.issuance.writer import INTENT, OUTCOME
from ca.store import revocations, sessions, tables
from ca.store.engine import reading, writing
from ca.store.sessions import BrowserSession, GrantSession
from sshd_hook.certificate import parse
from sshd_hook.wire import unb64
from tests.issuing import issue

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from ca.services import Services


def serial_of(certificate: str) -> int:
    return parse(unb64(certificate.split()[1]))[0].serial


def another_session(services: Services, first: GrantSession) -> GrantSession:
    """Of the same person, in another client."""
    session = replace(
        first,
        sid=str(uuid.uuid4()),
        handle=str(uuid.uuid4()),
        browser_session_id=str(uuid.uuid4()),
    )
    with writing(services.engine) as connection:
        sessions.add_grant_session(connection, session, int(time.time()))
    return session


def serials(services: Services, session: GrantSession, number: int = 1) -> set[int]:
    """Of certificates that the session is given now."""
    return {serial_of(issue(services, session)) for _ in range(number)}


def listed(engine: Engine, kind: str = "user") -> set[int]:
    with reading(engine) as connection:
        return set(revocations.listed(connection).serials.get(kind, []))


def version(engine: Engine) -> int:
    with reading(engine) as connection:
        return revocations.version(connection)


def last_record(engine: Engine) -> tuple[str, str, dict[str, Any]]:
    """Event, actor and detail of the last record of something that somebody did."""
    columns = tables.audit_records.c
    query = (
        select(columns.event, columns.actor, columns.detail)
        .where(columns.event.not_in((INTENT, OUTCOME)))
        .order_by(columns.seq.desc())
    )
    with reading(engine) as connection:
        event, actor, detail = connection.execute(query.limit(1)).one()
    return event, actor, json.loads(detail)


def log_out(services: Services, session: GrantSession, now: int) -> None:
    at = BrowserSession("a browser's", session.user, (), now, now)
    browser.log_out(services.engine, at, now)


def record_certificates(engine: Engine, first: int, ends: list[int], kind: str = "user") -> None:
    rows = [
        {
            "serial": first + place,
            "kind": kind,
            "subject": "somebody",
            "issued_at": 0,
            "valid_before": end,
            "outcome": "signed",
        }
        for place, end in enumerate(ends)
    ]
    with writing(engine) as connection:
        connection.execute(insert(tables.certificates), rows)
