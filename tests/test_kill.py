"""Whatever is killed, no certificate leaves, and none is signed, without a record of it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from ca import audit
from ca.issuance.abandoned import AFTER, close_abandoned
from ca.store.engine import reading, writing
from ca.store.tables import audit_records, certificates
from sshd_hook.certificate import parse
from tests.issuing import add_session

if TYPE_CHECKING:
    from pathlib import Path

    from ca.services import Services

KILLS = 50


@pytest.mark.attack(173)
@pytest.mark.attack(175)
def test_no_certificate_without_a_record_whenever_it_is_killed(
    services: Services, database_url: str, tmp_path: Path
) -> None:
    add_session(services)
    folder = tmp_path / "out"
    folder.mkdir()
    program = [sys.executable, "-m", "tests.killed_issuer"]
    subprocess.run(
        [*program, database_url, str(folder), str(KILLS), "173"], check=True, timeout=300
    )

    with reading(services.engine) as connection:
        audit.verify(connection)
        details = connection.execute(
            select(audit_records.c.detail).where(audit_records.c.event == "certificate:intent")
        ).scalars()
        recorded = {base64.b64decode(json.loads(detail)["to_be_signed"]) for detail in details}
        rows = connection.execute(select(func.count()).select_from(certificates)).scalar_one()
    signed = lines(folder, "signed")
    issued = lines(folder, "issued")

    assert len(issued) > KILLS  # most of the children got to issue some
    assert {parse(blob)[1] for blob in issued} <= set(signed) <= recorded
    assert len(recorded) == rows  # and no serial twice: it is the key
    with writing(services.engine) as connection:
        left_open = close_abandoned(connection, int(time.time()) + AFTER + 1)
        assert left_open  # many were killed between record and outcome
        assert close_abandoned(connection, int(time.time()) + AFTER + 1) == []


def lines(folder: Path, kind: str) -> list[bytes]:
    """What the children wrote: whole lines, for a kill may cut a write at the end of a page."""
    found = [path.read_text().rpartition("\n")[0] for path in folder.glob(f"*.{kind}")]
    return [bytes.fromhex(line) for text in found for line in text.split()]
