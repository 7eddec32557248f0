"""Figure F13: what may be used once, used twice at the same moment, at two nodes."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from ca.console import flow
from ca.identity import attempts, recovery
from ca.store import people
from ca.store.engine import writing
from tests.drills.client import Client
from tests.drills.drill import Drill, Finding
from tests.drills.people import begin_sessions, newcomer
from tests.web import wind_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.drills.nodes import Answer, Caller, Nodes, Stage
    from tests.web import Person

LANES = 4  # pairs under way at once
BATCH = 50  # pairs prepared together
OF_ONE = 500  # pairs of one person, who may do only so much in an hour (`ca.identity.hourly`)
WAITING = LANES * (attempts.FREE + 2)  # pairs, at least, whose wrong codes would make others wait
TARGET = "0 of 10,000 pairs"

Outcomes = Counter[str]  # "once", "twice", "never"


def both(nodes: Nodes, count: int, tell: Callable[[int], None], lane: _Lane) -> Finding:
    """Let some lanes make pairs, and count how often both succeeded."""
    share = [count // LANES + (place < count % LANES) for place in range(LANES)]
    done = Counter[str]()

    def run(number: int) -> None:
        for begun in range(0, number, OF_ONE):
            for outcome in lane(nodes, min(OF_ONE, number - begun)):
                done[outcome] += 1
                tell(done.total())

    with ThreadPoolExecutor(LANES) as pool:
        list(pool.map(run, share))
    tried = done["once"] + done["twice"]
    none = f"{done['never']} pairs of which none succeeded" if done["never"] else ""
    return Finding(tried, done["twice"], missed=none)


def outcome_of(successes: int) -> str:
    return ("never", "once", "twice")[successes]


def codes(stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """An authorization code, exchanged at both."""
    return both(stage.nodes, count, tell, _codes)


def refreshes(stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """A refresh token, at both: each may answer, but with one and the same successor."""
    return both(stage.nodes, count, tell, _refreshes)


def apps(stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """A code of an authenticator app, in two sessions of its owner."""
    return both(stage.nodes, count, tell, _apps)


def recoveries(stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """A recovery code, in two sessions of its owner."""
    return both(stage.nodes, count, tell, _recoveries)


DRILLS = (
    Drill("code-pairs", "F13", TARGET, 10_000, 8, codes),
    Drill("refresh-pairs", "F13", TARGET, 10_000, 8, refreshes),
    Drill("totp-pairs", "F13", TARGET, 10_000, WAITING, apps),
    Drill("recovery-pairs", "F13", TARGET, 10_000, WAITING, recoveries),
)


def _at(use: Callable[[Caller], Answer], caller: Caller, _place: int) -> Answer:
    return use(caller)


def _codes(nodes: Nodes, count: int) -> Iterator[str]:
    client = Client(nodes)
    with nodes.pairs() as ask:
        for code in client.codes(count):
            answers = ask(partial(_at, partial(client.exchange, code=code)))
            yield outcome_of(sum(answer.status == 200 for answer in answers))


def _refreshes(nodes: Nodes, count: int) -> Iterator[str]:
    client = Client(nodes)
    with nodes.callers() as (first, _), nodes.pairs() as ask:
        old = client.begin(first)
        for _ in range(count):
            answers = ask(partial(_at, partial(client.refresh, token=old)))
            given = {client.refresh_token(one) for one in answers if one.status == 200}
            yield outcome_of(len(given))
            old = given.pop() if given else client.begin(first)


def _apps(nodes: Nodes, count: int) -> Iterator[str]:
    person = newcomer(nodes.services, app=True)
    for cookies in _session_pairs(nodes, person, count):
        wind_back(nodes.services, person)
        yield from cookies(person.code())


def _recoveries(nodes: Nodes, count: int) -> Iterator[str]:
    person = newcomer(nodes.services, app=True)
    codes = [code for _ in range(-(-count // 10)) for code in recovery.new_codes()]
    hashes = [recovery.hash_of(person.id, recovery.normal(code)) for code in codes]
    with writing(nodes.services.engine) as connection:
        people.put_recovery_codes(connection, person.id, hashes)
    for cookies in _session_pairs(nodes, person, count):
        yield from cookies(codes.pop())


def _session_pairs(
    nodes: Nodes, person: Person, count: int
) -> Iterator[Callable[[str], Iterator[str]]]:
    """Functions that type a second factor into two new sessions at the same moment."""
    with nodes.pairs() as ask:
        for begun in range(0, count, BATCH):
            size = min(BATCH, count - begun)
            made = begin_sessions(nodes.services, person, 2 * size)
            cookies = [cookie for _, cookie in made]
            for pair in zip(cookies[::2], cookies[1::2], strict=True):

                def type_in(code: str, pair: tuple[str, str] = pair) -> Iterator[str]:
                    answers = ask(lambda caller, place: _type(nodes, caller, pair[place], code))
                    yield outcome_of(sum(bool(answer.cookie) for answer in answers))

                yield type_in
                attempts.forget(nodes.services.engine, person.id)  # else the next ones wait


def _type(nodes: Nodes, caller: Caller, cookie: str, code: str) -> Answer:
    purpose = flow.Purpose(asked_at=int(time.time()))
    sealed = flow.seal(nodes.services.keys.seal, purpose)
    answer = caller.post("/login/code", {"for": sealed, "code": code}, cookie)
    assert answer.status < 500, answer.text
    return answer


if TYPE_CHECKING:
    _Lane = Callable[[Nodes, int], Iterator[str]]
