"""Open-loop load: requests that come when they come, not when the one before is answered."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from dataclasses import dataclass, field
from typing import cast

import uvloop

CONNECTIONS = 64


@dataclass
class Load:
    """`latencies` are in seconds, from when each request was due to the end of its answer."""

    latencies: list[float] = field(default_factory=list)
    failed: int = 0


def run(port: int, requests: list[bytes], rate: float, seed: int = 1) -> Load:
    """Send each of `requests` once, at `rate` a second on average (a Poisson process)."""
    load = Load()
    chance = random.Random(seed)  # noqa: S311 -- the same arrivals each time
    uvloop.run(_run(port, requests, rate, chance, load))
    return load


class _Connection(asyncio.Protocol):
    def __init__(
        self, load: Load, free: deque[_Connection], due: deque[tuple[float, bytes]]
    ) -> None:
        self._load = load
        self._free = free
        self._due = due
        self._buffer = b""
        self._since = 0.0
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are transports by what they do, not by their class.
        self._transport = cast("asyncio.WriteTransport", transport)
        self._free.append(self)

    def send(self, since: float, request: bytes) -> None:
        """Send a request that was due at `since`."""
        self._since = since
        if self._transport is not None:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, body = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._buffer = b""
        self._load.latencies.append(time.perf_counter() - self._since)
        self._load.failed += not head.startswith(b"HTTP/1.1 200")
        if self._due:
            self.send(*self._due.popleft())
        else:
            self._free.append(self)


async def _run(
    port: int, requests: list[bytes], rate: float, chance: random.Random, load: Load
) -> None:
    loop = asyncio.get_running_loop()
    free: deque[_Connection] = deque()
    due: deque[tuple[float, bytes]] = deque()
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: _Connection(load, free, due), "127.0.0.1", port)
    at = time.perf_counter()
    for request in requests:
        at += chance.expovariate(rate)
        if (wait := at - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        if free:
            free.popleft().send(at, request)
        else:
            due.append((at, request))
    for _ in range(2000):
        if len(load.latencies) == len(requests):
            break
        await asyncio.sleep(0.01)
    load.failed += len(requests) - len(load.latencies)
