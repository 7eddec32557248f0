"""Browser sessions: a cookie that changes with each step up, so that a planted one never rises."""

import hashlib
import secrets
import uuid
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine

from ca import audit
from ca.errors import NotAuthenticated
from ca.identity import hourly
from ca.identity.proofs import Proofs, providers_in, with_proof
from ca.store import people, sso, webauthn
from ca.store import sessions as store
from ca.store.engine import reading, writing
from ca.store.over import forget_over
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


def add_proofs(
    engine: Engine, session: BrowserSession, proofs: Proofs, now: int
) -> tuple[BrowserSession, str] | None:
    """Lift a session by proofs; returns it and its new cookie, None if it ended meanwhile.

    Raises:
        NotAuthenticated: as `begin`.
    """
    every = session.proofs
    for proof in proofs:
        every = with_proof(every, proof)
    lifted = replace(session, proofs=every, seen_at=now)
    cookie = new_secret()
    with writing(engine) as connection:
        _count(connection, session.user, proofs, now)
        _hold_what_they_rest_on(connection, session.user, proofs)
        if not store.raise_browser_session(connection, session.id, hash_of(cookie), every, now):
            return None
        audit.append(connection, "session:lift", session.user.id, session.id, _by(proofs))
    return lifted, cookie


def renew_cookie(engine: Engine, session: BrowserSession, now: int) -> str:
    """A new cookie for the same session, after something changed that it rests on."""
    cookie = new_secret()
    with writing(engine) as connection:
        store.raise_browser_session(connection, session.id, hash_of(cookie), session.proofs, now)
    return cookie


def begin(  # noqa: PLR0913 who, after what, and where
    engine: Engine,
    user: User,
    proofs: Proofs,
    visitor: Visitor,
    replaced: BrowserSession | None,
    *,
    now: int,
) -> tuple[BrowserSession, str]:
    """A new session, and its cookie. It takes the browser from the session that was there.

    Raises:
        NotAuthenticated: what they logged in with was changed, or taken away, meanwhile.
        TooManyAttempts: they logged in in this way too often within the hour.
    """
    session = BrowserSession(
        id=str(uuid.uuid4()), user=user, proofs=proofs, created_at=now, seen_at=now
    )
    cookie = new_secret()
    with writing(engine) as connection:
        _count(connection, user, proofs, now)
        _hold_what_they_rest_on(connection, user, proofs)
        forget_over(connection, user.id, now)
        if replaced is not None:
            store.end_browser_session(connection, replaced.id, now)
        store.add_browser_session(
            connection, session, hash_of(cookie), visitor.user_agent, visitor.address
        )
        audit.append(connection, "session:begin", user.id, session.id, _by(proofs))
    return session, cookie


def log_out(engine: Engine, session: BrowserSession, now: int) -> None:
    """End this browser session and everything that its person granted."""
    with writing(engine) as connection:
        store.end_browser_session(connection, session.id, now)
        cause = Cause(now, session.user.id, "session:logout")
        revoked = store.end_grants(connection, session.user.id, cause)
        audit.append_revoking(connection, cause, session.id, revoked)


def _count(connection: Connection, user: User, proofs: Proofs, now: int) -> None:
    # By the way: whoever has the password does not keep its owner's passkey out.
    hourly.count(connection, hourly.LOGIN, f"{user.id} {proofs[0].amr}", user.id, now)


_HOLD = {
    "pwd": people.hold_password,
    "otp": people.hold_totp,
    "recovery": people.hold_recovery_code,
    "hwk": webauthn.hold_key,
    "swk": webauthn.hold_key,
}


def _hold_what_they_rest_on(connection: Connection, user: User, proofs: Proofs) -> None:
    """See that what a login rests on is there, and stays until the session is stored.

    A login may be on its way for seconds, waiting for its turn to hash. Whoever changes a password,
    or ends a factor, a link or a provider, first does that and then looks for sessions to end.
    """
    for slug in sorted(providers_in(proofs)):
        if not sso.hold_identity(connection, user.id, slug):
            raise NotAuthenticated("The account that you logged in with is not linked any more.")
    for proof in proofs:
        if proof.of and not _HOLD[proof.amr](connection, user.id, proof.of):
            raise NotAuthenticated("What you logged in with was changed meanwhile. Log in again.")


def _by(proofs: Proofs) -> dict[str, str]:
    return {"by": " ".join(proof.amr for proof in proofs)}
