"""Queries about all the sessions of somebody, as they are shown to them."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from ca.identity.proofs import Proofs, from_fields
from ca.store.sessions import BROWSER_IDLE, BROWSER_LIFETIME, GRANT_IDLE
from ca.store.tables import api_tokens, browser_sessions, grant_sessions

BROWSER, GRANT = "browser", "grant"


@dataclass(frozen=True)
class Listed:
    """A live session: a browser's, or that of a grant's client, which was allowed in a browser."""

    id: str  # a grant session's `sid`
    kind: str
    proofs: Proofs
    created_at: int
    seen_at: int
    user_agent: str
    address: str
    """Where it was used last, as far as that is known; of a browser, where it logged in."""
    client_id: str = ""
    via: str = ""
    browser_session_id: str = ""
    browser: str = ""
    """The user agent of the one that it was allowed in."""
    api_token: str | None = None
    """The name of the one that it was begun with."""


def browser_sessions_of(connection: Connection, user_id: str, now: int) -> list[Listed]:
    """The user's live browser sessions, the one that was used last first."""
    rows = connection.execute(
        select(
            browser_sessions.c.id,
            browser_sessions.c.proofs,
            browser_sessions.c.created_at,
            browser_sessions.c.seen_at,
            browser_sessions.c.user_agent,
            browser_sessions.c.address,
        )
        .where(
            browser_sessions.c.user_id == user_id,
            browser_sessions.c.ended_at.is_(None),
            browser_sessions.c.seen_at > now - BROWSER_IDLE,
            browser_sessions.c.created_at > now - BROWSER_LIFETIME,
        )
        .order_by(browser_sessions.c.seen_at.desc(), browser_sessions.c.id)
    )
    return [
        Listed(
            row.id,
            BROWSER,
            from_fields(row.proofs),
            row.created_at,
            row.seen_at,
            row.user_agent,
            row.address,
        )
        for row in rows
    ]


def grant_sessions_of(connection: Connection, user_id: str, now: int) -> list[Listed]:
    """The user's live grant sessions, the one that was refreshed last first."""
    rows = connection.execute(
        select(
            grant_sessions.c.sid,
            grant_sessions.c.proofs,
            grant_sessions.c.created_at,
            grant_sessions.c.seen_at,
            grant_sessions.c.client_id,
            grant_sessions.c.via,
            grant_sessions.c.browser_session_id,
            grant_sessions.c.user_agent,
            grant_sessions.c.address,
            browser_sessions.c.user_agent.label("browser"),
            api_tokens.c.name.label("api_token"),
        )
        .outerjoin(browser_sessions, browser_sessions.c.id == grant_sessions.c.browser_session_id)
        .outerjoin(api_tokens, api_tokens.c.id == grant_sessions.c.api_token_id)
        .where(
            grant_sessions.c.user_id == user_id,
            grant_sessions.c.ended_at.is_(None),
            grant_sessions.c.seen_at > now - GRANT_IDLE,
            grant_sessions.c.expires_at > now,
        )
        .order_by(grant_sessions.c.seen_at.desc(), grant_sessions.c.sid)
    )
    return [
        Listed(
            row.sid,
            GRANT,
            from_fields(row.proofs),
            row.created_at,
            row.seen_at,
            row.user_agent,
            row.address,
            row.client_id,
            row.via,
            row.browser_session_id,
            row.browser or "",
            row.api_token,
        )
        for row in rows
    ]
