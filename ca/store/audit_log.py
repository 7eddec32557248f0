"""Queries about the audit log. What its hashes mean, `ca.audit` knows."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Row, insert, select, text

from ca.store.tables import audit_records

BATCH = 1000  # records read at a time

# One transaction at a time extends the chain. On SQLite there is never more than one.
LOCK = text("SELECT pg_advisory_xact_lock(1635083369)")
LAST = (
    select(audit_records.c.seq, audit_records.c.hash).order_by(audit_records.c.seq.desc()).limit(1)
)


def lock(connection: Connection) -> None:
    """Let nobody else extend the log before this transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(LOCK)


def last(connection: Connection) -> tuple[int, bytes] | None:
    """Number and hash of the last record."""
    row = connection.execute(LAST).first()
    return None if row is None else (row.seq, row.hash)


def add(connection: Connection, row: Mapping[str, Any]) -> None:
    """Insert a record."""
    connection.execute(insert(audit_records).values(row))


def records(connection: Connection) -> Iterator[Row[*tuple[Any, ...]]]:
    """Every record, in order."""
    seq = 0
    while rows := connection.execute(
        select(audit_records)
        .where(audit_records.c.seq > seq)
        .order_by(audit_records.c.seq)
        .limit(BATCH)
    ).all():
        yield from rows
        seq = rows[-1].seq
