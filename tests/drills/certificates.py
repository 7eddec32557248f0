"""Figure F9: certificates broken and signed again, and what each reader of them says.

It is what `make fuzz` does, so many times, on every processor.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TYPE_CHECKING

from tests.drills.drill import Drill, Finding
from tests.fuzz.certificates import Certificates

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.drills.nodes import Stage

PIECE = 20_000  # certificates of a process between two reports
SHOWN = 3  # disagreements that are told in full


def broken(_stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """Break so many certificates: none may be let in that another reader refuses."""
    pieces = [min(PIECE, count - begun) for begun in range(0, count, PIECE)]
    seen: Counter[str] = Counter()
    wrong: list[str] = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for ended in as_completed([pool.submit(_piece, size) for size in pieces]):
            found, disagreements = ended.result()
            seen += found
            wrong += disagreements
            tell(seen["tried"])
    figures = {
        "taken": str(seen["taken"]),
        "allowed by the hook": str(seen["taken and allowed"]),
        "shown to ssh-keygen": str(seen["shown to ssh-keygen"]),
    }
    missed = "; ".join(wrong[:SHOWN])
    if not seen["taken and allowed"]:
        missed = "none was let in, so none could be wrongly"
    return Finding(seen["tried"], len(wrong), figures, missed)


def _piece(count: int) -> tuple[Counter[str], list[str]]:
    run = Certificates()
    source = random.Random()  # seeded by the system: a new one in each process and piece
    for _ in range(count):
        run.execute(source)
    run.finish()
    run.seen["tried"] = run.executions
    return run.seen, run.disagreements


DRILLS = (Drill("certificates", "F9", "0 of 10,000,000", 10_000_000, 2000, broken),)
