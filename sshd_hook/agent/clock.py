"""Whether this machine's clock was set, and whether it is the CA's: certificates are good by it.

Nobody sets the time since boot. So a step is where the clock and that part; and the CA's time, once
heard, can be carried on by it while the CA is away. What was seen stands in a file for the doctor
and for the next agent, until the machine starts anew.
"""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import asdict, dataclass, replace

from sshd_hook import atomic, freshness, paths, service

FILE = os.path.join(paths.RUN, "clock")
STEP = 10  # seconds; time servers make a smaller difference good slowly
AHEAD = 300  # seconds before the CA's time, from which on it is said
BEHIND = 60  # seconds: a certificate made just now would not be valid here yet


@dataclass(frozen=True)
class Seen:
    """What was seen of this machine's clock.

    It is `skew` seconds ahead of the CA's; it was set forward by `set_by` seconds when it then said
    `set_at`; and it was `heard` by the CA's clock when the machine had run for `heard_after`
    seconds. 0 for what was not seen.
    """

    skew: int = 0
    set_at: int = 0
    set_by: int = 0
    heard: int = 0
    heard_after: float = 0.0

    @property
    def is_wrong(self) -> bool:
        """Whether it is too far from the CA's."""
        return self.skew > AHEAD or self.skew < -BEHIND


class Clock:
    """The clock of this machine, and what was seen of it. Several threads may look at once."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._seen = read()
        self._offset = time.time() - _running()
        if self._seen.heard_after > _running():  # of an earlier boot
            self._seen = Seen()

    @property
    def is_behind(self) -> bool:
        """Whether it is behind the CA's time, as carried on since that was heard: it was set back."""
        return time.time() < self._authority_time() - freshness.CLOCK_SKEW

    def hear(self, issued_at: int) -> None:
        """Learn that the CA's clock was at `issued_at` just now, or some time ago, and near ours.

        Raises:
            OSError: as `look`.
        """
        with self._lock:
            # What is far older was kept by somebody; a CA's clock may be corrected by a bit.
            if issued_at > self._authority_time() - 2 * freshness.CLOCK_SKEW:
                self._keep(replace(self._seen, heard=issued_at, heard_after=_running()))
            self.look()

    def doubt(self, skew: int) -> None:
        """Learn that ours is `skew` seconds ahead of the CA's: one of the two is wrong.

        Raises:
            OSError: as `look`.
        """
        with self._lock:
            if self._seen.heard:
                self.look()  # which knows whether it is ours
            else:
                self._compare(skew)

    def look(self) -> None:
        """See whether it was set since the last look, and whether it is the CA's.

        Raises:
            OSError: what was seen cannot be kept; it is logged.
        """
        with self._lock:
            offset = time.time() - _running()
            by, self._offset = round(offset - self._offset), offset
            if self._seen.heard:
                self._compare(round(time.time() - self._authority_time()))
            if abs(by) >= STEP:
                service.log(f"the clock was set {'forward' if by > 0 else 'back'} by {abs(by)} s")
                self._keep(replace(self._seen, set_at=int(time.time()), set_by=by))

    def _compare(self, skew: int) -> None:
        before, self._seen = self._seen, replace(self._seen, skew=skew)
        is_wrong = self._seen.is_wrong
        if is_wrong == before.is_wrong and not (is_wrong and abs(skew - before.skew) >= STEP):
            return
        if is_wrong:
            side = "ahead of" if skew > 0 else "behind"
            service.log(f"the clock is {abs(skew)} s {side} the CA's")
        else:
            service.log("the clock is the CA's again")
        self._keep(self._seen)

    def _authority_time(self) -> float:
        """The CA's time, or a little less, as long as it took to hear it; 0 if it was not heard."""
        return self._seen.heard and self._seen.heard + _running() - self._seen.heard_after

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


def _running() -> float:
    """Seconds since the machine started, also while it slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
