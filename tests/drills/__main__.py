"""`python -m tests.drills [NAME [N]]`: run one drill, or all, and say what came of it.

The exit status is 1 if anything happened that must not. `--help` lists the drills.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.drills import (
    agent,
    bundle,
    canaries,
    certificates,
    clock,
    device_guesses,
    device_pairs,
    enumeration,
    guesses,
    host,
    kills,
    lockout,
    numbers,
    offline,
    pairs,
)
from tests.drills.nodes import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.drills.drill import Drill

DRILLS = {
    drill.name: drill
    for drill in (
        *pairs.DRILLS,
        *device_pairs.DRILLS,
        *device_guesses.DRILLS,
        *guesses.DRILLS,
        *enumeration.DRILLS,
        *canaries.DRILLS,
        *lockout.DRILLS,
        *kills.DRILLS,
        *numbers.DRILLS,
        *host.DRILLS,
        *bundle.DRILLS,
        *certificates.DRILLS,
        *agent.DRILLS,
        *offline.DRILLS,
        *clock.DRILLS,
    )
}


def main(arguments: list[str]) -> int:
    listed = "\n".join(
        f"  {one.name:16} {one.figure:5} {one.usual:>6}  {one.target}" for one in DRILLS.values()
    )
    parser = argparse.ArgumentParser(
        prog="make drills DRILL=NAME N=NUMBER",
        description="Try what must not happen, many times.",
        epilog=f"drills, their figures, how often each is tried, and the targets:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", choices=[*DRILLS, "all"], default="all")
    parser.add_argument("n", nargs="?", type=int, help="how many times, in place of the usual")
    chosen = parser.parse_args(arguments)
    drills = [*DRILLS.values()] if chosen.name == "all" else [DRILLS[chosen.name]]
    with ExitStack() as stack:
        stage = Stage(stack)
        held = [_run(drill, stage, chosen.n or drill.usual) for drill in drills]
    return 0 if all(held) else 1


def _run(drill: Drill, stage: Stage, count: int) -> bool:
    began = time.monotonic()
    found = drill.run(stage, count, _progress(drill.name, count))
    took = time.monotonic() - began
    verdict = "holds" if found.holds else "BROKEN"
    print(f"\r{drill.figure} {drill.name}: {verdict}: {found}; {took:.0f} s", flush=True)
    return found.holds


def _progress(name: str, count: int) -> Callable[[int], None]:
    """Says on a terminal how far it has come."""
    if not sys.stderr.isatty():
        return lambda _done: None

    def tell(done: int) -> None:
        if done % max(1, count // 100) == 0:
            print(f"\r{name} {done}/{count} ", end="", file=sys.stderr, flush=True)

    return tell


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
