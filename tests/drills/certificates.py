"""Figure F9: certificates broken and signed again, and what each reader of them says.

It is what `make fuzz` does, so many times, on every processor.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.drills.drill import Drill, Finding
from tests.drills.pieces import Seen, on_every_processor
from tests.fuzz.certificates import Certificates

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.drills.nodes import Stage

SHOWN = 3  # disagreements that are told in full


def broken(_stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """Break so many certificates: none may be let in that another reader refuses."""
    seen = on_every_processor(_piece, count, tell)
    figures = {
        "taken": str(seen.times["taken"]),
        "allowed by the hook": str(seen.times["taken and allowed"]),
        "shown to ssh-keygen": str(seen.times["shown to ssh-keygen"]),
    }
    missed = "; ".join(seen.wrong[:SHOWN])
    if not seen.times["taken and allowed"]:
        missed = "none was let in, so none could be wrongly"
    return Finding(count, len(seen.wrong), figures, missed)


def _piece(numbers: range) -> Seen:
    run = Certificates()
    source = random.Random()  # seeded by the system: a new one in each process and piece
    for _ in numbers:
        run.execute(source)
    run.finish()
    return Seen(run.seen, run.disagreements)


DRILLS = (Drill("certificates", "F9", "0 of 10,000,000", 10_000_000, 2000, broken),)
