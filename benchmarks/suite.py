"""What `make test` took, beside the start of a bare Python: most of it is real programs that start."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.client import BARE
from benchmarks.figures import Figure, Yardstick, interleaved

RECORD = Path("build/suite.json")
STARTS = 100


def measure() -> list[Figure]:
    """What the last `make test` left."""
    if not RECORD.exists():
        return []
    took = json.loads(RECORD.read_text())
    yardstick = Yardstick(f"{BARE} (ms)", took["python_ms"])
    return [Figure("suite_minutes", round(took["seconds"] / 60, 2), "min", yardstick, 1, 0)]


def main(seconds: int) -> None:
    """Keep what a whole run took, and time Python now that nothing else runs."""
    (starts,) = interleaved(STARTS, lambda: subprocess.run(BARE.split(), check=True))
    python_ms = round(statistics.median(starts) * 1000, 1)
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps({"seconds": seconds, "python_ms": python_ms}) + "\n")
    print(f"{seconds / 60:.1f} minutes, where a bare Python starts in {python_ms} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]))
