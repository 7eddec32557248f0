"""Serial numbers: a 32-bit epoch, then a 32-bit counter from 1. Never 0, and never twice.

A node takes an epoch from the database at its start, so nodes need not agree about each number.
No epoch is below the present Unix time: numbers that were given out after a backup was made are
not given again by the database that is restored from it.
"""

from collections.abc import Callable
from threading import Lock

from sqlalchemy import Connection

from ca.errors import Unavailable
from ca.store.certificates import next_epoch

COUNTER_BITS = 32
LAST_COUNT = 2**COUNTER_BITS - 1
LAST_EPOCH = 2**31 - 1  # in 2038: the databases' integers have a sign


class Serials:
    """The serial numbers of one node. `take` takes a new epoch from the database."""

    def __init__(self, take: Callable[[], int]) -> None:
        self._take = take
        self._epoch = take()
        self._count = 0
        self._lock = Lock()

    def next(self) -> int:
        """A number that nobody was given before, whichever thread asks."""
        with self._lock:
            if self._count == LAST_COUNT:
                self._epoch = self._take()
                self._count = 0
            self._count += 1
            return self._epoch << COUNTER_BITS | self._count


def take_epoch(connection: Connection, now: int) -> int:
    """Take the next epoch, which is ours alone once the transaction commits.

    Raises:
        Unavailable: there is none left.
    """
    epoch = next_epoch(connection, now, now)
    if epoch > LAST_EPOCH:
        raise Unavailable("The serial numbers are used up.")
    return epoch
