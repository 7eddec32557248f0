"""How much one host may say, so that one that was stolen, or is broken, stops no other.

What a worker counts is in its memory: to count in the database would cost what this is to save.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import structlog

from ca.errors import TooManyAttempts

if TYPE_CHECKING:
    from ca.store.hosts import Host

log = structlog.get_logger()


class Allowance(NamedTuple):
    """Of one kind, `most` at once, and of what was used `a_second` again with each second."""

    kind: str
    most: int
    a_second: float


# An agent keeps 15,000 while the CA is away, and brings them together.
DECISIONS = Allowance("decisions", 20_000, 20)
# It says at most every 15 seconds which are open, and when it starts.
CONNECTIONS = Allowance("lists of open connections", 10, 1 / 5)
ACKNOWLEDGEMENTS = Allowance("acknowledgements", 60, 5)
# Three keys are certified every twenty days, and what is issued stays in the audit log for ever.
CERTIFICATES = Allowance("host certificates", 24, 1 / 3600)


@dataclass
class _Left:
    """How much is left at a time of the clock; whether it is in the log that there was too little."""

    amount: float
    at: float
    is_told: bool = False


class Allowances:
    """Counts what hosts say, in one worker."""

    def __init__(self) -> None:
        self._left: dict[tuple[str, str], _Left] = {}
        self._lock = threading.Lock()

    def take(self, host: Host, allowance: Allowance, amount: int, now: float) -> None:
        """Let a host say `amount` at `now`, a monotonic time.

        Raises:
            TooManyAttempts: that is more than is left; nothing is counted.
        """
        with self._lock:
            left = self._left.setdefault((host.id, allowance.kind), _Left(allowance.most, now))
            regained = left.amount + (now - left.at) * allowance.a_second
            left.amount, left.at = min(allowance.most, regained), now
            if left.amount == allowance.most:
                left.is_told = False
            missing = amount - left.amount
            if missing <= 0:
                left.amount -= amount
                return
            is_told, left.is_told = left.is_told, True
        if not is_told:  # once, until all is left again
            log.warning("host_says_too_much", host=host.name, kind=allowance.kind)
        raise TooManyAttempts(
            f"That is more {allowance.kind} than is taken of one host. Keep it, and say it later.",
            int(missing / allowance.a_second) + 1,
        )
