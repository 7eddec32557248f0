"""What hosts say is written for all of them together, and nothing of it is lost that counts."""

from __future__ import annotations

import time
from concurrent.futures import wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from ca.errors import Unavailable
from ca.hosts.notes import Notes
from ca.store import hosts
from ca.store.engine import reading, writing
from ca.store.hosts import Built, Host
from tests.fleet import estate
from tests.fleet.estate import Estate, fill
from tests.host_client import NAME, HostClient, known_host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from ca.services import Services

MANY = 200
DIGEST = "d" * 64


@pytest.fixture
def many(engine: Engine) -> Engine:
    fill(engine, Estate(hosts=MANY, services=0))
    return engine


@pytest.fixture
def notes(many: Engine) -> Iterator[Notes]:
    made = Notes(many)
    yield made
    made.close()


def known(engine: Engine) -> dict[str, Host]:
    with reading(engine) as connection:
        return {one.id: one for one in hosts.all_hosts(connection)}


@contextmanager
def beginning(engine: Engine, note: Any) -> Iterator[None]:
    event.listen(engine, "begin", note)
    yield
    event.remove(engine, "begin", note)


def test_many_hosts_are_written_together(many: Engine, notes: Notes) -> None:
    begun: list[object] = []
    with beginning(many, begun.append):
        said = [
            notes.acknowledged(estate.host_id(number), number, DIGEST, 7) for number in range(MANY)
        ]
        assert not wait(said, timeout=20).not_done

    assert [one.exception() for one in said] == [None] * MANY
    assert len(begun) < MANY / 2
    found = known(many)
    assert [found[estate.host_id(number)].acknowledged for number in range(MANY)] == [
        (number, DIGEST) for number in range(MANY)
    ]


def test_who_acknowledges_is_told_when_it_is_on_the_disk(many: Engine, notes: Notes) -> None:
    with writing(many) as connection:  # which on SQLite keeps every other writer waiting
        hosts.lock_hosts(connection, [estate.host_id(0)])
        said = notes.acknowledged(estate.host_id(0), 3, DIGEST, 7)
        time.sleep(0.3)
        assert not said.done()

    said.result(timeout=20)
    assert known(many)[estate.host_id(0)].acknowledged == (3, DIGEST)


def test_what_cannot_be_written_is_not_taken_for_written(many: Engine, notes: Notes) -> None:
    def refuse(_connection: object) -> None:
        raise OperationalError("", None, Exception("away"))

    with beginning(many, refuse), pytest.raises(Unavailable):
        notes.acknowledged(estate.host_id(0), 3, DIGEST, 7).result(timeout=20)

    assert known(many)[estate.host_id(0)].acknowledged == (0, "")
    notes.acknowledged(estate.host_id(0), 3, DIGEST, 7).result(timeout=20)
    assert known(many)[estate.host_id(0)].acknowledged == (3, DIGEST)


def test_what_is_left_is_written_at_the_end(many: Engine) -> None:
    made, built = Notes(many), Built(4, DIGEST, DIGEST)
    made.heard(estate.host_id(0), 9)
    made.built(estate.host_id(1), built)
    made.close()

    first, second = (known(many)[estate.host_id(number)] for number in range(2))
    assert (first.seen_at, second.built) == (9, built)


def test_of_a_host_that_is_no_more_nothing_is_written(many: Engine, notes: Notes) -> None:
    with writing(many) as connection:
        hosts.remove_host(connection, estate.host_id(0))

    notes.acknowledged(estate.host_id(0), 3, DIGEST, 7).result(timeout=20)

    assert estate.host_id(0) not in known(many)


def test_two_workers_that_write_about_the_same_hosts_do_not_block_each_other(many: Engine) -> None:
    workers = [Notes(many) for _ in range(2)]
    said = []
    for turn in range(20):
        for worker, order in zip(workers, (1, -1), strict=True):
            for number in range(MANY)[::order][:20]:
                worker.built(estate.host_id(MANY - number - 1), Built(turn, DIGEST, DIGEST))
                said.append(worker.acknowledged(estate.host_id(number), turn, DIGEST, 7))
    assert not wait(said, timeout=60).not_done
    for worker in workers:
        worker.close()

    assert [one.exception() for one in said] == [None] * len(said)


def test_an_acknowledgement_that_cannot_be_noted_is_refused(acme: Services) -> None:
    host = HostClient(acme)
    policy = host.policy()
    host.settle()

    def refuse(connection: Any) -> None:
        if not connection.get_execution_options().get("reads_only"):
            raise OperationalError("", None, Exception("away"))

    with beginning(acme.engine, refuse):
        assert host.acknowledge(policy).status_code == 503
    assert host.acknowledge(policy).status_code == 204
    assert known_host(acme).acknowledged[0] == policy["version"]
    assert known_host(acme).name == NAME
