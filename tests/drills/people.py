"""People for drills: many, with sessions that have a password's proof already."""

from __future__ import annotations

import secrets
import time
import uuid
from typing import TYPE_CHECKING

from ca.identity.proofs import Proof
from ca.identity.sessions import hash_of, new_secret
from ca.store import sessions
from ca.store.engine import writing
from ca.store.sessions import BrowserSession
from tests.web import add_person, user_of

if TYPE_CHECKING:
    from ca.services import Services
    from tests.web import Person


def newcomer(services: Services, *, app: bool = False) -> Person:
    """Somebody with PASSWORD and a name that nobody has."""
    return add_person(services, f"d{secrets.token_hex(8)}", app=app)


def begin_sessions(services: Services, person: Person, count: int) -> list[tuple[str, str]]:
    """Id and cookie of new browser sessions in which the password was right just now."""
    now = int(time.time())
    user = user_of(services, person)
    made = []
    with writing(services.engine) as connection:
        for _ in range(count):
            session = BrowserSession(
                id=str(uuid.uuid4()),
                user=user,
                proofs=(Proof("pwd", now),),
                created_at=now,
                seen_at=now,
            )
            cookie = new_secret()
            hashed = hash_of(cookie)
            sessions.add_browser_session(connection, session, hashed, "drill", "192.0.2.9")
            made.append((session.id, cookie))
    return made
