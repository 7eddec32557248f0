"""A command at a terminal, as a person sees it: both its ends, of a size, with colours or not."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from tests.authorities import Engineer

PATIENCE = 60  # seconds


class Terminal:
    """`amrgate` at a terminal of `columns`. `shown` is all that it has printed so far."""

    def __init__(self, engineer: Engineer, *arguments: str, columns: int = 80) -> None:
        self.shown = ""
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", sys.executable, "-m", "ca.client.main", *arguments],
            env={"TERM": "xterm-256color", **engineer.environment()},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def wait_for(self, text: str) -> None:
        """Until it has printed `text`."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            assert self._read(), self.shown

    def type(self, text: str) -> None:
        """Type it."""
        os.write(self._ours, text.encode())

    def end(self) -> int:
        """Its status, when it has ended."""
        while self._read():
            pass
        return self.process.wait(PATIENCE)

    def _read(self) -> bool:
        """Whether there was more."""
        ready, _, _ = select.select([self._ours], [], [], PATIENCE)
        assert ready, self.shown
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # how a terminal says that all have left it
            return False
        self.shown += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)
