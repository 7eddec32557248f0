"""Noticing that this machine's clock was set, or is not the CA's: certificates are good by it.

Nobody sets the time since boot, so a step is where the two part. What was seen stands in a file for
the doctor. A wrong clock changes no decision: the hook goes by the times of the CA's word alone.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass

from sshd_hook import atomic, paths, service

FILE = os.path.join(paths.RUN, "clock")
STEP = 10  # seconds; time servers make a smaller difference good slowly
AHEAD = 300  # seconds before the CA's clock, from which on it is said
BEHIND = 60  # seconds: a certificate made just now would not be valid here yet


@dataclass(frozen=True)
class Seen:
    """What was seen of this machine's clock.

    It was `skew` seconds ahead of the CA's when that was heard last; and it was set forward by
    `set_by` seconds when it then said `set_at`. 0 for what was not seen.
    """

    skew: int = 0
    set_at: int = 0
    set_by: int = 0

    @property
    def is_wrong(self) -> bool:
        """Whether it is too far from the CA's."""
        return self.skew > AHEAD or self.skew < -BEHIND


class Clock:
    """The clock of this machine, and what was seen of it."""

    def __init__(self) -> None:
        self._seen = read()
        self._boot = _boot_time()

    def look(self) -> None:
        """See whether it was set since the last look.

        Raises:
            OSError: that cannot be kept for the doctor; it is logged.
        """
        boot = _boot_time()
        by = round(boot - self._boot)
        self._boot = boot
        if abs(by) >= STEP:
            service.log(f"the clock was set {'forward' if by > 0 else 'back'} by {abs(by)} s")
            self._keep(Seen(self._seen.skew, int(time.time()), by))

    def compare(self, skew: int) -> None:
        """Learn by how many seconds it was ahead of the CA's just now.

        Raises:
            OSError: as `look`.
        """
        new = Seen(skew, self._seen.set_at, self._seen.set_by)
        another = abs(new.skew - self._seen.skew) >= STEP
        if new.is_wrong != self._seen.is_wrong or (new.is_wrong and another):
            if new.is_wrong:
                side = "ahead of" if skew > 0 else "behind"
                service.log(f"the clock is {abs(skew)} s {side} the CA's")
            else:
                service.log("the clock is the CA's again")
            self._keep(new)

    def _keep(self, seen: Seen) -> None:
        self._seen = seen
        atomic.write(FILE, json.dumps(asdict(seen)).encode(), atomic.PUBLIC)


def read() -> Seen:
    """What was seen last since the machine started."""
    try:
        with open(FILE, "rb") as file:
            return Seen(**json.load(file))
    except (OSError, ValueError, TypeError):
        return Seen()


def _boot_time() -> float:
    """When this machine started, by its present clock: in seconds since the epoch."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
