"""Waiting for a change of what a host obeys: any number wait, one question goes to the database."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ca.errors import Unavailable
from ca.store.engine import reading

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from sqlalchemy import Engine

    from ca.hosts.changes import Changes, Moment
    from ca.hosts.standing import Standings

log = structlog.get_logger()

INTERVAL = 0.05  # seconds: a change is to be obeyed within one, and this is a read of two rows
RECENT = 1  # seconds since the database was asked, for what holds now


class Watch:
    """Follows what changes while somebody waits, and wakes those whom it concerns.

    Changes may be made by any process on any node, so the database is what is watched. One
    object belongs to one event loop.
    """

    def __init__(
        self, engine: Engine, standings: Standings, changes: Changes, stopping: threading.Event
    ) -> None:
        self._engine = engine
        self._standings = standings
        self._changes = changes
        self._stopping = stopping
        self._moment: Moment | None = None  # that was seen last
        self._asked_at = 0  # seconds since the epoch, of the last question that was answered
        self._waiting: defaultdict[str, dict[asyncio.Event, Moment]] = defaultdict(dict)
        self._task: asyncio.Task[None] | None = None
        # Its own: behind hosts that all ask for everything, a change would be heard of late.
        self._thread = ThreadPoolExecutor(1, "watch")

    async def wait(self, name: str, moment: Moment, seconds: float) -> int | None:
        """Return as soon as something after `moment` may concern the host `name`.

        Or after `seconds`, or when the service stops. Where nothing concerned it until a moment
        ago, that is returned, in seconds since the epoch: it need not be looked at again.
        """
        begun = int(time.time())
        woken = asyncio.Event()
        self._waiting[name][woken] = moment  # first: what is followed from here on wakes it
        try:
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._follow())
            if not self._changes.since(name, moment):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await woken.wait()
        finally:
            del self._waiting[name][woken]
            if not self._waiting[name]:
                del self._waiting[name]
        quiet = not woken.is_set() and not self._changes.since(name, moment)
        recent = max(begun, int(time.time()) - RECENT) <= self._asked_at
        return self._asked_at if quiet and recent else None

    async def _follow(self) -> None:
        while self._waiting:  # so no question is on its way when the service stops
            try:
                await self._ask()
            except (SQLAlchemyError, Unavailable) as error:
                # Who waits is told when they ask again; until then the database may be back.
                log.warning("watch", error=type(error).__name__)
            await asyncio.sleep(INTERVAL)
            if self._stopping.is_set():
                self._wake(lambda _name, _moment: True)
                return

    async def _ask(self) -> None:
        asked_at = int(time.time())
        if await self._standings.now() != self._moment:
            loop = asyncio.get_running_loop()
            self._moment = await loop.run_in_executor(self._thread, self._read)
            self._wake(self._changes.since)
        self._asked_at = asked_at

    def _wake(self, is_woken: Callable[[str, Moment], bool]) -> None:
        for name, some in self._waiting.items():
            for woken, moment in some.items():
                if is_woken(name, moment):
                    woken.set()

    def _read(self) -> Moment:
        with reading(self._engine) as connection:
            return self._changes.follow(connection)
