"""Waiting for the directory to change: any number of waiters, one question to the database."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger()

INTERVAL = 0.1  # seconds: a change is to be obeyed within one, and this is a read of one row


class Watch:
    """Asks for the version while somebody waits for another one, and wakes them all.

    Changes may be made by any process on any node, so the database is what is watched. One
    object belongs to one event loop.
    """

    def __init__(self, read_version: Callable[[], int]) -> None:
        """Watch what `read_version` returns; it runs in a thread and may block there."""
        self._read = read_version
        self._version = 0
        self._changed = asyncio.Event()
        self._waiting = 0
        self._task: asyncio.Task[None] | None = None

    async def wait_for_other(self, version: int, seconds: float) -> None:
        """Return as soon as the version is not `version`, or after `seconds`."""
        self._waiting += 1
        try:
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._follow())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while self._version in (0, version):
                        await self._changed.wait()
        finally:
            self._waiting -= 1

    async def _follow(self) -> None:
        # What was seen last may have changed since anybody waited.
        self._version = 0
        while self._waiting:
            try:
                version = await run_in_threadpool(self._read)
            except SQLAlchemyError as error:
                # Who waits is told when they ask again; until then the database may be back.
                log.warning("watch", error=type(error).__name__)
            else:
                if version != self._version:
                    self._version = version
                    self._changed.set()
                    self._changed = asyncio.Event()
            await asyncio.sleep(INTERVAL)
