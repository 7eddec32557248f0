"""The project's commands, from a process that has imported what they need.

Hundreds of tests run a command and look at what it does. Half a second of each was the import of
libraries, the same every time. Here one process imports them once, and each command is a child of
it, with the arguments, environment, folder, umask and files that its caller gave. How a command
starts by itself is tested where that is the matter: at terminals, by ssh, in the documents' story.
"""

from __future__ import annotations

import atexit
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from shutil import rmtree

CHECKOUT = Path(__file__).parents[2]
START = 60  # seconds that the imports may take


def words(program: str, *arguments: str) -> list[str]:
    """What to start for `program` (`amrgate`, `amrgate-ca`) with these arguments."""
    return words_at(str(_server()), program, *arguments, checkout=str(CHECKOUT))


def words_at(address: str, program: str, *arguments: str, checkout: str) -> list[str]:
    """The same, of the server at an address, where the checkout is at that path."""
    python, call = f"{checkout}/.venv/bin/python", f"{checkout}/tests/warm/call.py"
    return [python, "-I", "-S", call, address, program, *arguments]


@cache
def _server() -> Path:
    """The address of this process's server, which ends with it."""
    address = Path(tempfile.mkdtemp(prefix="warm-"), "socket")
    words = (sys.executable, "-m", "tests.warm.server", str(address))
    # Whoever interrupts the tests lets them end it.
    server = subprocess.Popen(words, cwd=CHECKOUT, start_new_session=True)
    atexit.register(_end, server, address.parent)
    deadline = time.monotonic() + START
    while not address.exists():
        assert server.poll() is None, "the server of commands has ended"
        assert time.monotonic() < deadline, "the server of commands does not answer"
        time.sleep(0.05)
    return address


def _end(server: subprocess.Popen[bytes], folder: Path) -> None:
    rmtree(folder)
    server.terminate()
    server.wait()
