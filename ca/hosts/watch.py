"""Waiting for what hosts obey to change: any number of waiters, one question to the database."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Generic, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger()

Version = TypeVar("Version")

INTERVAL = 0.05  # seconds: a change is to be obeyed within one, and this is a read of one row


class Watch(Generic[Version]):
    """Asks for the version while somebody waits for another one, and wakes them all.

    Changes may be made by any process on any node, so the database is what is watched. One
    object belongs to one event loop.
    """

    def __init__(self, read_version: Callable[[], Version]) -> None:
        """Watch what `read_version` returns; it runs in a thread and may block there."""
        self._read = read_version
        self._turns = itertools.count()
        self._turn = -1  # of the question whose answer is the newest
        self._version: Version | None = None
        self._changed = asyncio.Event()
        self._waiting = 0
        self._task: asyncio.Task[None] | None = None

    async def wait_for_other(self, version: Version, seconds: float) -> None:
        """Return as soon as the version is not `version`, or after `seconds`.

        Raises:
            SQLAlchemyError: the database cannot be asked now.
        """
        self._waiting += 1
        try:
            # What was seen last may be older than what the one who waits has seen elsewhere.
            await self._ask()
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._follow())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while self._version == version:
                        await self._changed.wait()
        finally:
            self._waiting -= 1

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            if not self._waiting:  # and so no question is on its way when the service stops
                return
            try:
                await self._ask()
            except SQLAlchemyError as error:
                # Who waits is told when they ask again; until then the database may be back.
                log.warning("watch", error=type(error).__name__)

    async def _ask(self) -> None:
        turn = next(self._turns)
        version = await run_in_threadpool(self._read)
        if turn > self._turn:  # answers may overtake each other
            self._turn = turn
            if version != self._version:
                self._version = version
                self._changed.set()
                self._changed = asyncio.Event()
