"""Figure F3: serial numbers of two nodes that restart again and again, and after a restore."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy.engine import make_url

from ca.issuance.serials import Serials, take_epoch
from ca.store import schema
from ca.store.engine import open_engine, writing
from tests.databases import new_postgresql, running_postgresql
from tests.drills.drill import Drill, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

    from tests.drills.nodes import Stage

NODES = 2
LIFE = 100  # numbers that a node gives between two starts
EVERY = 2  # seconds between two starts, by the clock that both nodes have
BEGUN = 1_800_000_000


def numbers(_stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """Two nodes give `count` numbers; for the last third from a backup made before the second."""
    third = -(-count // LIFE // 3)
    clock = itertools.count(BEGUN, EVERY)
    with running_postgresql() as server, new_postgresql(server, "template0") as url:
        engine = open_engine(url)
        schema.upgrade(engine)
        engine.dispose()  # nobody may be connected to what is copied
        given = _give(url, third, clock)
        tell(len(given))
        with new_postgresql(server, make_url(url).database or "") as backup:
            given += _give(url, third, clock)
            tell(len(given))
            given += _give(backup, third, clock)
            tell(len(given))
    events = len(given) - len(set(given)) + given.count(0)
    return Finding(len(given), events, {"starts of a node": str(len(given) // LIFE)})


DRILLS = (Drill("serials", "F3", "0 twice, or 0, of 1,000,000", 10**6, 3000, numbers, attack=176),)


def _give(url: str, lives: int, clock: Iterator[int]) -> list[int]:
    shares = [lives // NODES + (place < lives % NODES) for place in range(NODES)]
    with ThreadPoolExecutor(NODES) as pool:
        given = pool.map(lambda share: _node(url, share, clock), shares)
        return list(itertools.chain.from_iterable(given))


def _node(url: str, lives: int, clock: Iterator[int]) -> list[int]:
    """What one node gives in so many lives, each begun at the next time of the clock."""
    engine = open_engine(url)
    given = []
    for _ in range(lives):
        serials = Serials(partial(_take, engine, next(clock)))
        given += [serials.next() for _ in range(LIFE)]
    engine.dispose()
    return given


def _take(engine: Engine, now: int) -> int:
    with writing(engine) as connection:
        return take_epoch(connection, now)
