"""Sessions and codes that are over are forgotten, a day later, when their person logs in again."""

from sqlalchemy import Column, ColumnElement, Connection, delete, or_, select

from ca.store.sessions import BROWSER_IDLE, BROWSER_LIFETIME, GRANT_IDLE
from ca.store.tables import (
    authorization_codes,
    browser_sessions,
    grant_sessions,
    open_connections,
)

KEPT = 86400
"""Seconds that what is over is still known. No certificate of a session outlives them, so all that
there is to revoke of its person is found."""


def forget_over(connection: Connection, user_id: str, now: int) -> None:
    """Forget somebody's sessions, with their tokens, and codes.

    A session stays for the connections that are open with its certificates, a browser's for what it
    granted, and a code that was spent for its session, which a second use ends.
    """
    before = now - KEPT
    grants, browsers, codes = grant_sessions.c, browser_sessions.c, authorization_codes.c
    is_open = select(open_connections.c.session).where(open_connections.c.session == grants.handle)
    granted = select(grants.sid).where(grants.browser_session_id == browsers.id)
    began = select(grants.sid).where(grants.sid == codes.sid)
    _forget(
        connection,
        grants.sid,
        grants.user_id == user_id,
        or_(
            grants.ended_at < before,
            grants.expires_at < before,
            grants.seen_at < before - GRANT_IDLE,
        ),
        ~is_open.exists(),
    )
    _forget(
        connection,
        browsers.cookie_hash,
        browsers.user_id == user_id,
        or_(
            browsers.ended_at < before,
            browsers.created_at < before - BROWSER_LIFETIME,
            browsers.seen_at < before - BROWSER_IDLE,
        ),
        ~granted.exists(),
    )
    _forget(
        connection,
        codes.code_hash,
        codes.user_id == user_id,
        codes.expires_at < before,
        ~began.exists(),
    )


def _forget(connection: Connection, key: Column[str], *which: ColumnElement[bool]) -> None:
    # It waits for nobody: else whoever ends these very sessions in another order might wait for us.
    over = select(key).where(*which).with_for_update(skip_locked=True)
    connection.execute(delete(key.table).where(key.in_(over)))
