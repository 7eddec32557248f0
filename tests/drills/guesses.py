"""Figure F14: how many guesses an account takes, at once and in a day, over all ways to guess."""

from __future__ import annotations

import itertools
import secrets
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ca.console import flow
from ca.errors import CAError, TooManyAttempts
from ca.identity import accounts, attempts
from ca.identity.proofs import Proof
from ca.identity.sessions import new_secret
from tests.drills.drill import Drill, Finding
from tests.drills.people import begin_sessions, newcomer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.drills.nodes import Nodes, Stage
    from tests.web import Person

DAY = 86400  # seconds
DAYS = 3  # that the guessing goes on
STEPS_TAKEN = 3  # time steps of which a code counts
AT_ONCE = 8  # guesses under way
CODES = 10**6
IN_A_ROW = 100  # guesses at most (NIST SP 800-63B-4, section 3.2.2)
MOST_LIKELY = 1e-3  # a day


def a_day(stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """Accounts guessed at for days, as often as is let through, the clock being moved on.

    From anywhere and from a browser that the account knows, and at every other account by somebody
    who has its password, which is typed rightly before each code.
    """
    nodes = stage.nodes
    in_a_row, a_day = [], []
    for number in range(count):
        moments = _admitted(nodes, newcomer(nodes.services, app=True), knows=number % 2 == 1)
        in_a_row.append(len(moments))
        a_day.append(max(sum(0 <= one - first < DAY for one in moments) for first in moments))
        tell(number + 1)
    chance = max(a_day) * STEPS_TAKEN / CODES
    too_many = sum(one > IN_A_ROW for one in in_a_row)
    figures = {
        f"guesses in a row at most, in {DAYS} days,": str(max(in_a_row)),
        "in one day": str(max(a_day)),
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


def _admitted(nodes: Nodes, person: Person, *, knows: bool) -> list[int]:
    """When a guess was looked at, until there were too many or the days are over."""
    engine = nodes.services.engine
    known = new_secret()
    begun = now = int(time.time())
    accounts.know_browser(engine, person.id, known, "", now)
    moments: list[int] = []
    for turn in itertools.count():
        if now >= begun + DAYS * DAY or len(moments) >= 2 * IN_A_ROW:
            break
        waits = []
        for browser in ("", known):
            try:
                if knows and turn % 2:
                    _type_the_password(nodes, person, browser, now)
                else:
                    _guess(nodes, person, browser, len(moments), now)
            except TooManyAttempts as refused:
                waits.append(refused.retry_after)
            except CAError:
                moments.append(now)
        if len(waits) == len(("", known)):
            now += min(waits)
    return moments


def _type_the_password(nodes: Nodes, person: Person, browser: str, now: int) -> None:
    """What a right password does to the count; its hash would be most of the drill's time."""
    engine = nodes.services.engine
    subject = attempts.of_known(person.id) if browser else person.id
    attempts.admit(engine, subject, now)
    accounts.settle(engine, person.id, Proof("pwd", now), complete=False, browser=browser)


def _guess(nodes: Nodes, person: Person, browser: str, number: int, now: int) -> None:
    engine, seal = nodes.services.engine, nodes.services.keys.seal
    if number % 10 == 1:
        accounts.check_password(engine, seal, person.username, "a guess", now, browser=browser)
    else:
        code = secrets.token_hex(8) if number % 2 else f"{number:05}"
        accounts.check_code(engine, seal, person.id, code, now, browser=browser)
