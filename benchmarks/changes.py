"""Change what an organization requires, again and again; see when the host's policy says so.

Runs in a private machine, beside the CA and the agent: `python -m benchmarks.changes DATA COUNT`.
Prints two lists of seconds: what each commit took, and from there until it was obeyed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ca import settings
from ca.store import directory
from ca.store.directory import Requirement
from ca.store.engine import open_engine, writing
from sshd_hook import bundle, paths
from sshd_hook.policy import ALLOWED, CONTRIBUTOR, Access, Claims, decide

if TYPE_CHECKING:
    from sqlalchemy import Engine

SERVICE = "p000000000499-main--app19"
LOOK_EVERY = 0.005  # seconds
PATIENCE = 30  # seconds
# So that changes fall on every moment of the CA's and the agent's own rhythms.
PAUSES = (0.11, 0.43, 0.23, 0.61, 0.31)


def main(data: str, count: int) -> None:
    """Make `count` changes."""
    engine = open_engine(settings.read(Path(data)).database)
    _wait_until(is_open=True)
    commits, obeyed = [], []
    for number in range(count):
        time.sleep(PAUSES[number % len(PAUSES)])
        begun = time.monotonic()
        _require(engine, ("mfa",) if number % 2 == 0 else ())
        changed = time.monotonic()
        _wait_until(is_open=number % 2 != 0)
        commits.append(changed - begun)
        obeyed.append(time.monotonic() - changed)
    print(json.dumps([commits, obeyed]))


def _require(engine: Engine, amr: tuple[str, ...]) -> None:
    with writing(engine) as connection:
        directory.lock(connection)
        acme = directory.find_organization(connection, "acme")
        if acme is None:
            raise LookupError("acme")
        directory.put_requirement(connection, acme.id, Requirement(amr))
        directory.bump(connection, int(time.time()))


def _wait_until(*, is_open: bool) -> None:
    deadline = time.monotonic() + PATIENCE
    while _is_open() is not is_open:
        if time.monotonic() > deadline:
            raise TimeoutError("the change is not obeyed")
        time.sleep(LOOK_EVERY)


def _is_open() -> bool | None:
    """Whether the hook would let in somebody with a password alone; None without a policy."""
    try:
        fd = os.open(paths.BUNDLE, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        record = bundle.from_fd(fd, os.fstat(fd).st_size).service(SERVICE)
    finally:
        os.close(fd)
    if record is None:
        return None
    now = int(time.time())
    access, login = Access(CONTRIBUTOR, CONTRIBUTOR), Claims(frozenset({"pwd"}), now)
    return decide(record.requirement, access, login, None, now).outcome == ALLOWED


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
