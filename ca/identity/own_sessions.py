"""Somebody's own sessions: seen by any live one, and ended by one whose login is recent.

So a thief with an old cookie logs nobody out. Whoever must be quick changes their password, which
ends all others and asks for no less.

A browser session takes the logins with it that were granted in it: who does not know a browser
does not want what was let in from there either.
"""

from sqlalchemy import Connection, Engine

from ca import audit
from ca.errors import InsufficientAuthentication, NotFound
from ca.identity.factors import Acting, refuse_token
from ca.identity.proofs import since
from ca.identity.stepup import FRESH
from ca.store.engine import reading, writing
from ca.store.revocations import Cause
from ca.store.session_list import GRANT, Listed, browser_sessions_of, grant_sessions_of
from ca.store.sessions import end_browser_session, end_grant_session, end_sessions

EVENT = "session:end"


def sessions_of(engine: Engine, user_id: str, now: int) -> list[Listed]:
    """The user's live sessions: browsers', then grants'; the one used last first."""
    with reading(engine) as connection:
        return _live(connection, user_id, now)


def end(engine: Engine, acting: Acting, session_id: str, now: int) -> None:
    """End one session of whoever is acting, and what it granted. The present one ends at any time.

    Raises:
        NotFound: they have no such session.
        InsufficientAuthentication: they proved nothing in the last ten minutes.
        Denied: an API token stands for their login.
    """
    user_id = acting.user_id
    if session_id != acting.session_id:
        _check_recent(acting, now)
    cause = Cause(now, user_id, EVENT)
    with writing(engine) as connection:
        live = _live(connection, user_id, now)
        ended = [one for one in live if session_id in (one.id, one.browser_session_id)]
        if session_id not in {one.id for one in ended}:
            raise NotFound("There is no such session.")
        revoked: list[int] = []
        for one in ended:
            if one.kind == GRANT:
                revoked += end_grant_session(connection, one.id, cause) or []
            else:
                end_browser_session(connection, one.id, now)
        audit.append_revoking(connection, cause, session_id, sorted(revoked))


def end_others(engine: Engine, acting: Acting, now: int) -> None:
    """End all sessions of whoever is acting but the present one.

    Raises:
        InsufficientAuthentication: they proved nothing in the last ten minutes.
        Denied: an API token stands for their login.
    """
    _check_recent(acting, now)
    cause = Cause(now, acting.user_id, "session:end_others")
    with writing(engine) as connection:
        revoked = end_sessions(connection, acting.user_id, cause, but=acting.session_id)
        audit.append_revoking(connection, cause, acting.user_id, revoked)


def _check_recent(acting: Acting, now: int) -> None:
    refuse_token(acting)
    if not since(acting.proofs, now - FRESH):
        raise InsufficientAuthentication("Log in again to end other sessions.", (), FRESH)


def _live(connection: Connection, user_id: str, now: int) -> list[Listed]:
    return browser_sessions_of(connection, user_id, now) + grant_sessions_of(
        connection, user_id, now
    )
