"""Queries about authorization codes and refresh tokens: each is spent in one statement."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from ca.identity.proofs import Proofs, from_fields, to_fields
from ca.store.absent import insert_if_absent
from ca.store.tables import authorization_codes, refresh_tokens, revoked_access_tokens


@dataclass(frozen=True)
class Code:
    """What an authorization code was given for."""

    client_id: str
    redirect_uri: str
    code_challenge: str
    scope: str
    user_id: str
    browser_session_id: str
    proofs: Proofs
    expires_at: int


@dataclass(frozen=True)
class RefreshToken:
    """A refresh token that was issued."""

    sid: str
    issued_at: int
    used_at: int | None
    successor_sealed: bytes | None


def add_code(connection: Connection, code_hash: str, code: Code) -> None:
    """Store a new code."""
    connection.execute(
        insert(authorization_codes).values(
            code_hash=code_hash,
            client_id=code.client_id,
            redirect_uri=code.redirect_uri,
            code_challenge=code.code_challenge,
            scope=code.scope,
            user_id=code.user_id,
            browser_session_id=code.browser_session_id,
            proofs=to_fields(code.proofs),
            expires_at=code.expires_at,
        )
    )


def spend_code(connection: Connection, code_hash: str, now: int) -> Code | None:
    """Spend a code; None if it was spent before or never issued.

    Whoever comes second waits here until the first has committed, on any number of nodes.
    """
    row = connection.execute(
        update(authorization_codes)
        .where(
            authorization_codes.c.code_hash == code_hash, authorization_codes.c.used_at.is_(None)
        )
        .values(used_at=now)
        .returning(authorization_codes)
    ).one_or_none()
    return None if row is None else _code(row)


def note_session_of_code(connection: Connection, code_hash: str, sid: str) -> None:
    """Remember which session the code was exchanged for."""
    connection.execute(
        update(authorization_codes)
        .where(authorization_codes.c.code_hash == code_hash)
        .values(sid=sid)
    )


def session_of_code(connection: Connection, code_hash: str) -> str | None:
    """The session that a spent code was exchanged for."""
    query = select(authorization_codes.c.sid).where(authorization_codes.c.code_hash == code_hash)
    return connection.execute(query).scalar_one_or_none()


def add_refresh_token(connection: Connection, token_hash: str, sid: str, now: int) -> None:
    """Store a new refresh token."""
    connection.execute(insert(refresh_tokens).values(token_hash=token_hash, sid=sid, issued_at=now))


def find_refresh_token(connection: Connection, token_hash: str) -> RefreshToken | None:
    """The refresh token with this hash, spent or not."""
    row = connection.execute(
        select(
            refresh_tokens.c.sid,
            refresh_tokens.c.issued_at,
            refresh_tokens.c.used_at,
            refresh_tokens.c.successor_sealed,
        ).where(refresh_tokens.c.token_hash == token_hash)
    ).one_or_none()
    return None if row is None else RefreshToken(*row)


def spend_refresh_token(
    connection: Connection, token_hash: str, successor_sealed: bytes, now: int
) -> bool:
    """Spend a refresh token, leaving its successor with it; False if it was spent."""
    result = connection.execute(
        update(refresh_tokens)
        .where(refresh_tokens.c.token_hash == token_hash, refresh_tokens.c.used_at.is_(None))
        .values(used_at=now, successor_sealed=successor_sealed)
    )
    return result.rowcount == 1


def revoke_access_token(connection: Connection, jti: str, expires_at: int, now: int) -> bool:
    """Take one access token out of use, until it would have expired anyway; False if it was."""
    connection.execute(
        delete(revoked_access_tokens).where(revoked_access_tokens.c.expires_at <= now)
    )
    row = {"jti": jti, "expires_at": expires_at}  # a client may ask twice at once
    return insert_if_absent(connection, revoked_access_tokens, row)


def _code(row: Row[*tuple[Any, ...]]) -> Code:
    return Code(
        client_id=row.client_id,
        redirect_uri=row.redirect_uri,
        code_challenge=row.code_challenge,
        scope=row.scope,
        user_id=row.user_id,
        browser_session_id=row.browser_session_id,
        proofs=from_fields(row.proofs),
        expires_at=row.expires_at,
    )
