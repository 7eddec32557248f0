"""Browser sessions: a cookie that changes with each step up, so that a planted one never rises."""

import hashlib
import secrets
import uuid
from dataclasses import dataclass, replace

from sqlalchemy import Engine

from ca import audit
from ca.identity.proofs import Proof, with_proof
from ca.store import sessions as store
from ca.store.engine import reading, writing
from ca.store.people import User
from ca.store.revocations import Cause
from ca.store.sessions import BrowserSession


@dataclass(frozen=True)
class Visitor:
    """Who speaks to us, as far as a session's owner is shown it later."""

    user_agent: str
    address: str


def new_secret() -> str:
    """Something random of 256 bits, for cookies, codes and tokens."""
    return secrets.token_urlsafe(32)


def hash_of(secret: str) -> str:
    """What is stored of it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def find(engine: Engine, cookie: str, now: int) -> BrowserSession | None:
    """The live session of this cookie."""
    with reading(engine) as connection:
        session = store.live_browser_session(connection, hash_of(cookie), now)
    if session is not None and now - session.seen_at > store.SEEN_EVERY:
        with writing(engine) as connection:
            store.touch_browser_session(connection, session, now)
    return session


def add_proof(
    engine: Engine, session: BrowserSession, proof: Proof
) -> tuple[BrowserSession, str] | None:
    """Lift a session by one proof; returns it and its new cookie, None if it ended meanwhile."""
    lifted = replace(session, proofs=with_proof(session.proofs, proof), seen_at=proof.at)
    cookie = new_secret()
    with writing(engine) as connection:
        if not store.raise_browser_session(
            connection, session.id, hash_of(cookie), lifted.proofs, proof.at
        ):
            return None
        audit.append(connection, "session:lift", session.user.id, session.id, {"by": proof.amr})
    return lifted, cookie


def renew_cookie(engine: Engine, session: BrowserSession, now: int) -> str:
    """A new cookie for the same session, after something changed that it rests on."""
    cookie = new_secret()
    with writing(engine) as connection:
        store.raise_browser_session(connection, session.id, hash_of(cookie), session.proofs, now)
    return cookie


def begin(
    engine: Engine, user: User, proof: Proof, visitor: Visitor, replaced: BrowserSession | None
) -> tuple[BrowserSession, str]:
    """A new session, and its cookie. It takes the browser from the session that was there."""
    session = BrowserSession(
        id=str(uuid.uuid4()), user=user, proofs=(proof,), created_at=proof.at, seen_at=proof.at
    )
    cookie = new_secret()
    with writing(engine) as connection:
        if replaced is not None:
            store.end_browser_session(connection, replaced.id, proof.at)
        store.add_browser_session(
            connection, session, hash_of(cookie), visitor.user_agent, visitor.address
        )
        audit.append(connection, "session:begin", user.id, session.id, {"by": proof.amr})
    return session, cookie


def log_out(engine: Engine, session: BrowserSession, now: int) -> None:
    """End this browser session and everything that its person granted."""
    with writing(engine) as connection:
        store.end_browser_session(connection, session.id, now)
        cause = Cause(now, session.user.id, "session:logout")
        revoked = store.end_grants(connection, session.user.id, cause)
        audit.append_revoking(connection, cause, session.id, revoked)
