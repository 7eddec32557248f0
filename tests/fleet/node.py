"""One node of the service with the hosts of an estate, and what it costs."""

from __future__ import annotations

import os
import re
import select
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ca.ops.init import create
from ca.settings import Settings, default_database
from ca.store.engine import open_engine
from tests.fleet.estate import fill

if TYPE_CHECKING:
    from types import TracebackType

    from tests.fleet.estate import Estate

ROOT = Path(__file__).parent.parent.parent
PASSPHRASE = "a passphrase of a drill"
START = 60  # seconds that the service may take to answer
TICKS = os.sysconf("SC_CLK_TCK")
KIB = 1024


class Node:
    """`amrgate-ca serve` on a database that holds an estate."""

    def __init__(self, folder: Path, estate: Estate, workers: int) -> None:
        self._data = folder / "ca"
        self._passphrase = folder / "passphrase"
        self._workers = workers
        self.port = _free_port()
        address = f"127.0.0.1:{self.port}"
        chosen = Settings(self._data, f"http://{address}", address, default_database(self._data))
        create(chosen, PASSPHRASE.encode())
        self._passphrase.write_text(PASSPHRASE)
        self._passphrase.chmod(0o600)
        self.engine = open_engine(chosen.database)
        fill(self.engine, estate)
        self.start()

    def start(self) -> None:
        """Start the service, and wait until it answers."""
        words = [sys.executable, "-m", "ca.ops.main", "serve", "--data", str(self._data)]
        with self._data.with_suffix(".log").open("ab") as log:
            self._service = subprocess.Popen(
                [*words, f"--workers={self._workers}", f"--passphrase-file={self._passphrase}"],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START
        while not _answers(self.port):
            assert self._service.poll() is None, "the service has ended"
            assert time.monotonic() < deadline, "the service does not answer"
            time.sleep(0.1)

    def stop(self) -> float:
        """Tell it to stop; the seconds until it has."""
        begun = time.monotonic()
        self._service.terminate()
        self._service.wait(timeout=60)
        return time.monotonic() - begun

    def log(self) -> str:
        return self._data.with_suffix(".log").read_text()

    def seconds(self) -> float:
        """The processor time that its workers have used since they began."""
        return sum(_seconds(pid) for pid in self._pids())

    def memory(self) -> int:
        """MiB that its workers hold, what they share counted once (PSS)."""
        return sum(_memory(pid) for pid in self._pids()) // KIB

    def _pids(self) -> list[int]:
        main = self._service.pid
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        return [main, *map(int, children)]


class Pollers:
    """Processes that play the hosts of an estate, each some of them."""

    def __init__(self, node: Node, estate: Estate, processes: int, ramp: float) -> None:
        self._stack = ExitStack()
        self.policies: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)
        """What each host was sent: versions, and when."""
        self.lists: dict[int, tuple[int, float]] = {}
        """The revocation list that each host has, and since when."""
        self.failed: list[float] = []
        self.why: Counter[str] = Counter()
        """Why polls failed: the status, or what became of the connection."""
        self._rest: dict[int, str] = {}
        self._running = []
        step = -(-estate.hosts // processes)
        for first in range(0, estate.hosts, step):
            end = min(first + step, estate.hosts)
            words = ["-m", "tests.fleet.pollers", *map(str, (node.port, first, end, ramp))]
            process = subprocess.Popen(
                [sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, text=False
            )
            self._running.append(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._running:
            process.kill()
            process.communicate()

    def seconds(self) -> float:
        """The processor time that they have used."""
        return sum(_seconds(process.pid) for process in self._running)

    def listen(self, seconds: float) -> None:
        """Take in what the hosts say, for so long."""
        deadline = time.monotonic() + seconds
        outputs = {process.stdout.fileno(): process for process in self._running if process.stdout}
        while (left := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select(list(outputs), [], [], left)
            for fd in ready:
                text = self._rest.get(fd, "") + os.read(fd, 1 << 20).decode()
                *lines, self._rest[fd] = text.split("\n")
                for line in lines:
                    self._take(line.split())

    def _take(self, words: list[str]) -> None:
        match words:
            case ["policy", host, version, when]:
                self.policies[int(host)].append((int(version), float(when)))
            case ["list", host, version, when]:
                self.lists[int(host)] = (int(version), float(when))
            case ["failed", _host, when, why]:
                self.failed.append(float(when))
                self.why[why] += 1


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _memory(pid: int) -> int:
    found = re.search(
        r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE
    )
    assert found
    return int(found[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port
