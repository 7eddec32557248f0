"""`python -m tests.fuzz [SECONDS]`: break inputs for so long, or until stopped, and say what came out.

The exit status is 1 if anything was taken that another reader refuses or reads otherwise.
"""

from __future__ import annotations

import os
import random
import sys
import time

from tests.fuzz.certificates import Certificates

STEP = 1000  # executions between two looks at the clock


def main(arguments: list[str]) -> int:
    seconds = float(arguments[0]) if arguments else float("inf")
    seed = int.from_bytes(os.urandom(8), "big")
    source = random.Random(seed)
    target = Certificates()
    began = time.monotonic()
    try:
        while time.monotonic() - began < seconds and not target.disagreements:
            for _ in range(STEP):
                target.execute(source)
    except KeyboardInterrupt:
        pass
    target.finish()
    took = time.monotonic() - began
    print(f"seed {seed}: {target.executions} certificates in {took:.0f} s")
    for what, times in target.seen.most_common():
        print(f"{times:10} {what}")
    print(f"{len(target.disagreements)} disagreements")
    for found in target.disagreements:
        print(found)
    return 1 if target.disagreements else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
