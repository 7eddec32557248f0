"""The audit log: append-only, each record chained to the one before.

A record's hash is SHA-256 over the previous record's hash (32 zero bytes for the first), then
the record's bytes: `[seq, at, event, actor, subject]` as canonical JSON, a line feed, and the
detail as canonical JSON. Who keeps one hash elsewhere can tell later whether anything before it
was changed, moved or taken out.

Canonical JSON: ASCII only, keys sorted, no blanks, no floating point.
"""

import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, text

from ca.errors import CAError
from ca.store.tables import audit_records

GENESIS = bytes(32)
LOCK_ID = 0x61756469  # for pg_advisory_xact_lock: one transaction at a time extends the chain
BATCH = 1000  # records read at a time by `verify`


class Tampered(CAError):
    """The log is not what was written."""

    code = "audit_tampered"

    def __init__(self, seq: int, fault: str) -> None:
        super().__init__(f"The audit log is broken at record {seq}: {fault}.")
        self.seq = seq


@dataclass(frozen=True)
class Head:
    """The end of the chain: kept elsewhere, it is the anchor of everything up to it."""

    seq: int
    hash: bytes


EMPTY = Head(0, GENESIS)


def canonical(value: Any) -> str:
    """`value` as canonical JSON.

    Raises:
        TypeError, ValueError: it holds what has no canonical form.
    """
    _check(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _check(value: Any) -> None:
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("a key is not a text")
        for item in value.values():
            _check(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check(item)
    elif isinstance(value, float):
        raise TypeError("floating point has no canonical form")


def next_hash(previous: bytes, header: tuple[int, int, str, str, str], detail: str) -> bytes:
    """The hash of the record `header` (seq, at, event, actor, subject) with `detail`."""
    record = json.dumps(header, separators=(",", ":")) + "\n" + detail
    return hashlib.sha256(previous + record.encode()).digest()


def append(
    connection: Connection, event: str, actor: str, subject: str, detail: dict[str, Any]
) -> Head:
    """Write a record in the caller's transaction: it is there if, and only if, that commits.

    `event` is "thing:action", such as "session:end"; `actor` and `subject` are ids. Nothing
    secret goes into `detail`. Others wait to append until this transaction ends.
    """
    previous = lock_head(connection)
    header = (previous.seq + 1, int(time.time()), event, actor, subject)
    rendered = canonical(detail)
    digest = next_hash(previous.hash, header, rendered)
    connection.execute(
        insert(audit_records).values(
            seq=header[0],
            at=header[1],
            event=event,
            actor=actor,
            subject=subject,
            detail=rendered,
            hash=digest,
        )
    )
    return Head(header[0], digest)


def lock_head(connection: Connection) -> Head:
    """The end of the chain, which nobody else extends before this transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": LOCK_ID})
    return head(connection)


def head(connection: Connection) -> Head:
    """The end of the chain as this transaction sees it."""
    row = connection.execute(
        select(audit_records.c.seq, audit_records.c.hash)
        .order_by(audit_records.c.seq.desc())
        .limit(1)
    ).first()
    return Head(row.seq, row.hash) if row else EMPTY


def verify(connection: Connection, anchor: Head = EMPTY) -> Head:
    """Check every record; return the end of the chain.

    Without an `anchor` kept elsewhere, records cut off at the end cannot be missed.

    Raises:
        Tampered: naming the first record that is not as it was written.
    """
    end = EMPTY
    while True:
        rows = connection.execute(
            select(audit_records)
            .where(audit_records.c.seq > end.seq)
            .order_by(audit_records.c.seq)
            .limit(BATCH)
        ).all()
        if not rows:
            break
        for row in rows:
            if row.seq != end.seq + 1:
                raise Tampered(end.seq + 1, "it is missing")
            header = (row.seq, row.at, row.event, row.actor, row.subject)
            if next_hash(end.hash, header, row.detail) != row.hash:
                raise Tampered(row.seq, "it was changed")
            end = Head(row.seq, row.hash)
            if end.seq == anchor.seq and end.hash != anchor.hash:
                raise Tampered(row.seq, "it is not the one that the anchor names")
    if end.seq < anchor.seq:
        raise Tampered(end.seq + 1, f"it is missing, with all up to {anchor.seq}")
    return end
