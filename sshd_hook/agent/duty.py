"""What is to be done again and again, whatever happens, without a log that repeats itself."""

from __future__ import annotations

import time

from sshd_hook import service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn


FIRST_PAUSE = 60.0  # seconds until what lasts is said again, doubled each time
LONGEST_PAUSE = 3600.0
MOST_REASONS = 10  # that are each said at once: a reason may hold a number, and never be the same

WAITING = object()
"""What a step returns that tried nothing, because it is not time yet."""


class Trouble:
    """What fails and goes on failing, in the log: `over` is said when it does not any more."""

    def __init__(self, over: str) -> None:
        self._over = over
        self._said: set[str] = set()
        self._pause = 0.0
        self._next = 0.0  # to be said again at this monotonic time

    def lasts(self, reason: str, now: float) -> None:
        """Say the reason if it is a new one, or if it is time to say one again."""
        is_new = reason not in self._said and len(self._said) < MOST_REASONS
        if is_new:
            self._said.add(reason)
        if is_new or now >= self._next:
            service.log(reason)
            self._pause = min(2 * self._pause or FIRST_PAUSE, LONGEST_PAUSE)
            self._next = now + self._pause

    def ends(self) -> None:
        """Say that it is over, if there was any."""
        if self._said:
            service.log(self._over)
            self._said.clear()
            self._pause = 0.0


def repeat(
    wait: Callable[[], object],
    step: Callable[[], object],
    failures: tuple[type[Exception], ...],
    complaint: str,
) -> NoReturn:
    """Wait and take the step, for ever. A failure that lasts is logged ever more seldom."""
    trouble = Trouble(f"{complaint}: this is over")
    while True:
        wait()
        try:
            if step() is not WAITING:
                trouble.ends()
        except failures as error:
            trouble.lasts(f"{complaint}: {error}", time.monotonic())
