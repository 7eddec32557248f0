"""Queries about sessions: a browser's, and those of grants, to which tokens belong."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, insert, select, update

from ca.identity.proofs import Proofs, amr_of, auth_time_of, from_fields, to_fields
from ca.store.people import USER_COLUMNS, User, user_of
from ca.store.revocations import Cause, revoke_returned, revoke_sessions
from ca.store.tables import (
    api_tokens,
    browser_sessions,
    grant_sessions,
    revoked_access_tokens,
    users,
)
from sshd_hook.policy import Claims

BROWSER_IDLE = 3600  # seconds (NIST SP 800-63B-4, AAL2)
BROWSER_LIFETIME = 86400  # seconds, likewise
GRANT_IDLE = 7 * 86400  # seconds without a refresh

SEEN_EVERY = 60  # seconds: a page view is not worth a write more often


@dataclass(frozen=True)
class BrowserSession:
    """What a cookie stands for."""

    id: str
    user: User
    proofs: Proofs
    created_at: int
    seen_at: int


@dataclass(frozen=True)
class GrantSession:
    """What a token stands for; `handle` is how certificates name it.

    `api_token_id` is the API token that it was begun with, and `token_made_at` when that was made.
    """

    sid: str
    handle: str
    user: User
    browser_session_id: str
    client_id: str
    scope: str
    proofs: Proofs
    via: str
    expires_at: int
    api_token_id: str | None = None
    token_made_at: int | None = None

    @property
    def amr(self) -> frozenset[str]:
        """How its person logged in."""
        return amr_of(self.proofs)

    @property
    def claims(self) -> Claims:
        """What its tokens and certificates claim."""
        return Claims(self.amr, self.auth_time, self.via)

    @property
    def auth_time(self) -> int | None:
        """When the oldest of the factors was proved; a service user's, when its token was made."""
        return auth_time_of(self.proofs) if self.proofs else self.token_made_at


# --- a browser's ----------------------------------------------------------------------------


def add_browser_session(
    connection: Connection,
    session: BrowserSession,
    cookie_hash: str,
    user_agent: str,
    address: str,
) -> None:
    """Store a new session; who asked is shown to its person later."""
    connection.execute(
        insert(browser_sessions).values(
            cookie_hash=cookie_hash,
            id=session.id,
            user_id=session.user.id,
            proofs=to_fields(session.proofs),
            created_at=session.created_at,
            seen_at=session.seen_at,
            user_agent=user_agent[:255],
            address=address[:45],
        )
    )


def live_browser_session(
    connection: Connection, cookie_hash: str, now: int
) -> BrowserSession | None:
    """The session of this cookie, if it is neither ended, idle, too old nor a disabled user's."""
    row = connection.execute(
        select(
            browser_sessions.c.id.label("session_id"),
            browser_sessions.c.proofs,
            browser_sessions.c.created_at,
            browser_sessions.c.seen_at,
            *USER_COLUMNS,
        )
        .join(users, users.c.id == browser_sessions.c.user_id)
        .where(
            browser_sessions.c.cookie_hash == cookie_hash,
            browser_sessions.c.ended_at.is_(None),
            browser_sessions.c.seen_at > now - BROWSER_IDLE,
            browser_sessions.c.created_at > now - BROWSER_LIFETIME,
            users.c.disabled_at.is_(None),
        )
    ).one_or_none()
    if row is None:
        return None
    return BrowserSession(
        id=row.session_id,
        user=user_of(row),
        proofs=from_fields(row.proofs),
        created_at=row.created_at,
        seen_at=row.seen_at,
    )


def is_live_browser_session(connection: Connection, session_id: str, now: int) -> bool:
    """Whether the browser session with this id counts."""
    return connection.execute(_live_browser_session(session_id, now)).first() is not None


def hold_browser_session(connection: Connection, session_id: str, now: int) -> bool:
    """Whether the browser session counts; and until this transaction ends, nobody ends it.

    Whoever ends one and what it granted does so in this order, so what is granted now ends too.
    """
    held = _live_browser_session(session_id, now).with_for_update(read=True)
    return connection.execute(held).first() is not None


def _live_browser_session(session_id: str, now: int) -> Select[tuple[str]]:
    return select(browser_sessions.c.id).where(
        browser_sessions.c.id == session_id,
        browser_sessions.c.ended_at.is_(None),
        browser_sessions.c.seen_at > now - BROWSER_IDLE,
        browser_sessions.c.created_at > now - BROWSER_LIFETIME,
    )


def is_live(connection: Connection, session_id: str, now: int) -> bool:
    """Whether the browser session with this id, or the grant session with this `sid`, counts."""
    if is_live_browser_session(connection, session_id, now):
        return True
    return live_session(connection, session_id, now, jti=None) is not None


def has_ended(connection: Connection, session_id: str) -> bool:
    """Whether somebody ended the browser session with this id, or the grant session."""
    for table, own_id in (
        (browser_sessions, browser_sessions.c.id),
        (grant_sessions, grant_sessions.c.sid),
    ):
        ended = select(own_id).where(own_id == session_id, table.c.ended_at.is_not(None))
        if connection.execute(ended).first() is not None:
            return True
    return False


def touch_browser_session(connection: Connection, session: BrowserSession, now: int) -> None:
    """Note that the session is used."""
    connection.execute(
        update(browser_sessions).where(browser_sessions.c.id == session.id).values(seen_at=now)
    )


def raise_browser_session(
    connection: Connection, session_id: str, cookie_hash: str, proofs: Proofs, now: int
) -> bool:
    """Give a session more proofs and a new cookie, so that nobody who knew the old one rises.

    False if it was ended meanwhile.
    """
    result = connection.execute(
        update(browser_sessions)
        .where(browser_sessions.c.id == session_id, browser_sessions.c.ended_at.is_(None))
        .values(cookie_hash=cookie_hash, proofs=to_fields(proofs), seen_at=now)
    )
    return result.rowcount == 1


def end_browser_session(connection: Connection, session_id: str, now: int) -> None:
    """End one browser session; what it granted lives on."""
    connection.execute(
        update(browser_sessions)
        .where(browser_sessions.c.id == session_id, browser_sessions.c.ended_at.is_(None))
        .values(ended_at=now)
    )


# --- a grant's ------------------------------------------------------------------------------


def add_grant_session(
    connection: Connection,
    session: GrantSession,
    now: int,
    *,
    user_agent: str = "",
    address: str = "",
) -> None:
    """Store a new session; what its client calls itself, and where it is, its person sees later."""
    connection.execute(
        insert(grant_sessions).values(
            sid=session.sid,
            handle=session.handle,
            user_id=session.user.id,
            browser_session_id=session.browser_session_id,
            client_id=session.client_id,
            scope=session.scope,
            proofs=to_fields(session.proofs),
            via=session.via,
            created_at=now,
            seen_at=now,
            expires_at=session.expires_at,
            api_token_id=session.api_token_id,
            user_agent=user_agent[:255],
            address=address[:45],
        )
    )


def live_session(
    connection: Connection, sid: str, now: int, *, jti: str | None
) -> GrantSession | None:
    """The session that a token belongs to, if it still counts.

    `jti` is the access token's, which may have been revoked by itself; None for a refresh token.
    None is also the answer for a session that ended, is idle or too old, or whose user is
    disabled. Whoever takes an access token asks this at every request.
    """
    row = connection.execute(live_session_query(sid, now, jti)).one_or_none()
    return None if row is None else session_of(row)


def live_session_query(
    sid: str | ColumnElement[str],
    now: int | ColumnElement[int],
    jti: str | ColumnElement[str] | None,
) -> Select[*tuple[Any, ...]]:
    """What `live_session` asks; with bound parameters, to be compiled once and asked often."""
    query = session_query().where(
        grant_sessions.c.sid == sid,
        grant_sessions.c.ended_at.is_(None),
        grant_sessions.c.seen_at > now - GRANT_IDLE,
        grant_sessions.c.expires_at > now,
        users.c.disabled_at.is_(None),
    )
    if jti is not None:
        revoked = select(revoked_access_tokens.c.jti).where(revoked_access_tokens.c.jti == jti)
        query = query.where(~revoked.exists())
    return query


def session_query() -> Select[*tuple[Any, ...]]:
    """Every session, also those that are over: what `session_of` reads."""
    made_at = select(api_tokens.c.created_at).where(
        api_tokens.c.id == grant_sessions.c.api_token_id
    )
    return select(
        grant_sessions.c.sid,
        grant_sessions.c.handle,
        grant_sessions.c.browser_session_id,
        grant_sessions.c.client_id,
        grant_sessions.c.scope,
        grant_sessions.c.proofs,
        grant_sessions.c.via,
        grant_sessions.c.expires_at,
        grant_sessions.c.api_token_id,
        made_at.scalar_subquery().label("token_made_at"),
        *USER_COLUMNS,
    ).join(users, users.c.id == grant_sessions.c.user_id)


def live_sessions_of(connection: Connection, user_id: str, now: int) -> list[GrantSession]:
    """Somebody's grant sessions that count, the one that was begun first first."""
    every = live_session_query(grant_sessions.c.sid, now, None)
    mine = every.where(grant_sessions.c.user_id == user_id)
    rows = connection.execute(mine.order_by(grant_sessions.c.created_at, grant_sessions.c.sid))
    return [session_of(row) for row in rows]


def touch_grant_session(
    connection: Connection, sid: str, now: int, *, user_agent: str, address: str
) -> None:
    """Note that the session was refreshed, by what, and where."""
    connection.execute(
        update(grant_sessions)
        .where(grant_sessions.c.sid == sid)
        .values(seen_at=now, user_agent=user_agent[:255], address=address[:45])
    )


def find_handle(connection: Connection, handle: str) -> str | None:
    """The `sid` of the session that certificates call `handle`."""
    query = select(grant_sessions.c.sid).where(grant_sessions.c.handle == handle)
    return connection.execute(query).scalar_one_or_none()


def end_grant_session(connection: Connection, sid: str, cause: Cause) -> list[int] | None:
    """End one grant session, and with it its tokens and certificates; None if it had ended.

    Returns the serials of the certificates that are revoked by it, as do all that end sessions.
    """
    result = connection.execute(
        update(grant_sessions)
        .where(grant_sessions.c.sid == sid, grant_sessions.c.ended_at.is_(None))
        .values(ended_at=cause.at)
    )
    return revoke_sessions(connection, [sid], cause) if result.rowcount == 1 else None


def end_sessions(connection: Connection, user_id: str, cause: Cause, *, but: str = "") -> list[int]:
    """End all of the user's browser and grant sessions but the one with this id or `sid`."""
    connection.execute(
        update(browser_sessions)
        .where(
            browser_sessions.c.user_id == user_id,
            browser_sessions.c.id != but,
            browser_sessions.c.ended_at.is_(None),
        )
        .values(ended_at=cause.at)
    )
    return end_grants(connection, user_id, cause, but=but)


def end_grants(connection: Connection, user_id: str, cause: Cause, *, but: str = "") -> list[int]:
    """End all of the user's grant sessions but the one with this `sid`."""
    ended = connection.execute(
        update(grant_sessions)
        .where(
            grant_sessions.c.user_id == user_id,
            grant_sessions.c.sid != but,
            grant_sessions.c.ended_at.is_(None),
        )
        .values(ended_at=cause.at)
        .returning(grant_sessions.c.sid)
    )
    revoked = revoke_sessions(connection, ended.scalars().all(), cause)
    return revoked + revoke_returned(connection, user_id, cause, but=but)


def session_of(row: Any) -> GrantSession:
    """The session in a row of `session_query`."""
    return GrantSession(
        sid=row.sid,
        handle=row.handle,
        user=user_of(row),
        browser_session_id=row.browser_session_id,
        client_id=row.client_id,
        scope=row.scope,
        proofs=from_fields(row.proofs),
        via=row.via,
        expires_at=row.expires_at,
        api_token_id=row.api_token_id,
        token_made_at=row.token_made_at,
    )
