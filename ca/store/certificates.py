"""Queries about certificates and their serial numbers."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select, text, update

from ca.store.revocations import SLOW_CLOCK
from ca.store.tables import certificates, grant_sessions, revocations, serial_epochs

SIGNED, FAILED, UNKNOWN = "signed", "failed", "unknown"


@dataclass(frozen=True)
class Issued:
    """A certificate that some host may still take, unless it is revoked.

    `session` is the handle in it, "" for a host's or where the session is gone; `subject` is a
    user's or host's id; `outcome` says whether it was signed, None while that is open.
    """

    serial: int
    kind: str
    subject: str
    session: str
    issued_at: int
    valid_before: int
    outcome: str | None
    revoked_at: int | None


def next_epoch(connection: Connection, lowest: int, now: int) -> int:
    """Take the next epoch, not below `lowest`: ours alone, once the transaction commits."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE serial_epochs IN EXCLUSIVE MODE"))
    highest = connection.execute(select(func.max(serial_epochs.c.epoch))).scalar() or 0
    epoch: int = max(highest + 1, lowest)
    connection.execute(insert(serial_epochs).values(epoch=epoch, taken_at=now))
    return epoch


def close_open(connection: Connection, before: int) -> list[int]:
    """Note that nobody knows what became of the intents before `before`; return their serials."""
    closed = connection.execute(
        update(certificates)
        .where(certificates.c.outcome.is_(None), certificates.c.issued_at < before)
        .values(outcome=UNKNOWN)
        .returning(certificates.c.serial)
    )
    return sorted(closed.scalars())


def usable(connection: Connection, now: int, subject: str = "") -> list[Issued]:
    """What has not expired on every host, of one user or host or of all, the oldest first."""
    query = _usable(now).order_by(certificates.c.issued_at, certificates.c.serial)
    if subject:
        query = query.where(certificates.c.subject == subject)
    return [_issued(row) for row in connection.execute(query)]


def find_usable(connection: Connection, serial: int, now: int) -> Issued | None:
    """The certificate with this serial, unless it has expired on every host."""
    row = connection.execute(_usable(now).where(certificates.c.serial == serial)).one_or_none()
    return None if row is None else _issued(row)


def _usable(now: int) -> Select[*tuple[Any, ...]]:
    return (
        select(
            certificates.c.serial,
            certificates.c.kind,
            certificates.c.subject,
            grant_sessions.c.handle,
            certificates.c.issued_at,
            certificates.c.valid_before,
            certificates.c.outcome,
            revocations.c.revoked_at,
        )
        .outerjoin(grant_sessions, grant_sessions.c.sid == certificates.c.sid)
        .outerjoin(revocations, revocations.c.serial == certificates.c.serial)
        .where(certificates.c.valid_before + SLOW_CLOCK > now)
    )


def _issued(row: Row[*tuple[Any, ...]]) -> Issued:
    return Issued(
        serial=row.serial,
        kind=row.kind,
        subject=row.subject,
        session=row.handle or "",
        issued_at=row.issued_at,
        valid_before=row.valid_before,
        outcome=row.outcome,
        revoked_at=row.revoked_at,
    )
