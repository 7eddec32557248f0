"""Measure every figure that has a budget: `make bench`, or only some by `… run hook login`."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results.json"

MEASUREMENTS = ("hook", "login", "issue", "obey", "client", "suite")
"""Modules of this folder with a function `measure() -> list[Figure]`."""

# What each figure must not exceed; a rate must not fall below it.
BUDGETS: dict[str, float] = {
    "hook_ratio": 1.2,
    "hook_flat_ratio": 1.1,
    "login_ratio": 1.15,
    "issue_rate": 3000,
    "issue_p99_ms": 30,
    "obey_p99_s": 1,
    "refresh_check_ms": 30,
    "rss_idle_mb": 150,
    "rss_load_mb": 300,
    "suite_minutes": 10,
}


def main(names: list[str]) -> int:
    """Measure, write the results file, print a table. 1 if a figure is missing or over budget."""
    known: dict[str, dict[str, Any]] = {}
    if RESULTS.exists():
        known = {entry["name"]: entry for entry in json.loads(RESULTS.read_text())}
    stamp = {"commit": _commit(), "date": datetime.now(UTC).isoformat(timespec="seconds")}
    for name in names or MEASUREMENTS:
        print(f"measuring {name} …", file=sys.stderr)
        for figure in import_module(f"benchmarks.{name}").measure():
            known[figure.name] = asdict(figure) | stamp
    RESULTS.write_text(json.dumps([known[name] for name in sorted(known)], indent=2) + "\n")
    return _report(known)


def _report(known: dict[str, dict[str, Any]]) -> int:
    wrong = 0
    for name, budget in BUDGETS.items():
        entry = known.get(name)
        if entry is None:
            print(f"{name:18} {'not measured':>14}")
            wrong += 1
            continue
        is_rate = name.endswith("_rate")
        kept = entry["value"] >= budget if is_rate else entry["value"] <= budget
        wrong += not kept
        beside = "{name} {value:g}".format(**entry["yardstick"])
        print(
            f"{name:18} {entry['value']:>10.4g} {entry['unit']:6} {'≥' if is_rate else '≤'}"
            f" {budget:<6g} {'ok  ' if kept else 'OVER'}  ± {entry['spread']:.2g},"
            f" n={entry['n']}, beside {beside}"
        )
    return 1 if wrong else 0


def _commit() -> str:
    """The commit that was measured, with a mark if the files were not exactly its."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
