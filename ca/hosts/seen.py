"""When hosts were heard from: written for all of them together, not a transaction for each."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from ca.store import hosts
from ca.store.engine import writing

if TYPE_CHECKING:
    from sqlalchemy import Engine

WRITE_EVERY = 5.0  # seconds


class Seen:
    """What one worker has heard and not yet written. If it ends before that, it is heard again."""

    def __init__(self) -> None:
        self._heard: dict[str, int] = {}
        self._next = 0.0
        self._lock = threading.Lock()

    def note(self, engine: Engine, host_id: str, now: int) -> None:
        """Note that a host asked, and write what has come together if that is some time ago."""
        with self._lock:
            self._heard[host_id] = now
            if time.monotonic() < self._next:
                return
            self._next = time.monotonic() + WRITE_EVERY
            heard, self._heard = self._heard, {}
        with writing(engine) as connection:
            hosts.touch(connection, heard)
