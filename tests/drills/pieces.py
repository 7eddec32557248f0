"""Work on every processor: what needs millions of attempts and no stage."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

PIECE = 20_000  # attempts of a process between two reports


class Seen(NamedTuple):
    """What came of some attempts: how often what was seen, and each that did what must not be."""

    times: Counter[str]
    wrong: list[str]


def on_every_processor(
    work: Callable[[range], Seen], count: int, tell: Callable[[int], None]
) -> Seen:
    """Let processes do `work` for the numbers below `count`, some thousands at a time."""
    pieces = [range(begun, min(begun + PIECE, count)) for begun in range(0, count, PIECE)]
    all_ = Seen(Counter(), [])
    done = 0
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        waited = {pool.submit(work, piece): len(piece) for piece in pieces}
        for ended in as_completed(waited):
            seen = ended.result()
            all_.times.update(seen.times)
            all_.wrong.extend(seen.wrong)
            done += waited[ended]
            tell(done)
    return all_
