"""`amrgate-ca serve`: several workers, one unlocking, a clean end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest
from sqlalchemy import select

from ca import settings
from ca.ops import heads
from ca.ops.init import create
from ca.settings import Settings
from ca.store.engine import open_engine, reading, writing
from ca.store.tables import device_codes, metadata, serial_epochs
from tests.web import listening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM = Path(sys.executable).with_name("amrgate-ca")
PASSPHRASE = "correct horse battery staple"
SOON = 60  # seconds


@dataclass
class Server:
    """A running service."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int

    def workers(self) -> list[int]:
        number = self.process.pid
        return [int(n) for n in Path(f"/proc/{number}/task/{number}/children").read_text().split()]

    def ask(self, path: str = "/health/ready", **headers: str) -> httpx2.Response:
        url = f"http://127.0.0.1:{self.port}{path}"
        answer: httpx2.Response = httpx2.get(url, headers=headers, timeout=SOON, verify=False)
        return answer


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a CA that nobody has used: its keys take a while to encrypt, by design."""
    data = tmp_path_factory.mktemp("made") / "ca"
    create(_settings(data), PASSPHRASE.encode())
    return data


@pytest.fixture
def chosen(made: Path, tmp_path: Path) -> Settings:
    """The settings of a new CA, with its passphrase beside it."""
    data = shutil.copytree(made, tmp_path / "ca")
    (tmp_path / "passphrase").write_text(PASSPHRASE)
    (tmp_path / "passphrase").chmod(0o600)
    chosen = _settings(data)
    (data / settings.SETTINGS_FILE).write_text(settings.render(chosen))
    return chosen


def _settings(data: Path) -> Settings:
    database = settings.default_database(data)
    return Settings(data, "http://127.0.0.1:8022", "127.0.0.1:0", database)


def command(chosen: Settings) -> list[str]:
    passphrase = str(chosen.data.parent / "passphrase")
    return [str(PROGRAM), "serve", "--data", str(chosen.data), "--passphrase-file", passphrase]


@pytest.fixture
def server(chosen: Settings) -> Iterator[Server]:
    with serving(chosen) as running:
        yield running


@contextmanager
def serving(chosen: Settings) -> Iterator[Server]:
    path = chosen.data.parent / "log"
    with path.open("wb") as log:
        process = subprocess.Popen(command(chosen), stderr=log)
    wait_until(lambda: re.search(r'"port": \d+', path.read_text()))
    found = re.search(r'"port": (\d+)', path.read_text())
    assert found
    running = Server(process, path, int(found[1]))
    wait_until(lambda: epochs(chosen) >= 2)
    try:
        yield running
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def epochs(chosen: Settings) -> int:
    engine = open_engine(chosen.database)
    with reading(engine) as connection:
        found = len(connection.execute(select(serial_epochs)).all())
    engine.dispose()
    return found


def is_running(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1][:3]
    except OSError:
        return False


def test_it_answers_and_ends_when_it_is_told_to(server: Server) -> None:
    workers = server.workers()
    assert len(workers) == 2
    answers = [server.ask() for _ in range(8)]
    assert [answer.json() for answer in answers] == [{"status": "ready"}] * 8
    headers = answers[0].headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers

    server.process.send_signal(signal.SIGTERM)

    assert server.process.wait(timeout=SOON) == 0
    assert not any(is_running(worker) for worker in workers)
    assert "Traceback" not in server.log.read_text()


def test_a_worker_that_is_told_twice_to_stop_stops(chosen: Settings) -> None:
    """systemd tells each process, and the supervisor tells its workers as well."""
    with serving(chosen) as server:
        workers = server.workers()
        assert [server.ask().status_code for _ in range(8)] == [200] * 8
        server.process.send_signal(signal.SIGTERM)
        with suppress(ProcessLookupError):
            for _ in range(20_000):  # for some hundredths of a second, or until one is gone
                for worker in workers:
                    os.kill(worker, signal.SIGTERM)
        assert server.process.wait(timeout=SOON) == 0
        assert "workers did not stop" not in server.log.read_text()


@pytest.mark.parametrize("proxies", [(), ("127.0.0.1/32",), ("10.0.0.0/8",)])
def test_who_asks_is_told_by_proxies_that_are_named_and_nobody_else(
    chosen: Settings, proxies: tuple[str, ...]
) -> None:
    """Whoever asks may write the header too: what the last trusted proxy added counts."""
    with_proxies = replace(chosen, proxies=proxies)
    (chosen.data / settings.SETTINGS_FILE).write_text(settings.render(with_proxies))
    with serving(with_proxies) as server:
        answer = httpx2.post(
            f"http://127.0.0.1:{server.port}/oauth2/device_authorization",
            data={"client_id": "amrgate"},
            headers={"x-forwarded-for": "203.0.113.9, 192.0.2.7"},
        )
    engine = open_engine(chosen.database)
    with reading(engine) as connection:
        address = connection.execute(select(device_codes.c.address)).scalar_one()
    engine.dispose()

    assert answer.status_code == 200
    assert address == ("192.0.2.7" if "127.0.0.1/32" in proxies else "127.0.0.1")


def test_each_worker_takes_an_epoch_of_its_own_also_after_it_died(
    server: Server, chosen: Settings
) -> None:
    first, other = server.workers()

    os.kill(first, signal.SIGKILL)

    wait_until(lambda: epochs(chosen) == 3)
    wait_until(lambda: len(server.workers()) == 2)
    assert other in server.workers()
    assert server.ask().status_code == 200


def test_workers_end_with_the_one_that_unlocked(server: Server) -> None:
    workers = server.workers()

    server.process.kill()
    server.process.wait()

    wait_until(lambda: not any(is_running(worker) for worker in workers))


def test_a_wrong_passphrase_serves_nothing(chosen: Settings) -> None:
    (chosen.data.parent / "passphrase").write_text("another passphrase")
    ended = subprocess.run(
        command(chosen), check=False, capture_output=True, text=True, timeout=SOON
    )
    assert ended.returncode == 1
    assert "passphrase is wrong" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_another_schema_is_refused(chosen: Settings) -> None:
    engine = open_engine(chosen.database)
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    engine.dispose()
    ended = subprocess.run(
        command(chosen), check=False, capture_output=True, text=True, timeout=SOON
    )
    assert ended.returncode == 1
    assert "schema is 0000" in ended.stderr
    assert metadata.tables


def test_a_body_beyond_the_bound_is_refused(server: Server) -> None:
    url = f"http://127.0.0.1:{server.port}/ssh"
    answers = [
        httpx2.post(url, content=b"x" * (2 << 20), timeout=SOON),
        httpx2.post(url, content=iter([b"x" * (1 << 20)] * 2), timeout=SOON),
    ]
    assert [answer.status_code for answer in answers] == [413, 413]
    assert answers[0].json()["error"] == "invalid_request"


TOO_MUCH = {
    "a first line": b"GET /health/live?",
    "a header": b"GET /health/live HTTP/1.1\r\nhost: x\r\nx: ",
    "what follows a body": b"POST /ssh HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ",
}


@pytest.mark.parametrize("begun", TOO_MUCH)
def test_a_head_without_an_end_is_cut_off(server: Server, begun: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), SOON) as connection:
        connection.sendall(TOO_MUCH[begun])
        with pytest.raises(ConnectionError):
            connection.sendall(b"a" * 10_000_000)
    assert server.ask("/health/live", x="a" * 50_000).status_code == 200


def test_a_head_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "HEAD_TIMEOUT", 0.2)
    with listening(tmp_path, http=heads.BoundedHeads) as services:
        host, port = services.settings.issuer.removeprefix("http://").split(":")
        for begun in (b"", b"GET /health/live HT"):
            with socket.create_connection((host, int(port)), SOON) as connection:
                connection.sendall(begun)
                with suppress(ConnectionError):
                    assert connection.recv(1) == b""


def test_what_is_not_there_tells_nothing(server: Server) -> None:
    for path in ("/docs", "/redoc", "/nothing", "/ssh/nothing"):
        answer = server.ask(path)
        assert answer.status_code == 404
        assert answer.json()["error"] == "not_found"
    assert server.ask("/openapi.json").status_code == 200
