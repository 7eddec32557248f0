"""Whose turn it is to ask providers: slow ones must not take all threads of a worker, and those of one
organization not all turns.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from ca.errors import Unavailable

MAX_AT_ONCE = 8  # who ask, in one worker
MAX_OF_ONE = 2  # of them, the providers of one organization
MAX_WAITING = 4  # for a turn with the providers of one organization
MAX_WAITING_IN_ALL = 12  # with those who ask, half of a worker's threads
PATIENCE = 5  # seconds that one waits for a turn


class Busy(Unavailable):
    """Too many are on their way to this organization's providers, or to all."""

    code = "provider_busy"

    def __init__(self) -> None:
        super().__init__(
            "Too many people are logging in by this single sign-on provider just now, or it is slow to"
            " answer. Try again in a moment, or log in another way."
        )


class Turns:
    """Who asks in one worker, and who waits to."""

    def __init__(self) -> None:
        self._asking: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def of(self, organization_id: str) -> Iterator[None]:
        """Have a turn with the providers of an organization for as long as the block lasts.

        Raises:
            Busy: it does not come soon enough, or enough wait for one already.
        """
        with self._changed:
            self._wait(organization_id)
            self._asking[organization_id] += 1
        try:
            yield
        finally:
            with self._changed:
                self._asking[organization_id] -= 1
                self._changed.notify_all()

    def _wait(self, organization_id: str) -> None:
        if self._is_free(organization_id):
            return
        theirs, every = self._waiting[organization_id], self._waiting.total()
        if theirs >= MAX_WAITING or every >= MAX_WAITING_IN_ALL:
            raise Busy
        self._waiting[organization_id] += 1
        try:
            if not self._changed.wait_for(lambda: self._is_free(organization_id), PATIENCE):
                raise Busy
        finally:
            self._waiting[organization_id] -= 1

    def _is_free(self, organization_id: str) -> bool:
        theirs, every = self._asking[organization_id], self._asking.total()
        return theirs < MAX_OF_ONE and every < MAX_AT_ONCE
