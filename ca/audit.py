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
from typing import Any, NamedTuple

from sqlalchemy import Connection

from ca.errors import CAError
from ca.store import audit_log
from ca.store.revocations import Cause

GENESIS = bytes(32)
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


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
    return _CANONICAL.encode(value)


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


class Record(NamedTuple):
    """What happened, when (seconds since the epoch), who did it to whom; detail is canonical."""

    at: int
    event: str
    actor: str
    subject: str
    detail: str


def chain(previous: Head, record: Record) -> tuple[Head, dict[str, Any]]:
    """Put `record` after `previous`: the new end of the chain, and the row to insert."""
    end = Head(previous.seq + 1, next_hash(previous, record))
    return end, {"seq": end.seq, "hash": end.hash, **record._asdict()}


def next_hash(previous: Head, record: Record) -> bytes:
    """The hash of `record`, if it comes after `previous`."""
    header = _CANONICAL.encode((previous.seq + 1, *record[:-1]))
    text_of = f"{header}\n{record.detail}"
    return hashlib.sha256(previous.hash + text_of.encode()).digest()


def append(
    connection: Connection, event: str, actor: str, subject: str, detail: dict[str, Any]
) -> Head:
    """Write a record in the caller's transaction: it is there if, and only if, that commits.

    `event` is "thing:action", such as "session:end"; `actor` and `subject` are ids. Nothing
    secret goes into `detail`. Others wait to append until this transaction ends.
    """
    record = Record(int(time.time()), event, actor, subject, canonical(detail))
    end, row = chain(lock_head(connection), record)
    audit_log.add(connection, row)
    return end


def append_revoking(
    connection: Connection, cause: Cause, subject: str, serials: list[int], **detail: Any
) -> Head:
    """`append` for what revokes the certificates with these `serials`; both have one cause."""
    # Texts, because readers of JSON round beyond 2**53.
    detail["revoked"] = [str(serial) for serial in serials]
    return append(connection, cause.event, cause.actor, subject, detail)


def lock_head(connection: Connection) -> Head:
    """The end of the chain, which nobody else extends before this transaction ends."""
    audit_log.lock(connection)
    return head(connection)


def head(connection: Connection) -> Head:
    """The end of the chain as this transaction sees it."""
    last = audit_log.last(connection)
    return EMPTY if last is None else Head(*last)


def verify(connection: Connection, anchor: Head = EMPTY) -> Head:
    """Check every record; return the end of the chain.

    Without an `anchor` kept elsewhere, records cut off at the end cannot be missed.

    Raises:
        Tampered: naming the first record that is not as it was written.
    """
    end = EMPTY
    for row in audit_log.records(connection):
        if row.seq != end.seq + 1:
            raise Tampered(end.seq + 1, "it is missing")
        record = Record(row.at, row.event, row.actor, row.subject, row.detail)
        if next_hash(end, record) != row.hash:
            raise Tampered(row.seq, "it was changed")
        end = Head(row.seq, row.hash)
        if end.seq == anchor.seq and end.hash != anchor.hash:
            raise Tampered(row.seq, "it is not the one that the anchor names")
    if end.seq < anchor.seq:
        raise Tampered(end.seq + 1, f"it is missing, with all up to {anchor.seq}")
    return end
