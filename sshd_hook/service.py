"""What a service manager and a daemon say to each other (sd_listen_fds(3), sd_notify(3))."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time

FIRST_FD = 3


def log(words: str) -> None:
    """Say one line to whoever keeps the log: the journal, or the file that stderr is."""
    sys.stderr.write(f"sshd-hook: {words}\n")
    sys.stderr.flush()


class NotPassed(Exception):
    """Nobody passed this process a socket."""


def listeners() -> list[socket.socket]:
    """The listening sockets that the service manager, or our supervisor, passed to this process.

    Raises:
        NotPassed: there is none.
    """
    if "LISTEN_FDS" not in os.environ or os.environ.get("LISTEN_PID") != str(os.getpid()):
        raise NotPassed
    passed = int(os.environ["LISTEN_FDS"])
    return [socket.socket(fileno=FIRST_FD + number) for number in range(passed)]


class Notifier:
    """Tells the service manager, if there is one, that this process is ready and then alive."""

    EVERY = 0.25  # seconds between two signs of life; the watchdog bites after one second

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "").replace("@", "\0", 1)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._next = 0.0

    def ready(self) -> None:
        """Say that the process has started."""
        self._say(b"READY=1")

    def alive(self) -> None:
        """Say that the process is alive, unless that was said just now."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self.EVERY
            self._say(b"WATCHDOG=1")

    def _say(self, words: bytes) -> None:
        if self._address:
            with contextlib.suppress(OSError):  # the next one will be heard, or the watchdog bites
                self._socket.sendto(words, self._address)


class Place:
    """A listening socket's place in the file system, which a successor may have taken."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._inode: "int | None" = None

    def leave_when_taken(self) -> None:
        """End this process once nobody can find it any more: its supervisor was killed before."""
        try:
            inode = os.stat(self._path).st_ino
        except FileNotFoundError:
            inode = None
        if self._inode not in (None, inode):
            sys.exit(0)
        self._inode = inode
