"""A network between private machines that loses, delays, slows down and cuts as it is told.

`python -m tests.fleet.wire FD ADDRESS …` passes packets on between TUN devices, whose open
descriptors it was given. A line "ADDRESS NAME VALUE" on its standard input sets one of the faults
of that machine's cable. In a program, because not every kernel has netem.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import random
import select
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from machine.private import PrivateMachine

ROOT = Path(__file__).parent.parent.parent
PACKET = 2048  # bytes; the devices take 1,500
DESTINATION = slice(16, 20)  # of an IPv4 header
QUEUE = 64  # packets that wait for a slow cable

# Runs in a machine's network: makes a device there, and hands it out.
OPEN = """
import array, fcntl, os, socket, subprocess, struct, sys
tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
IFF_TUN, IFF_NO_PI, TUNSETIFF = 0x0001, 0x1000, 0x400454CA
fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"wire", IFF_TUN | IFF_NO_PI))
for words in (("addr", "add", sys.argv[1] + "/24", "dev", "wire"), ("link", "set", "wire", "up")):
    subprocess.run(("ip", *words), check=True)
socket.send_fds(socket.socket(fileno=0), [b"x"], [tun])
"""


@dataclass
class Cable:
    """Between one machine and the network; times in seconds."""

    fd: int
    out: float = 1  # whether what it sends comes through
    into: float = 1  # whether what is sent to it does
    loss: float = 0  # the share of packets that are lost, in each direction
    delay: float = 0  # in each direction
    rate: float = 0  # bytes a second, 0 for any
    free_at: float = 0
    queued: int = field(default=0)


class Wire:
    """The network, in a process of its own."""

    def __init__(self, machines: dict[str, PrivateMachine]) -> None:
        fds = {address: _open_device(machine, address) for address, machine in machines.items()}
        words = [str(word) for address, fd in fds.items() for word in (fd, address)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fleet.wire", *words],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            text=True,
            pass_fds=tuple(fds.values()),
        )
        for fd in fds.values():
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def set(self, address: str, **faults: float) -> None:
        """Set faults of a machine's cable: fields of `Cable`."""
        assert self._process.stdin
        for name, value in faults.items():
            self._process.stdin.write(f"{address} {name} {value}\n")
        self._process.stdin.flush()

    def mend(self, address: str) -> None:
        """Take all its faults away."""
        self.set(address, out=1, into=1, loss=0, delay=0, rate=0)


def _open_device(machine: PrivateMachine, address: str) -> int:
    ours, theirs = socket.socketpair()
    # Not in its files: its /dev has no TUN.
    enter = [word for word in machine.prefix if not word.startswith(("--mount=", "--pid="))]
    with ours, theirs:
        words = (*enter, sys.executable, "-c", OPEN, address)
        subprocess.run(words, stdin=theirs.fileno(), check=True, timeout=20)
        _data, fds, _flags, _from = socket.recv_fds(ours, 1, 1)
    return fds[0]


class Relay:
    """Passes packets on."""

    def __init__(self, cables: dict[bytes, Cable]) -> None:
        self._cables = cables
        self._by_fd = {cable.fd: cable for cable in cables.values()}
        self._random = random.Random(1)
        self._order = itertools.count()
        self._late: list[tuple[float, int, Cable, Cable, bytes]] = []

    def run(self) -> None:
        """Until standard input ends."""
        poll = select.poll()
        for fd in (0, *self._by_fd):
            poll.register(fd, select.POLLIN)
        while True:
            wait = max(0.0, self._late[0][0] - time.monotonic()) if self._late else None
            for fd, _events in poll.poll(None if wait is None else 1000 * wait + 1):
                if fd:
                    self._take(self._by_fd[fd])
                elif not self._listen():
                    return
            while self._late and self._late[0][0] <= time.monotonic():
                _at, _order, source, target, packet = heapq.heappop(self._late)
                source.queued -= 1
                _write(target.fd, packet)

    def _listen(self) -> bool:
        text = os.read(0, 65536).decode()
        for line in text.splitlines():
            address, name, value = line.split()
            setattr(self._cables[socket.inet_aton(address)], name, float(value))
        return bool(text)

    def _take(self, source: Cable) -> None:
        packet = os.read(source.fd, PACKET)
        target = self._cables.get(packet[DESTINATION])
        if target is None or not (source.out and target.into):
            return
        if max(source.loss, target.loss) > self._random.random():
            return
        delay = source.delay + target.delay
        rate = min((one.rate for one in (source, target) if one.rate), default=0)
        if not delay and not rate:
            _write(target.fd, packet)
            return
        if source.queued >= QUEUE:
            return
        source.queued += 1
        now = time.monotonic()
        if rate:
            source.free_at = max(now, source.free_at) + len(packet) / rate
            now = source.free_at
        heapq.heappush(self._late, (now + delay, next(self._order), source, target, packet))


def _write(fd: int, packet: bytes) -> None:
    with contextlib.suppress(OSError):  # as of a machine that is no more
        os.write(fd, packet)


def main(words: list[str]) -> None:
    cables = {
        socket.inet_aton(address): Cable(int(fd))
        for fd, address in zip(words[::2], words[1::2], strict=True)
    }
    Relay(cables).run()


if __name__ == "__main__":
    main(sys.argv[1:])
