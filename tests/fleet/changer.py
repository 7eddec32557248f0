"""Changes what the organization requires, as often as it is told, in the machine of the CA.

`python -m tests.fleet.changer DATA`: for each line on standard input, `amr` values or none, it
prints the version that requires them and the monotonic second of its commit.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ca import settings
from ca.store import directory
from ca.store.directory import Requirement
from ca.store.engine import open_engine, writing


def main(data: Path) -> None:
    """Until standard input ends."""
    engine = open_engine(settings.read(data).database)
    for line in sys.stdin:
        with writing(engine) as connection:
            directory.lock(connection)
            acme = directory.find_organization(connection, "acme")
            assert acme
            directory.put_requirement(connection, acme.id, Requirement(tuple(line.split())))
            version = directory.bump(connection, int(time.time()))
        print(version, time.monotonic(), flush=True)  # noqa: T201 -- it is asked


if __name__ == "__main__":
    main(Path(sys.argv[1]))
