"""Queries about what is revoked, and about the list of it that hosts obey.

A revoked certificate stays in the list until it has expired on every host. It then leaves with the
next change, or an hour later: each new list goes to all hosts, to most of them when they ask next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    String,
    case,
    delete,
    insert,
    literal,
    select,
    update,
)

from ca.store import audit_log
from ca.store.tables import (
    certificates,
    grant_sessions,
    revocation_list,
    revocations,
    revoked_keys,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

# A client gives its tokens back when a later login has replaced them: its certificates are refused
# from then on, but what it has open stays, until something else revokes them as well.
SPARING = "grant:revoke"

SLOW_CLOCK = 300  # seconds: on a host whose clock is late, a certificate lives on
OVERDUE = 3600  # seconds that an entry may stay longer


@dataclass(frozen=True)
class Cause:
    """Why something is revoked: the event of the audit log, whose it is, and when."""

    at: int
    actor: str
    event: str


@dataclass(frozen=True)
class Revoked:
    """The content of a list: serials by kind of certificate, and SHA-256 of keys in hex.

    `spared` are those of the serials whose open connections stay.
    """

    version: int
    changed_at: int
    serials: dict[str, list[int]]
    keys: list[str]
    spared: list[int]


def version(connection: Connection) -> int:
    """The list's version. It grows with every change, and never falls."""
    found: int = connection.execute(select(revocation_list.c.version)).scalar_one()
    return found


def listed(connection: Connection) -> Revoked:
    """All that is in the list. The transaction must see one moment."""
    version, changed_at = connection.execute(
        select(revocation_list.c.version, revocation_list.c.changed_at)
    ).one()
    serials: dict[str, list[int]] = {}
    spared = []
    for kind, serial, event in connection.execute(
        select(certificates.c.kind, certificates.c.serial, revocations.c.event).join(revocations)
    ):
        serials.setdefault(kind, []).append(serial)
        if event == SPARING:
            spared.append(serial)
    keys = connection.execute(select(revoked_keys.c.fingerprint)).scalars().all()
    return Revoked(version, changed_at, serials, list(keys), spared)


def revoke_sessions(connection: Connection, sids: Collection[str], cause: Cause) -> list[int]:
    """Revoke what these sessions were given; return the serials."""
    if not sids:
        return []
    users = select(grant_sessions.c.user_id).where(grant_sessions.c.sid.in_(sids))
    # Only subjects have an index, and of one there are few.
    return _revoke(
        connection, certificates.c.subject.in_(users) & certificates.c.sid.in_(sids), cause
    )


def revoke_returned(
    connection: Connection, user_id: str, cause: Cause, *, but: str = ""
) -> list[int]:
    """End what is open with certificates whose sessions had been given back by their clients.

    Whoever stole one could have given it back, so as to outlive what ends all of a person's.
    Those of the session `but` (a `sid`) stay; returns the serials.
    """
    returned = select(revocations.c.serial).where(revocations.c.event == SPARING)
    own = (certificates.c.subject == user_id) & (certificates.c.sid != but)
    return _revoke(connection, own & certificates.c.serial.in_(returned), cause)


def revoke_user(connection: Connection, user_id: str, cause: Cause) -> list[int]:
    """Revoke everything that a user was given; return the serials."""
    return _revoke(connection, certificates.c.subject == user_id, cause)


def revoke_serial(connection: Connection, serial: int, cause: Cause) -> list[int]:
    """Revoke one certificate; return its serial, or nothing if it was revoked or has expired."""
    return _revoke(connection, certificates.c.serial == serial, cause)


def revoke_key(connection: Connection, fingerprint: str, cause: Cause) -> bool:
    """Revoke a key for good, whoever has it; False if it was."""
    audit_log.lock(connection)
    there = select(revoked_keys.c.fingerprint).where(revoked_keys.c.fingerprint == fingerprint)
    if connection.execute(there).first():
        return False
    connection.execute(
        insert(revoked_keys).values(fingerprint=fingerprint, revoked_at=cause.at, actor=cause.actor)
    )
    _change(connection, cause.at)
    return True


def drop_overdue(connection: Connection, now: int) -> None:
    """Drop the entries that no change of the list has taken with it for an hour."""
    overdue = select(revocations.c.serial).where(revocations.c.listed_until <= now - OVERDUE)
    if connection.execute(overdue.limit(1)).first():
        audit_log.lock(connection)
        _change(connection, now)


def _revoke(connection: Connection, which: ColumnElement[bool], cause: Cause) -> list[int]:
    # Whoever records a certificate holds this lock too, and then looks whether its session still
    # lives: each certificate is either seen here, or its session's end there.
    audit_log.lock(connection)
    stricken = _spare_no_more(connection, which, cause)
    listed_until = certificates.c.valid_before + SLOW_CLOCK
    found: Any = select(
        certificates.c.serial,
        literal(cause.at, BigInteger),
        literal(cause.actor, String),
        literal(cause.event, String),
        listed_until,
    ).where(
        which,
        listed_until > cause.at,
        ~select(revocations.c.serial).where(revocations.c.serial == certificates.c.serial).exists(),
    )
    columns = ["serial", "revoked_at", "actor", "event", "listed_until"]
    revoke = insert(revocations).from_select(columns, found).returning(revocations.c.serial)
    serials = sorted((*stricken, *connection.execute(revoke).scalars()))
    if serials:
        _change(connection, cause.at)
    return serials


def _spare_no_more(
    connection: Connection, which: ColumnElement[bool], cause: Cause
) -> Sequence[int]:
    if cause.event == SPARING:
        return ()
    found = select(certificates.c.serial).where(which)
    strike = (
        update(revocations)
        .where(revocations.c.event == SPARING, revocations.c.serial.in_(found))
        .values(actor=cause.actor, event=cause.event)
        .returning(revocations.c.serial)
    )
    return connection.execute(strike).scalars().all()


def _change(connection: Connection, now: int) -> None:
    """Give the list its next version, in which nothing is that has expired everywhere.

    Never below the time: see `ca.store.directory.bump`.
    """
    connection.execute(delete(revocations).where(revocations.c.listed_until <= now))
    current = revocation_list.c.version
    following = case((current < now, now), else_=current + 1)
    connection.execute(update(revocation_list).values(version=following, changed_at=now))
