"""Figure F15: whether the time of an answer tells who has an account."""

from __future__ import annotations

import math
import random
import re
import secrets
import statistics
import time
from collections import Counter
from typing import TYPE_CHECKING

from tests.drills.drill import Drill, Finding
from tests.drills.people import newcomer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.drills.nodes import Caller, Stage

TRIES = 4  # at each name: the sixth would be slowed down, whoever's it is
MOST = 0.002  # seconds between the means
SIGNIFICANT = 0.05
FEWEST = 200  # names of each kind: of fewer, one time in twenty looks like a difference
ALERT = re.compile(r'role="alert" id="error">([^<]+)<')


def known_or_not(stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """`count` wrong passwords for names that are known and for as many that are not, in no order."""
    nodes = stage.nodes
    took: dict[bool, list[float]] = {True: [], False: []}
    answers = Counter[tuple[int, str]]()
    order = random.Random(15)
    with nodes.callers() as (caller, _):
        for begun in range(0, count, TRIES):
            size = min(TRIES, count - begun)
            names = {True: newcomer(nodes.services).username, False: f"d{secrets.token_hex(8)}"}
            kinds = [True, False] * size
            order.shuffle(kinds)
            for is_known in kinds:
                seconds, answer = _try(caller, names[is_known])
                took[is_known].append(seconds)
                answers[answer] += 1
            tell(len(took[True]))
    difference = abs(statistics.mean(took[True]) - statistics.mean(took[False]))
    chance = welch(took[True], took[False])
    ((_, usual),) = answers.most_common(1)
    figures = {
        "difference of the means": f"{difference * 1000:.2f} ms",
        "of": f"{statistics.mean(took[True]) * 1000:.0f} ms",
        "p": f"{chance:.2f}",
    }
    told = count >= FEWEST and difference >= MOST and chance <= SIGNIFICANT
    missed = "the time tells who has an account" if told else ""
    return Finding(2 * count, 2 * count - usual, figures, missed)


DRILLS = (Drill("enumeration", "F15", "less than 2 ms, or p > 0.05", 10_000, 4, known_or_not),)


def welch(one: list[float], other: list[float]) -> float:
    """The chance of means as far apart if both are alike: Welch's test, for many values."""
    error = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    distance = abs(statistics.mean(one) - statistics.mean(other)) / math.sqrt(error)
    return math.erfc(distance / math.sqrt(2))


def _try(caller: Caller, name: str) -> tuple[float, tuple[int, str]]:
    """How long the answer took, and what it says but for the name."""
    form = {"username": name, "password": "a wrong password of somebody"}
    begun = time.perf_counter()
    answer = caller.post("/login", form)
    took = time.perf_counter() - begun
    alert = ALERT.search(answer.text)
    return took, (answer.status, alert[1] if alert else "")
