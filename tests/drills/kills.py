"""Figure F1: certificates without a record, where the service is killed at any moment."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from ca import audit
from ca.store import schema
from ca.store.engine import open_engine, reading
from ca.store.tables import audit_records, certificates
from sshd_hook.certificate import parse
from tests.databases import new_postgresql, new_sqlite, running_postgresql
from tests.drills.drill import Drill, Finding
from tests.issuing import add_session
from tests.web import new_services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

    from tests.drills.nodes import Stage

BATCH = 200  # kills with one database, whose records are then all read
PATIENCE = 3  # seconds for one kill, on a machine that does much else


@dataclass(frozen=True)
class Killed:
    """What came of processes that issued until they were killed."""

    issued: int
    """Certificates that were handed out."""

    unsigned: int
    """Those of them that the key did not sign as they are."""

    unrecorded: int
    """Signatures, noted by the key itself, of what is not in the log."""

    twice: int
    """Records of a serial that another record has."""


def killed(url: str, folder: Path, kills: int, seed: int) -> Killed:
    """Let `kills` processes issue for the one session in the database, and kill each."""
    program = [sys.executable, "-m", "tests.killed_issuer", url, str(folder), str(kills), str(seed)]
    subprocess.run(program, check=True, timeout=60 + PATIENCE * kills)
    engine = open_engine(url)
    recorded, rows = _recorded(engine)
    engine.dispose()
    signed, issued = set(_lines(folder, "signed")), _lines(folder, "issued")
    return Killed(
        issued=len(issued),
        unsigned=sum(parse(blob)[1] not in signed for blob in issued),
        unrecorded=len(signed - recorded),
        twice=abs(len(recorded) - rows),
    )


def kills(_stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """`count` processes that sign are killed, by turns on SQLite and on PostgreSQL."""
    outcomes = []
    with running_postgresql() as server:
        for number, begun in enumerate(range(0, count, BATCH)):
            size = min(BATCH, count - begun)
            with _new_database(None if number % 2 else server) as (url, folder):
                outcomes.append(killed(url, folder, size, number))
            tell(begun + size)
    events = sum(one.unsigned + one.unrecorded + one.twice for one in outcomes)
    return Finding(count, events, {"certificates issued": str(sum(one.issued for one in outcomes))})


DRILLS = (Drill("kills", "F1", "0 of 10,000 kills", 10_000, 4, kills),)


@contextmanager
def _new_database(server: Path | None) -> Iterator[tuple[str, Path]]:
    """The URL of a new database with one session, and a folder for what is signed."""
    with tempfile.TemporaryDirectory(prefix="amrgate-drill-") as name:
        folder = Path(name)
        with ExitStack() as stack:
            if server is None:
                url = new_sqlite(folder)
            else:
                url = stack.enter_context(new_postgresql(server, "template0"))
                engine = open_engine(url)
                schema.upgrade(engine)
                engine.dispose()
            with new_services(url, folder) as services:
                add_session(services)
            yield url, folder


def _recorded(engine: Engine) -> tuple[set[bytes], int]:
    """What the log, which must be whole, says was to be signed; and how many certificates it is."""
    with reading(engine) as connection:
        audit.verify(connection)
        details = connection.execute(
            select(audit_records.c.detail).where(audit_records.c.event == "certificate:intent")
        ).scalars()
        recorded = {base64.b64decode(json.loads(detail)["to_be_signed"]) for detail in details}
        rows: int = connection.execute(select(func.count()).select_from(certificates)).scalar_one()
    return recorded, rows


def _lines(folder: Path, kind: str) -> list[bytes]:
    """What the processes wrote: whole lines, for a kill may cut a write at the end of a page."""
    found = [path.read_text().rpartition("\n")[0] for path in folder.glob(f"*.{kind}")]
    return [bytes.fromhex(line) for text in found for line in text.split()]
