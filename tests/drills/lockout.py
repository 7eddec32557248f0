"""Figure F17: an organization that nobody could govern any more, after anything at all.

The steps and the question whether it still holds are those of tests/governing.py.
"""

from __future__ import annotations

import random
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError

from ca.store import schema
from ca.store.engine import open_engine
from tests.databases import new_postgresql, new_sqlite, running_postgresql
from tests.drills.drill import Drill, Finding
from tests.governing import NAMES, ORGANIZATIONS, ROLES, Governing

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.drills.nodes import Stage

ANEW = 2000  # steps after which it begins anew, with other ones
Step = tuple[int, str, str, str, str]


def steps(_stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """Everybody does anything to anybody, one after the other."""
    tried = events = done = 0
    for seed in range(-(-count // ANEW)):
        draw = random.Random(seed)
        with tempfile.TemporaryDirectory(prefix="amrgate-drill-") as folder:
            engine = open_engine(new_sqlite(Path(folder)))
            governing = Governing(engine)
            for _ in range(min(ANEW, count - tried)):
                governing.take(*_drawn(draw, governing))
                tried += 1
                tell(tried)
                if not governing.is_governed():
                    events += 1
                    break
            done += governing.done
            engine.dispose()
    return Finding(tried, events, {"steps that went through": str(done)})


def races(_stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """Two of them do so at the same moment, on one PostgreSQL."""
    draw = random.Random(0)
    events = failed = 0
    barrier = Barrier(2)
    with (
        running_postgresql() as server,
        new_postgresql(server, "template0") as url,
        ThreadPoolExecutor(2) as pool,
    ):
        engine = open_engine(url)
        schema.upgrade(engine)
        governing = Governing(engine)

        def one(step: Step) -> bool:
            barrier.wait()
            try:
                governing.take(*step)
            except OperationalError:  # a deadlock: one of them is undone, which is no harm
                return False
            return True

        for number in range(count):
            pair = [_drawn(draw, governing) for _ in range(2)]
            failed += list(pool.map(one, pair)).count(False)
            tell(number + 1)
            if not governing.is_governed():
                events += 1
                governing.begin_anew()
        engine.dispose()
        done = governing.done
    return Finding(count, events, {"steps that went through": str(done), "deadlocks": str(failed)})


def _drawn(draw: random.Random, governing: Governing) -> Step:
    return (
        draw.randrange(len(governing.steps)),
        draw.choice(NAMES),
        draw.choice(NAMES),
        draw.choice(ORGANIZATIONS),
        draw.choice(ROLES),
    )


DRILLS = (
    Drill("lockout", "F17", "0 of 100,000 steps", 100_000, 200, steps),
    Drill("lockout-races", "F17", "0 of 10,000 pairs", 10_000, 50, races),
)
