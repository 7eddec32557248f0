"""Somebody's own sessions: seen, and ended. Any live session of theirs may do both.

A browser session takes the logins with it that were granted in it: who does not know a browser
does not want what was let in from there either.
"""

from sqlalchemy import Connection, Engine

from ca import audit
from ca.errors import NotFound
from ca.store.engine import reading, writing
from ca.store.revocations import Cause
from ca.store.session_list import GRANT, Listed, browser_sessions_of, grant_sessions_of
from ca.store.sessions import end_browser_session, end_grant_session, end_sessions

EVENT = "session:end"


def sessions_of(engine: Engine, user_id: str, now: int) -> list[Listed]:
    """The user's live sessions: browsers', then grants'; the one used last first."""
    with reading(engine) as connection:
        return _live(connection, user_id, now)


def end(engine: Engine, user_id: str, session_id: str, now: int) -> None:
    """End one session of the user, and what it granted.

    Raises:
        NotFound: the user has no such session.
    """
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


def end_others(engine: Engine, user_id: str, present: str, now: int) -> None:
    """End all sessions of the user but `present`, the id of one or a `sid`."""
    cause = Cause(now, user_id, "session:end_others")
    with writing(engine) as connection:
        revoked = end_sessions(connection, user_id, cause, but=present)
        audit.append_revoking(connection, cause, user_id, revoked)


def _live(connection: Connection, user_id: str, now: int) -> list[Listed]:
    return browser_sessions_of(connection, user_id, now) + grant_sessions_of(
        connection, user_id, now
    )
