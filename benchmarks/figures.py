"""What a measurement hands back, and how a command is timed."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class Yardstick:
    """What was measured beside a figure, in the same run: machines differ, ratios less so."""

    name: str
    value: float


@dataclass(frozen=True)
class Figure:
    """One measured figure. `spread` is half the distance of the quartiles, in the same unit."""

    name: str
    value: float
    unit: str
    yardstick: Yardstick
    n: int
    spread: float


def interleaved(runs: int, *actions: Callable[[], object]) -> list[list[float]]:
    """Time each of `actions` `runs` times, in turn, so that a busy second hits all alike.

    Returns the seconds of each action, in their order of time. A first round is thrown away.
    """
    times: list[list[float]] = [[] for _ in actions]
    for round_ in range(runs + 1):
        for action, taken in zip(actions, times, strict=True):
            start = time.perf_counter()
            action()
            if round_:
                taken.append(time.perf_counter() - start)
    return times


def spread(values: Sequence[float]) -> float:
    """Half the distance between the quartiles."""
    first, _, third = statistics.quantiles(values, n=4)
    return (third - first) / 2
