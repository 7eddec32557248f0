"""Waiting for a change: neither missed nor imagined, and nobody woken whom it does not concern."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import OperationalError

from ca.hosts.changes import Changes, Moment
from ca.hosts.watch import Watch
from ca.store import directory
from ca.store.directory import Requirement
from ca.store.engine import reading, writing
from tests.directory import ACME, SERVICE, apply_text
from tests.host_client import ELSEWHERE, GLOBEX

if TYPE_CHECKING:
    from ca.services import Services

ACME_HOSTS = ("ssh.acme.example", "ssh2.acme.example")
GLOBEX_HOST = "ssh.globex.example"


@pytest.fixture
def three_hosts(services: Services) -> Services:
    apply_text(services.engine, ACME + ELSEWHERE + GLOBEX)
    return services


class Worker:
    """One worker's watch, and the moment that it has seen."""

    def __init__(self, services: Services) -> None:
        self.engine = services.engine
        self.changes = Changes()
        self.stopping = threading.Event()
        self.watch = Watch(services.engine, services.standings, self.changes, self.stopping)
        self.moment = self.look()

    def look(self) -> Moment:
        with reading(self.engine) as connection:
            return self.changes.follow(connection)

    def require(self, subject: str) -> Moment:
        """Require something new of an organization, project or service."""
        with writing(self.engine) as connection:
            directory.lock(connection)
            found = directory.find_organization(connection, subject)
            before = directory.requirement(connection, found.id if found else subject)
            asked = Requirement(("mfa",), (before.max_age or 300) + 60)
            directory.put_requirement(connection, found.id if found else subject, asked)
            version = directory.bump(connection, int(time.time()))
        return Moment(version, self.moment.revocations)

    async def waited(self, name: str, moment: Moment, seconds: float) -> float:
        begun = time.monotonic()
        await self.watch.wait(name, moment, seconds)
        return time.monotonic() - begun


@pytest.fixture
def worker(three_hosts: Services) -> Worker:
    return Worker(three_hosts)


@pytest.fixture
def asked(services: Services, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A list that grows with each question to the database."""
    every: list[float] = []
    really = services.standings.now

    async def now() -> Moment:
        every.append(time.monotonic())
        return await really()

    monkeypatch.setattr(services.standings, "now", now)
    return every


def test_a_change_wakes_whom_it_concerns_and_nobody_else(worker: Worker) -> None:
    async def scenario() -> list[float]:
        waits = {ACME_HOSTS[0]: 10, ACME_HOSTS[1]: 10, GLOBEX_HOST: 1.2}
        waiting = [
            asyncio.create_task(worker.waited(host, worker.moment, seconds))
            for host, seconds in waits.items()
        ]
        await asyncio.sleep(0.3)
        await asyncio.to_thread(worker.require, "acme")
        return await asyncio.gather(*waiting)

    first, second, other = asyncio.run(scenario())
    assert max(first, second) < 5
    assert other >= 1.2


def test_who_has_not_heard_of_a_change_does_not_wait(worker: Worker) -> None:
    """It was made between the look and the wait, and somebody else has followed it already."""
    worker.require("acme")
    worker.look()

    assert asyncio.run(worker.waited(ACME_HOSTS[0], worker.moment, 5)) < 1
    assert asyncio.run(worker.waited(GLOBEX_HOST, worker.moment, 0.3)) >= 0.3


def test_nor_if_nobody_has_followed_it_yet(worker: Worker) -> None:
    worker.require("acme")

    assert asyncio.run(worker.waited(ACME_HOSTS[0], worker.moment, 5)) < 1


def test_nor_if_it_was_made_while_nobody_waited(worker: Worker) -> None:
    async def scenario() -> float:
        await worker.waited(GLOBEX_HOST, worker.moment, 0.2)
        await asyncio.sleep(0.2)
        await asyncio.to_thread(worker.require, "acme")
        return await worker.waited(ACME_HOSTS[0], worker.moment, 5)

    assert asyncio.run(scenario()) < 1


def test_who_heard_of_it_elsewhere_waits_for_the_next(worker: Worker) -> None:
    async def scenario() -> float:
        await worker.waited(ACME_HOSTS[0], worker.moment, 0.2)
        moment = await asyncio.to_thread(worker.require, "acme")
        worker.look()
        return await worker.waited(ACME_HOSTS[0], moment, 0.5)

    assert asyncio.run(scenario()) >= 0.5


def test_a_thousand_that_wait_ask_one_question(worker: Worker, asked: list[float]) -> None:
    async def scenario() -> list[float]:
        waiting = [
            asyncio.create_task(worker.waited(ACME_HOSTS[0], worker.moment, 20))
            for _host in range(1000)
        ]
        await asyncio.sleep(0.5)
        await asyncio.to_thread(worker.require, SERVICE)
        return await asyncio.gather(*waiting)

    assert max(asyncio.run(scenario())) < 10
    assert 0 < len(asked) < 300


def test_nobody_asks_while_nobody_waits(worker: Worker, asked: list[float]) -> None:
    async def scenario() -> int:
        await worker.waited(GLOBEX_HOST, worker.moment, 0.1)
        await asyncio.sleep(0.3)
        asked.clear()
        await asyncio.sleep(0.3)
        return len(asked)

    assert asyncio.run(scenario()) == 0


@pytest.fixture
def away(services: Services, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """The database, once this is set."""
    gone = threading.Event()
    really = services.standings.now

    async def now() -> Moment:
        if gone.is_set():
            raise OperationalError("", None, Exception("away"))
        return await really()

    monkeypatch.setattr(services.standings, "now", now)
    return gone


def test_a_database_that_comes_back_is_asked_again(worker: Worker, away: threading.Event) -> None:
    async def scenario() -> float:
        waiting = asyncio.create_task(worker.waited(ACME_HOSTS[0], worker.moment, 20))
        await asyncio.sleep(0.2)
        away.set()
        await asyncio.sleep(0.2)
        away.clear()
        await asyncio.to_thread(worker.require, "acme")
        return await waiting

    assert asyncio.run(scenario()) < 10


def test_what_holds_at_the_end_of_a_quiet_wait_is_known_without_a_question(worker: Worker) -> None:
    async def scenario() -> tuple[int | None, int | None, int | None]:
        quiet = worker.watch.wait(ACME_HOSTS[0], worker.moment, 0.3)
        found = await quiet
        changed = asyncio.create_task(worker.watch.wait(ACME_HOSTS[0], worker.moment, 20))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(worker.require, "acme")
        other = await worker.watch.wait(GLOBEX_HOST, worker.moment, 0.3)
        return found, await changed, other

    before = int(time.time())
    found, changed, other = asyncio.run(scenario())
    assert found is not None
    assert other is not None
    assert before <= found <= other <= time.time()
    assert changed is None


def test_what_holds_is_not_known_while_the_database_is_away(
    worker: Worker, away: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ca.hosts.watch.RECENT", 0)

    async def scenario() -> int | None:
        waiting = asyncio.create_task(worker.watch.wait(ACME_HOSTS[0], worker.moment, 1.3))
        await asyncio.sleep(0.2)
        away.set()
        return await waiting

    assert asyncio.run(scenario()) is None


def test_nobody_is_kept_waiting_by_a_service_that_stops(worker: Worker) -> None:
    async def scenario() -> list[float]:
        waiting = [
            asyncio.create_task(worker.waited(name, worker.moment, 20)) for name in ACME_HOSTS
        ]
        await asyncio.sleep(0.2)
        worker.stopping.set()
        late = worker.waited(GLOBEX_HOST, worker.moment, 20)
        return await asyncio.gather(*waiting, late)

    assert max(asyncio.run(scenario())) < 5
