"""What hosts said and were sent, written for all of them together, not a transaction for each.

SQLite lets one write at a time: a thousand hosts that hear of one change would wait for each other.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from ca.errors import Unavailable
from ca.store import hosts
from ca.store.engine import writing

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from ca.store.hosts import Built

WRITE_EVERY = 5.0  # seconds, where nobody waits for it
GATHER = 0.05  # seconds that a transaction waits for more, if the one before was of several hosts

log = structlog.get_logger()


@dataclass
class Batch:
    """What one transaction is to write, by the hosts' ids."""

    heard: dict[str, int] = field(default_factory=dict)
    """When each was heard from."""
    built: dict[str, Built] = field(default_factory=dict)
    acknowledged: dict[str, tuple[int, str]] = field(default_factory=dict)
    """The version and digest of what each has put in place."""
    waiting: list[Future[None]] = field(default_factory=list)

    @property
    def hosts(self) -> set[str]:
        """All of whom there is something."""
        return {*self.heard, *self.built, *self.acknowledged}

    def write(self, connection: Connection) -> None:
        """Write it all."""
        hosts.lock_hosts(connection, self.hosts)
        hosts.touch(connection, self.heard)
        hosts.note_built(connection, self.built)
        hosts.acknowledge(connection, self.acknowledged)


class Notes:
    """Writes in `engine`'s database, in a thread of its own.

    Nothing is lost that is not said again. Of whom it is not written that they were heard from,
    it is noted when they ask next, and so is what was built for them; and who acknowledges waits
    until that is on the disk.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._next = Batch()
        self._lock = threading.Lock()
        self._due = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="host-notes", daemon=True)
        self._thread.start()

    def heard(self, host_id: str, now: int) -> None:
        """Note that a host asked: with the next transaction, which is soon."""
        with self._lock:
            self._next.heard[host_id] = now

    def built(self, host_id: str, built: Built) -> None:
        """Let all workers know at once what was built for a host."""
        with self._lock:
            self._next.built[host_id] = built
        self._due.set()

    def acknowledged(self, host_id: str, version: int, digest: str, now: int) -> Future[None]:
        """Note what a host has put in place; the future is done once that is on the disk.

        It raises Unavailable if it could not be written.
        """
        done: Future[None] = Future()
        with self._lock:
            self._next.heard[host_id] = now
            self._next.acknowledged[host_id] = version, digest
            self._next.waiting.append(done)
        self._due.set()
        return done

    def close(self) -> None:
        """Write what is left, and end the thread."""
        self._closed = True
        self._due.set()
        self._thread.join()

    def _run(self) -> None:
        several = False
        while not self._closed:
            self._due.wait(WRITE_EVERY)
            if several:
                time.sleep(GATHER)
            several = self._write() > 1
        self._write()

    def _write(self) -> int:
        """Write what came together; of how many hosts it was."""
        self._due.clear()
        with self._lock:
            batch, self._next = self._next, Batch()
        # Who has gone away meanwhile is not told.
        waiting = [done for done in batch.waiting if done.set_running_or_notify_cancel()]
        if not batch.hosts:
            return 0
        try:
            with writing(self._engine) as connection:
                batch.write(connection)
        except Exception as error:  # noqa: BLE001 -- whatever it was, nothing counts as noted
            log.error("what hosts say cannot be written", error=type(error).__name__)  # noqa: TRY400
            for done in waiting:
                done.set_exception(Unavailable("It could not be noted. Say it again."))
        else:
            for done in waiting:
                done.set_result(None)
        return len(batch.hosts)
