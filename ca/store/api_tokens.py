"""Queries about API tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from ca.identity.proofs import Proofs, from_fields, to_fields
from ca.store.revocations import Cause, revoke_sessions
from ca.store.tables import api_tokens, grant_sessions, users


@dataclass(frozen=True)
class ApiToken:
    """A token but for the secret. `proofs` and `via` are those of the session that made it."""

    id: str
    user_id: str
    created_by: str
    name: str
    scope: str
    proofs: Proofs
    via: str
    created_at: int
    expires_at: int
    used_at: int | None = None


_COLUMNS = (
    api_tokens.c.id,
    api_tokens.c.user_id,
    api_tokens.c.created_by,
    api_tokens.c.name,
    api_tokens.c.scope,
    api_tokens.c.proofs,
    api_tokens.c.via,
    api_tokens.c.created_at,
    api_tokens.c.expires_at,
    api_tokens.c.used_at,
)


def lock_owner(connection: Connection, user_id: str) -> None:
    """Be the only one who makes or ends tokens of this user until the transaction ends."""
    # SQLite's transactions that write are alone from their start. The lock that PostgreSQL takes
    # leaves others room to refer to the user, as each new session does.
    connection.execute(
        select(users.c.id).where(users.c.id == user_id).with_for_update(key_share=True)
    )


def add(connection: Connection, token: ApiToken, token_hash: str) -> None:
    """Store a new token."""
    fields = {**vars(token), "proofs": to_fields(token.proofs), "token_hash": token_hash}
    connection.execute(insert(api_tokens).values(fields))


def live_tokens(connection: Connection, user_id: str, now: int) -> list[ApiToken]:
    """The user's tokens that count, the oldest first."""
    rows = connection.execute(
        select(*_COLUMNS)
        .where(
            api_tokens.c.user_id == user_id,
            api_tokens.c.ended_at.is_(None),
            api_tokens.c.expires_at > now,
        )
        .order_by(api_tokens.c.created_at, api_tokens.c.id)
    )
    return [_token(row) for row in rows]


def use(connection: Connection, token_hash: str, now: int) -> ApiToken | None:
    """Note that a token is used; None if there is none that counts, or its user is disabled.

    Whoever ends it meanwhile waits for this transaction, or this for theirs.
    """
    able = select(users.c.id).where(users.c.disabled_at.is_(None))
    row = connection.execute(
        update(api_tokens)
        .where(
            api_tokens.c.token_hash == token_hash,
            api_tokens.c.ended_at.is_(None),
            api_tokens.c.expires_at > now,
            api_tokens.c.user_id.in_(able),
        )
        .values(used_at=now)
        .returning(*_COLUMNS)
    ).one_or_none()
    return None if row is None else _token(row)


def find_by_hash(connection: Connection, token_hash: str) -> ApiToken | None:
    """The token with this hash, whether or not it counts."""
    query = select(*_COLUMNS).where(api_tokens.c.token_hash == token_hash)
    row = connection.execute(query).one_or_none()
    return None if row is None else _token(row)


def end(connection: Connection, token_id: str, cause: Cause) -> list[int]:
    """End a token and what was begun with it; return the serials that are revoked by it."""
    connection.execute(
        update(api_tokens)
        .where(api_tokens.c.id == token_id, api_tokens.c.ended_at.is_(None))
        .values(ended_at=cause.at)
    )
    ended = connection.execute(
        update(grant_sessions)
        .where(grant_sessions.c.api_token_id == token_id, grant_sessions.c.ended_at.is_(None))
        .values(ended_at=cause.at)
        .returning(grant_sessions.c.sid)
    )
    return revoke_sessions(connection, ended.scalars().all(), cause)


def _token(row: Row[*tuple[Any, ...]]) -> ApiToken:
    fields = dict(row._mapping)  # noqa: SLF001 -- SQLAlchemy's public name for a row by columns
    return ApiToken(**{**fields, "proofs": from_fields(fields["proofs"])})
