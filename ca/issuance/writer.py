"""The one thread that records certificates: many at a time, each before it is signed.

What waits while one transaction is on its way to the disk goes into the next together, so the
disk is waited for once for all of them. When many ask at once, each transaction first waits a
moment for more: it costs the processor ten times what one more certificate in it costs.
"""

import queue
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Engine

from ca import audit
from ca.errors import NotAuthenticated, TooManyAttempts, Unavailable
from ca.issuance.abandoned import close_abandoned
from ca.issuance.bounds import Bound, Bounds, Tally
from ca.store import revocations
from ca.store.book import COLUMNS, Book
from ca.store.certificates import FAILED
from ca.store.engine import writing
from sshd_hook.wire import b64

MAX_BATCH = 256  # certificates in a transaction
MAX_WAITING = 4096  # certificates; who comes later is told to come again
GATHER = 0.004  # seconds that a transaction waits for more, if the one before had several
OUTCOME_DELAY = 0.2  # seconds after which outcomes are recorded if no certificate comes
RETRY_DELAY = 5  # seconds, if the database was away
SWEEP_EVERY = 60  # seconds
MAX_OUTCOMES = 100_000  # that wait for a database that is away

SESSION_ENDED = "The session has ended. Log in again: amrgate login."

INTENT, OUTCOME = "certificate:intent", "certificate:outcome"
BOUND = "certificate:bound"

log = structlog.get_logger()


@dataclass(frozen=True)
class Intent:
    """A certificate that will be signed: `signed` are the very bytes.

    `kind` is "user" or "host"; `subject` the user's or host's id; `sid` the session, if any; `bounds`
    what it counts for.
    """

    serial: int
    kind: str
    subject: str
    sid: str
    issued_at: int
    valid_before: int
    signed: bytes
    bounds: Bounds = ()


Outcome = tuple[int, str]  # a serial, and what became of it
Waiting = tuple[Intent, "Future[None]"]


class Writer:
    """Records intents and outcomes in `engine`'s database, in a thread of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._book: Book | None = None
        self._waiting: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._outcomes: deque[Outcome] = deque(maxlen=MAX_OUTCOMES)
        self._tally = Tally()
        self._open = 0  # intents of which the outcome is still to come
        self._delay: float = OUTCOME_DELAY
        self._busy = False  # whether the last transaction was about several certificates
        self._thread = threading.Thread(target=self._run, name="audit-writer", daemon=True)
        self._thread.start()

    def check(self, asked: Bounds, now: int) -> None:
        """See whether one more can be recorded.

        Raises:
            TooManyAttempts: there are too many of them.
        """
        self._tally.check(asked, now)

    def record(self, intent: Intent) -> "Future[None]":
        """Record `intent`; the future is done once it is on the disk.

        It raises Unavailable if it could not be recorded, NotAuthenticated if the session has
        ended, and TooManyAttempts if there are too many: then nothing may be signed.
        """
        done: Future[None] = Future()
        if self._waiting.qsize() >= MAX_WAITING:
            done.set_exception(Unavailable("Too many certificates are asked for. Try again."))
        else:
            self._waiting.put((intent, done))
        return done

    def note(self, serial: int, outcome: str) -> None:
        """Record what became of an intent: soon, and together with others."""
        self._outcomes.append((serial, outcome))

    def close(self) -> None:
        """Record all that waits, and end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        more = True
        sweep_at = time.monotonic()
        while more:
            if time.monotonic() >= sweep_at:
                self._sweep()
                sweep_at = time.monotonic() + SWEEP_EVERY
            batch, more = self._next_batch()
            batch = self._admitted(batch)
            outcomes = [self._outcomes.popleft() for _ in range(len(self._outcomes))]
            if batch or outcomes:
                self._write(batch, outcomes)
            self._busy = len(batch) > 1
        if self._book is not None:
            self._book.close()

    def _next_batch(self) -> tuple[list[Waiting], bool]:
        """What waits by now, and whether there will be more."""
        batch: list[Waiting] = []
        try:
            item = self._waiting.get(timeout=self._delay if self._open else SWEEP_EVERY)
            if self._busy:
                time.sleep(GATHER)
            while item is not None:
                batch.append(item)
                if len(batch) == MAX_BATCH:
                    return batch, True
                item = self._waiting.get_nowait()
        except queue.Empty:
            return batch, True
        return batch, False

    def _admitted(self, batch: list[Waiting]) -> list[Waiting]:
        """Those of whom there may be more: that may have changed since they were asked for."""
        admitted = []
        for intent, done in batch:
            try:
                self._tally.check(intent.bounds, intent.issued_at)
            except TooManyAttempts as refusal:
                done.set_exception(refusal)
            else:
                admitted.append((intent, done))
        return admitted

    def _write(self, batch: list[Waiting], outcomes: list[Outcome]) -> None:
        intents = [intent for intent, _ in batch]
        try:
            if self._book is None:
                self._book = Book(self._engine)
            last = self._book.begin()
            head = audit.Head(*last) if last else audit.EMPTY
            note = partial(self._book.count, now=int(time.time()))
            counted = self._tally.count([intent.bounds for intent in intents], note)
            records = _records(head, intents, outcomes, counted.reached)
            self._book.add(records, [_row(intent) for intent in intents], outcomes)
            ended = self._book.ended([intent.serial for intent in intents])
            self._book.commit()
        except Exception as error:  # noqa: BLE001 -- whatever it was, nothing counts as recorded
            _complain(error)
            self._outcomes.extendleft(reversed(outcomes))
            self._delay = RETRY_DELAY
            if self._book is not None:
                self._book.discard()
                self._book = None
            _refuse(batch, error)
        else:
            self._delay = OUTCOME_DELAY
            self._open += len(intents) - len(outcomes)
            self._tally.take(counted)
            for intent, done in batch:
                if intent.serial in ended:
                    self.note(intent.serial, FAILED)
                    done.set_exception(NotAuthenticated(SESSION_ENDED))
                else:
                    done.set_result(None)

    def _sweep(self) -> None:
        self._tally.forget(time.time())
        try:
            with writing(self._engine) as connection:
                close_abandoned(connection, int(time.time()))
                revocations.drop_overdue(connection, int(time.time()))
        except Exception as error:  # noqa: BLE001 -- the next sweep tries again
            _complain(error)


def _refuse(batch: list[Waiting], fault: Exception) -> None:
    for _, done in batch:
        refusal = Unavailable("The certificate could not be recorded, so it was not signed.")
        refusal.__cause__ = fault
        done.set_exception(refusal)


def _complain(error: Exception) -> None:
    # Not the error's text: SQLAlchemy's has the values that were to be written.
    log.error("audit log cannot be written", error=type(error).__name__)


def _row(intent: Intent) -> dict[str, Any]:
    return {name: getattr(intent, name) for name in COLUMNS}


def _records(
    head: audit.Head, intents: list[Intent], outcomes: list[Outcome], reached: list[Bound]
) -> list[dict[str, Any]]:
    now = int(time.time())
    records = [audit.Record(now, INTENT, one.subject, one.subject, _detail(one)) for one in intents]
    for bound in reached:
        detail = audit.canonical({"of": bound.of, "most": bound.most})
        records.append(audit.Record(now, BOUND, bound.user, bound.id, detail))
    if outcomes:
        became: dict[str, list[str]] = {}
        for serial, outcome in outcomes:
            became.setdefault(outcome, []).append(str(serial))
        records.append(audit.Record(now, OUTCOME, "ca", "", audit.canonical(became)))
    rows = []
    for record in records:
        head, row = audit.chain(head, record)
        rows.append(row)
    return rows


def _detail(intent: Intent) -> str:
    return audit.canonical(
        {
            "kind": intent.kind,
            "serial": str(intent.serial),  # readers of JSON round beyond 2**53
            "sid": intent.sid,
            "to_be_signed": b64(intent.signed),
        }
    )
