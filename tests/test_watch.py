"""Waiting for a change: neither missed nor imagined."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from sqlalchemy.exc import OperationalError

from ca.hosts.watch import Watch


class Version:
    """The version in a database, which may be slow or away."""

    def __init__(self) -> None:
        self.now = 1
        self.asked = 0
        self.away = False

    def read(self) -> int:
        self.asked += 1
        if self.away:
            raise OperationalError("", None, Exception("away"))
        return self.now


async def waited(watch: Watch[int], version: int, seconds: float) -> float:
    begun = time.monotonic()
    await watch.wait_for_other(version, seconds)
    return time.monotonic() - begun


def test_what_was_seen_long_ago_wakes_nobody() -> None:
    """A host that heard of the newest version from another worker waits for the next one here."""

    async def scenario() -> list[float]:
        version = Version()
        watch = Watch(version.read)
        first = await waited(watch, 1, 0.2)
        version.now = 2
        at_once = await waited(watch, 2, 0.4)
        await asyncio.sleep(0.2)
        version.now = 3
        later = await waited(watch, 3, 0.4)
        return [first, at_once, later]

    first, at_once, later = asyncio.run(scenario())
    assert first >= 0.2
    assert at_once >= 0.4
    assert later >= 0.4


@pytest.mark.parametrize("have", [0, 1, 3])
def test_who_has_another_version_does_not_wait(have: int) -> None:
    async def scenario() -> float:
        version = Version()
        version.now = 2
        return await waited(Watch(version.read), have, 5)

    assert asyncio.run(scenario()) < 1


def test_a_change_wakes_everybody() -> None:
    async def scenario() -> tuple[list[float], int]:
        version = Version()
        watch = Watch(version.read)
        waiting = asyncio.gather(*(waited(watch, 1, 20) for _host in range(1000)))
        while version.asked < 1000:  # noqa: ASYNC110 -- each looks once for itself, in a thread
            await asyncio.sleep(0.1)
        asked = version.asked
        version.now = 2
        times = await waiting
        return times, version.asked - asked

    times, asked = asyncio.run(scenario())
    assert max(times) < 10
    assert asked < 100, "a thousand that wait ask one question"


def test_nobody_asks_while_nobody_waits() -> None:
    async def scenario() -> int:
        version = Version()
        await waited(Watch(version.read), 1, 0.1)
        await asyncio.sleep(0.2)
        asked = version.asked
        await asyncio.sleep(0.3)
        return version.asked - asked

    assert asyncio.run(scenario()) == 0


def test_a_database_that_comes_back_is_asked_again() -> None:
    async def scenario() -> float:
        version = Version()
        watch = Watch(version.read)
        waiting = asyncio.create_task(waited(watch, 1, 20))
        await asyncio.sleep(0.2)
        version.away = True
        await asyncio.sleep(0.2)
        version.now, version.away = 2, False
        return await waiting

    assert asyncio.run(scenario()) < 10


def test_an_answer_that_was_overtaken_does_not_count() -> None:
    async def scenario() -> float:
        held = threading.Event()
        answers = iter([1, 2])

        def read() -> int:
            answer = next(answers, 2)
            if answer == 1:
                held.wait(5)  # the first question's answer comes last
            return answer

        watch = Watch(read)
        slow = asyncio.create_task(watch.wait_for_other(1, 0.1))
        await asyncio.sleep(0.1)
        waiting = asyncio.create_task(waited(watch, 2, 0.5))
        await asyncio.sleep(0.1)
        held.set()
        await slow
        return await waiting

    assert asyncio.run(scenario()) >= 0.5
