"""From another thread to the event loop: all that is ready in one go, not a wake-up for each."""

import asyncio
from collections import deque
from concurrent.futures import Future


class Mailbox:
    """Lets coroutines of one event loop wait for futures that one other thread sets."""

    def __init__(self) -> None:
        self._ready: deque[tuple[asyncio.Future[None], Future[None]]] = deque()

    async def wait(self, done: Future[None]) -> None:
        """Wait for `done`, and raise what it raises."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        done.add_done_callback(lambda _: self._put(loop, waiter, done))
        await waiter

    def _put(
        self, loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None], done: Future[None]
    ) -> None:
        self._ready.append((waiter, done))
        # Whoever put the first one has called for all: `_deliver` ends only when none is left.
        if len(self._ready) == 1:
            loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        while self._ready:
            waiter, done = self._ready.popleft()
            if waiter.cancelled():
                continue
            fault = done.exception()
            if fault is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(fault)
