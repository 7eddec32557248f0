"""Figure F14: how many guesses an account takes, at once and in a day, over all ways to guess."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ca.console import flow
from ca.errors import CAError, TooManyAttempts
from ca.identity import accounts, attempts
from tests.drills.drill import Drill, Finding
from tests.drills.people import begin_sessions, newcomer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.drills.nodes import Nodes, Stage
    from tests.web import Person

DAY = 86400  # seconds
STEPS_TAKEN = 3  # time steps of which a code counts
AT_ONCE = 8  # guesses under way
CODES = 10**6
MOST_LIKELY = 1e-3  # a day


def a_day(stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """Accounts guessed at for a day, as often as is let through, the clock being moved on."""
    nodes = stage.nodes
    admitted = []
    for number in range(count):
        admitted.append(_in_a_day(nodes, newcomer(nodes.services, app=True)))
        tell(number + 1)
    chance = max(admitted) * STEPS_TAKEN / CODES
    too_many = sum(one > attempts.MAX_FAILURES for one in admitted)
    figures = {
        "guesses a day at most": str(max(admitted)),
        "chance to guess a code": f"{chance:.1e} a day",
    }
    missed = "" if chance < MOST_LIKELY else "a code is too easily guessed"
    return Finding(count, too_many, figures, missed)


def at_once(stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """One account, guessed at from `count` sessions at both nodes: each beyond FREE is an event."""
    nodes = stage.nodes
    person = newcomer(nodes.services, app=True)
    cookies = [cookie for _, cookie in begin_sessions(nodes.services, person, count)]
    statuses = Counter[int]()
    begun = int(time.time())

    def guess(place: int) -> None:
        with nodes.callers() as callers:
            for number in range(place, count, AT_ONCE):
                sealed = flow.seal(nodes.services.keys.seal, flow.Purpose(int(time.time())))
                form = {"for": sealed, "code": f"{secrets.randbelow(CODES):06}"[:5]}
                answer = callers[number % 2].post("/login/code", form, cookies[number])
                statuses[answer.status] += 1
                tell(statuses.total())

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(guess, range(AT_ONCE)))
    took = int(time.time()) - begun + 1
    admitted = statuses.total() - statuses[429]
    # What waits allow that double: one more each time, counted as generously as a clock can lie.
    allowed = attempts.FREE + took.bit_length()
    figures = {"admitted": f"{admitted} in {took} s"}
    return Finding(count, max(0, admitted - allowed), figures)


DRILLS = (
    Drill("guesses-a-day", "F14", "100 in a row at most, less than 1e-3 a day", 50, 1, a_day),
    Drill("guesses-at-once", "F14", "none but the free ones", 10_000, 40, at_once),
)


def _in_a_day(nodes: Nodes, person: Person) -> int:
    engine, seal = nodes.services.engine, nodes.services.keys.seal
    begun = now = int(time.time())
    admitted = tried = 0
    while now < begun + DAY:
        tried += 1
        try:
            if tried % 10 == 1:
                accounts.check_password(engine, person.username, "a guess", now)
            elif tried % 2:
                accounts.check_code(engine, seal, person.id, secrets.token_hex(8), now)
            else:
                accounts.check_code(engine, seal, person.id, f"{tried:05}", now)
        except TooManyAttempts as refused:
            now += refused.retry_after
            continue
        except CAError:
            admitted += 1
    return admitted
