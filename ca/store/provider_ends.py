"""What rests on logins at one provider of single sign-on, and its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, select, update

from ca.identity.proofs import from_fields, rests_on
from ca.store.api_tokens import lock_owner
from ca.store.revocations import Cause, revoke_sessions
from ca.store.tables import api_tokens, browser_sessions, grant_sessions, identities

if TYPE_CHECKING:
    from sqlalchemy import Column, Table


@dataclass(frozen=True)
class Ended:
    """Whom it met: ids of users and of API tokens, how many sessions, serials of certificates."""

    users: list[str]
    tokens: list[str]
    sessions: int
    serials: list[int]


def end(connection: Connection, slug: str, amr: str, cause: Cause) -> Ended:
    """Unlink everybody from the provider, and end their sessions and API tokens that rest on it.

    `amr` is what a login there shows. What they proved otherwise, and the sessions of that, stay.
    The provider is retired already: from then on no session comes to rest on it (`sso.hold_identity`).
    """
    linked = select(identities.c.user_id).where(identities.c.slug == slug)
    users = sorted(set(connection.execute(linked).scalars()))
    # Whoever makes or uses a token locks its owner or the token first, and the audit log last. So
    # all rows come before the first certificate that is revoked.
    for user_id in users:
        lock_owner(connection, user_id)
    tokens = _end(connection, api_tokens.c.id, users, amr, cause)
    browsers = _end(connection, browser_sessions.c.id, users, amr, cause)
    # After those that granted them: who grants something holds the session that it is granted in.
    sids = _end(connection, grant_sessions.c.sid, users, amr, cause)
    connection.execute(delete(identities).where(identities.c.slug == slug))
    serials = revoke_sessions(connection, sids, cause)
    return Ended(users, tokens, len(sids) + len(browsers), serials)


def _end(
    connection: Connection, id_: Column[str], users: list[str], amr: str, cause: Cause
) -> list[str]:
    """End the rows of these users that rest on `amr`; return their ids, which are in this column."""
    table: Table = id_.table
    found: list[str] = []
    for user_id in users:
        rows: Any = connection.execute(
            select(id_, table.c.proofs).where(
                table.c.user_id == user_id, table.c.ended_at.is_(None)
            )
        )
        found += [one for one, proofs in rows if rests_on(from_fields(proofs), (amr,))]
    for one in found:
        connection.execute(update(table).where(id_ == one).values(ended_at=cause.at))
    return found
