"""Two services on one PostgreSQL, as an operator with two machines runs them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from http.client import HTTPConnection
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from ca import settings
from ca.app import open_services
from ca.keys import keyring
from ca.ops.init import create
from ca.settings import Settings
from machine.host import Host
from machine.private import PrivateMachine
from tests.databases import new_postgresql, running_postgresql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ca.services import Services

ROOT = Path(__file__).parent.parent.parent
PASSPHRASE = "a passphrase of a drill"
START = 300  # seconds that a service may take to answer, where much else runs
KEPT = 2  # seconds; a service closes connections that are idle for 5


@dataclass(frozen=True)
class Answer:
    """What a node said."""

    status: int
    location: str
    cookie: str
    """The session's cookie, if it was set."""

    text: str


class Caller:
    """One connection to one node, kept open; for one thread."""

    def __init__(self, url: str, issuer: str) -> None:
        self._http = HTTPConnection(urlsplit(url).netloc, timeout=120)
        self._issuer = issuer
        self._used = time.monotonic()

    def post(self, path: str, form: dict[str, str], cookie: str = "") -> Answer:
        """Send a form as a browser on our own page would."""
        return self._ask("POST", path, urlencode(form), {"Origin": self._issuer}, cookie)

    def get(self, path: str, cookie: str = "", token: str = "") -> Answer:
        return self._ask("GET", path, "", {"Authorization": f"Bearer {token}"}, cookie)

    def call(self, path: str, body: object, token: str) -> Answer:
        """Send JSON to the API, as a command does."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return self._ask("POST", path, json.dumps(body), headers, "")

    def _ask(
        self, method: str, path: str, body: str, headers: dict[str, str], cookie: str
    ) -> Answer:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        headers["Cookie"] = f"amrgate={cookie}"
        if time.monotonic() - self._used > KEPT:
            self._http.close()  # it opens again by itself
        self._http.request(method, path, body, headers)
        response = self._http.getresponse()
        text = response.read().decode(errors="replace")
        self._used = time.monotonic()
        cookies = [value for name, value in response.getheaders() if name == "set-cookie"]
        new = [one.partition(";")[0][8:] for one in cookies if one.startswith("amrgate=")]
        return Answer(response.status, response.getheader("location", ""), "".join(new), text)

    def close(self) -> None:
        self._http.close()


@dataclass(frozen=True)
class Nodes:
    """The running services; `services` is a third one, in this process, on the same database."""

    services: Services
    urls: tuple[str, str]
    processes: tuple[subprocess.Popen[bytes], ...]
    folder: Path
    """Where everything of them lies: data folders, logs."""

    @contextmanager
    def callers(self) -> Iterator[tuple[Caller, Caller]]:
        first, second = (Caller(url, self.services.settings.issuer) for url in self.urls)
        yield first, second
        first.close()
        second.close()

    @contextmanager
    def pairs(self) -> Iterator[Callable[[Callable[[Caller, int], Answer]], list[Answer]]]:
        """A function that makes one request of each node at the same moment."""
        barrier = Barrier(2)
        with self.callers() as callers, ThreadPoolExecutor(2) as pool:

            def ask(request: Callable[[Caller, int], Answer]) -> list[Answer]:
                def one(place: int) -> Answer:
                    barrier.wait()
                    return request(callers[place], place)

                return list(pool.map(one, (0, 1)))

            yield ask


class Stage:
    """What the drills of one run share; made when the first of them needs it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    @cached_property
    def nodes(self) -> Nodes:
        return self._stack.enter_context(two_nodes())

    @cached_property
    def host(self) -> Host:
        """A host with one service that asks for nothing."""
        return Host(self._stack.enter_context(PrivateMachine()))


@contextmanager
def two_nodes() -> Iterator[Nodes]:
    """Start them, wait until both answer, and take everything away at the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="amrgate-drill-")))
        server = stack.enter_context(running_postgresql())
        database = stack.enter_context(new_postgresql(server, "template0"))
        addresses = [f"127.0.0.1:{port}" for port in _free_ports(2)]
        first = Settings(folder / "node-0", f"http://{addresses[0]}", addresses[0], database)
        create(first, PASSPHRASE.encode())
        (folder / "passphrase").write_text(PASSPHRASE)
        (folder / "passphrase").chmod(0o600)
        second = replace(first, data=folder / "node-1", listen=addresses[1])
        shutil.copytree(first.data, second.data)
        (second.data / settings.SETTINGS_FILE).write_text(settings.render(second))
        processes = tuple(_serve(stack, node.data) for node in (first, second))
        for address, process in zip(addresses, processes, strict=True):
            _wait_for(f"http://{address}", process)
        keys = keyring.unlock(first.data, PASSPHRASE.encode())
        services = stack.enter_context(open_services(first, keys))
        urls = (f"http://{addresses[0]}", f"http://{addresses[1]}")
        yield Nodes(services, urls, processes, folder)


def _serve(stack: ExitStack, data: Path) -> subprocess.Popen[bytes]:
    passphrase = data.parent / "passphrase"
    words = [sys.executable, "-m", "ca.ops.main", "serve", "--workers", "1", "--data", str(data)]
    log = stack.enter_context(data.with_suffix(".log").open("wb"))
    process = subprocess.Popen(
        [*words, "--passphrase-file", str(passphrase)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        stdout=log,
        stderr=log,
    )
    stack.callback(_stop, process)
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(timeout=60)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START
    caller = Caller(url, url)
    while True:
        try:
            if caller.get("/health/ready").status == 200:
                break
        except OSError:
            caller.close()
        assert process.poll() is None, "a node has ended"
        assert time.monotonic() < deadline, "a node does not answer"
        time.sleep(0.1)
    caller.close()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [one.getsockname()[1] for one in sockets]
