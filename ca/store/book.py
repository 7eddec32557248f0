"""Recording certificates, on the driver: see `ca.issuance.writer`."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, bindparam, insert, select, text, update

from ca.store import audit_log
from ca.store.absent import insert_into
from ca.store.direct import Statement
from ca.store.tables import attempts, audit_records, certificates, grant_sessions

COLUMNS = ("serial", "kind", "subject", "sid", "issued_at", "valid_before")


class Book:
    """A connection of its own, for one thread: `begin`, `add`, `commit`, over and over."""

    def __init__(self, engine: Engine) -> None:
        self._pooled = engine.raw_connection()
        self._cursor = self._pooled.cursor()
        on_file = engine.dialect.name == "sqlite"
        self._begin = Statement(engine, text("BEGIN IMMEDIATE") if on_file else audit_log.LOCK)
        self._last = Statement(engine, audit_log.LAST)
        self._record = Statement(engine, insert(audit_records))
        self._certificate = Statement(engine, insert(certificates).values(dict.fromkeys(COLUMNS)))
        self._outcome = Statement(
            engine,
            update(certificates)
            .where(certificates.c.serial == bindparam("of"))
            .values(outcome=bindparam("became")),
        )
        columns = dict.fromkeys(("subject", "failures", "last_at"))
        counted = insert_into(engine.dialect, attempts).values(columns)
        more = {
            "failures": attempts.c.failures + counted.excluded.failures,
            "last_at": counted.excluded.last_at,
        }
        self._count = Statement(
            engine,
            counted.on_conflict_do_update(index_elements=[attempts.c.subject], set_=more).returning(
                attempts.c.failures
            ),
        )
        lives = select(grant_sessions.c.sid).where(
            grant_sessions.c.sid == certificates.c.sid, grant_sessions.c.ended_at.is_(None)
        )
        self._ended = Statement(
            engine,
            select(certificates.c.serial).where(
                certificates.c.serial.between(bindparam("first"), bindparam("last")),
                certificates.c.outcome.is_(None),
                certificates.c.kind == "user",
                ~lives.exists(),
            ),
        )

    def begin(self) -> tuple[int, bytes] | None:
        """Begin to extend the log; return number and hash of its last record."""
        self._begin.run(self._cursor, {})
        last: tuple[int, bytes] | None = self._last.run(self._cursor, {}).fetchone()
        return last

    def count(self, subject: str, more: int, *, now: int) -> int:
        """Count `more` for `subject` (`ca.store.attempts`); return how many it had before."""
        values = {"subject": subject, "failures": more, "last_at": now}
        ((total,),) = self._count.run(self._cursor, values).fetchall()
        return int(total) - more

    def add(
        self,
        records: Sequence[Mapping[str, Any]],
        intents: Sequence[Mapping[str, Any]],
        outcomes: Sequence[tuple[int, str]],
    ) -> None:
        """Write records, certificates (COLUMNS), and what became of earlier ones."""
        self._record.run_many(self._cursor, records)
        self._certificate.run_many(self._cursor, intents)
        ended = [{"of": serial, "became": outcome} for serial, outcome in outcomes]
        self._outcome.run_many(self._cursor, ended)

    def ended(self, serials: Sequence[int]) -> set[int]:
        """Those of `serials` whose session has ended: its revocation did not know of them."""
        if not serials:
            return set()
        values = {"first": min(serials), "last": max(serials)}
        return {serial for (serial,) in self._ended.run(self._cursor, values).fetchall()}

    def commit(self) -> None:
        """Have it all on the disk."""
        self._pooled.commit()

    def close(self) -> None:
        """Give the connection back."""
        self._pooled.close()

    def discard(self) -> None:
        """Drop the connection, and what was not committed."""
        # Closed alone, SQLite's would keep its lock for as long as an error still knows the cursor.
        with contextlib.suppress(Exception):
            self._pooled.rollback()
        self._pooled.invalidate()
