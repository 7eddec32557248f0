"""The list of revoked certificates, as it grows and shrinks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ca.issuance.revocation import Revocations
from ca.store import revocations
from ca.store.engine import open_engine, writing
from ca.store.revocations import OVERDUE, SLOW_CLOCK, Cause
from tests.revoking import listed, record_certificates, version
from tests.web import keyring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

CAUSE = Cause(1_700_000_000, "operator test", "certificate:revoke")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A database of which no worker sweeps anything, so that the time is the test's."""
    opened = open_engine(database_url)
    yield opened
    opened.dispose()


def revoke_at(engine: Engine, serial: int, now: int) -> list[int]:
    with writing(engine) as connection:
        return revocations.revoke_serial(connection, serial, replace(CAUSE, at=now))


def test_an_entry_leaves_the_list_when_its_certificate_has_expired_everywhere(
    engine: Engine,
) -> None:
    record_certificates(engine, 1, [2000, 3000, 9000])
    assert revoke_at(engine, 1, 1000) == [1]
    assert revoke_at(engine, 1, 1001) == []

    assert revoke_at(engine, 2, 2000 + SLOW_CLOCK - 1) == [2]
    assert listed(engine) == {1, 2}
    assert revoke_at(engine, 3, 2000 + SLOW_CLOCK) == [3]
    assert listed(engine) == {2, 3}


def test_what_expired_on_every_host_is_not_listed_any_more(engine: Engine) -> None:
    record_certificates(engine, 1, [2000])
    before = version(engine)

    assert revoke_at(engine, 1, 2000 + SLOW_CLOCK) == []
    assert version(engine) == before


def test_without_a_change_it_leaves_an_hour_later(engine: Engine) -> None:
    gone = 2000 + SLOW_CLOCK + OVERDUE
    record_certificates(engine, 1, [2000])
    revoke_at(engine, 1, 1000)
    kept = []

    for now in (gone - 1, gone, gone + 1):
        with writing(engine) as connection:
            revocations.drop_overdue(connection, now)
        kept.append((listed(engine), version(engine)))

    assert kept == [({1}, 1000), (set(), gone), (set(), gone)]


def test_the_version_grows_with_every_change_and_never_falls(engine: Engine) -> None:
    record_certificates(engine, 1, [9000] * 4)
    versions = [version(engine)]

    for serial, now in ((1, 1000), (2, 1000), (3, 900), (4, 5000)):
        revoke_at(engine, serial, now)
        versions.append(version(engine))

    assert versions == [1, 1000, 1001, 1002, 5000]


def test_two_workers_write_the_same_list_once_a_version(engine: Engine) -> None:
    record_certificates(engine, 1, [9000] * 300)
    keys = keyring()
    workers = [Revocations(engine, keys) for _ in range(2)]

    first = [worker.current() for worker in workers]
    assert first[0] == first[1]
    assert workers[0].current() is first[0]
    for serial in (1, 5, 7, 300):
        revoke_at(engine, serial, 1000 + serial)
    second = [worker.current() for worker in workers]

    assert second[0] == second[1]
    assert (first[0].version, second[0].version) == (1, 1300)
