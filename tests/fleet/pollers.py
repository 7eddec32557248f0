"""Plays the agents of many hosts: each holds a long poll, takes what it is sent, and asks again.

`python -m tests.fleet.pollers PORT FIRST END RAMP` plays the hosts from FIRST to below END of an
estate and begins with all of them within RAMP seconds. It says what they are sent, a line each:
"policy HOST VERSION SECONDS", "list HOST VERSION SECONDS", "failed HOST SECONDS WHY"; the seconds are
those of the machine's monotonic clock. Nothing is verified or installed, and little is done for
each: they share the processors with the node that is measured.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import sys
import time

import uvloop

from sshd_hook import freshness
from sshd_hook.agent.daemon import FIRST_PAUSE, LONGEST_PAUSE
from sshd_hook.agent.poll import WAIT
from tests.fleet.estate import host_id, token

HOSTS_OF_ONE = 250  # addresses: each has 28,000 ports, and a closed connection keeps one a while
ENOUGH = 65  # seconds for an answer, which the CA may keep for 50
GOOD = (b"HTTP/1.1 200", b"HTTP/1.1 204")


class Call(asyncio.Protocol):
    """What comes back on one connection: an answer, which ends with it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._parts.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answer.done():
            return
        head, end, body = b"".join(self._parts).partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or b"0"
        if exc is None and end and head.startswith(GOOD) and len(body) == int(length):
            compressed = b"content-encoding: gzip" in head.lower()
            self.answer.set_result(gzip.decompress(body) if compressed else body)
        else:
            self.answer.set_exception(exc or EOFError(head[9:12].decode("latin-1") or "nothing"))


class Host:
    """One host: what it has, and the poll that it holds."""

    def __init__(self, number: int, port: int) -> None:
        self._number = number
        self._port = port
        self._address = f"127.0.1.{1 + number // HOSTS_OF_ONE}"
        self._version = 0
        self._list = 0

    async def live(self, delay: float) -> None:
        """Ask for ever, as the agent does."""
        await asyncio.sleep(delay)
        pause = 0.0
        while True:
            try:
                changed = await self._update()
            except (OSError, ValueError, EOFError) as error:  # TimeoutError is an OSError
                why = str(error) if isinstance(error, EOFError) else type(error).__name__
                say("failed", self._number, time.monotonic(), why)
                pause = min(2 * pause or FIRST_PAUSE, LONGEST_PAUSE)
                await asyncio.sleep(random.uniform(pause / 2, pause))
                continue
            pause = 0.0
            if not changed:
                await asyncio.sleep(random.random())

    async def _update(self) -> bool:
        query = f"version={self._version}&floor={self._version}&krl={self._list}&wait={WAIT}"
        answer = json.loads(await self._call("GET", f"policy?{query}"))
        now = time.monotonic()
        had, self._list = self._list, answer["krl_version"]
        if self._list != had:
            say("list", self._number, self._list, now)
        if answer["bundle"] is None:
            return self._list != had
        self._version = answer["version"]
        say("policy", self._number, self._version, now)
        stated = freshness.parse(answer["fresh"].encode())
        said = {"version": stated.version, "digest": stated.digest}
        await self._call("POST", "acknowledgement", json.dumps(said).encode())
        return True

    async def _call(self, method: str, what: str, body: bytes = b"") -> bytes:
        head = (
            f"{method} /hosts/{host_id(self._number)}/{what} HTTP/1.1\r\nHost: ca\r\n"
            f"Authorization: Bearer {token(self._number)}\r\nConnection: close\r\n"
            "Accept-Encoding: gzip\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        loop = asyncio.get_running_loop()
        transport, call = await loop.create_connection(
            Call, "127.0.0.1", self._port, local_addr=(self._address, 0)
        )
        transport.write(head.encode() + body)
        try:
            async with asyncio.timeout(ENOUGH):
                return await call.answer
        finally:
            transport.close()


def say(*words: object) -> None:
    print(*words)  # noqa: T201 -- the drill reads it


async def main(port: int, first: int, end: int, ramp: float) -> None:
    """Play the hosts until this process is ended."""
    step = ramp / (end - first)
    hosts = (Host(number, port).live((number - first) * step) for number in range(first, end))
    saying = asyncio.create_task(_flush_for_ever())
    await asyncio.gather(saying, *hosts)


async def _flush_for_ever() -> None:
    while True:
        await asyncio.sleep(0.2)
        sys.stdout.flush()


if __name__ == "__main__":
    port, first, end = map(int, sys.argv[1:4])
    uvloop.run(main(port, first, end, float(sys.argv[4])))
