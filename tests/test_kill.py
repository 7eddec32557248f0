"""Whatever is killed, no certificate leaves, and none is signed, without a record of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from ca.issuance.abandoned import AFTER, close_abandoned
from ca.store.engine import writing
from tests.drills.kills import killed
from tests.issuing import add_session

if TYPE_CHECKING:
    from pathlib import Path

    from ca.services import Services

KILLS = 20


@pytest.mark.attack(173)
@pytest.mark.attack(175)
def test_no_certificate_without_a_record_whenever_it_is_killed(
    services: Services, database_url: str, tmp_path: Path
) -> None:
    add_session(services)
    folder = tmp_path / "out"
    folder.mkdir()

    found = killed(database_url, folder, KILLS, 173)

    assert found.issued > KILLS  # most of the children got to issue some
    assert (found.unsigned, found.unrecorded, found.twice) == (0, 0, 0)
    with writing(services.engine) as connection:
        left_open = close_abandoned(connection, int(time.time()) + AFTER + 1)
        assert left_open  # many were killed between record and outcome
        assert close_abandoned(connection, int(time.time()) + AFTER + 1) == []
