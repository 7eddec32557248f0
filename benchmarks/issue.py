"""How many certificates a second, how soon, and in how much memory.

The service runs as an operator runs it: `amrgate-ca serve` with two workers, its database on the
disk, every certificate over a key that was not there before, the session read at each request.
"""

from __future__ import annotations

import re
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert

from benchmarks import load
from benchmarks.figures import Figure, Yardstick, spread
from ca import settings
from ca.identity import passwords
from ca.identity.proofs import Proof
from ca.keys import Keyring, keyring
from ca.keys.files import public_blob
from ca.oauth.tokens import issue_access_token
from ca.ops.init import create
from ca.settings import Settings
from ca.store import people, sessions
from ca.store.engine import open_engine, writing
from ca.store.sessions import GrantSession
from ca.store.tables import users
from sshd_hook.wire import b64

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKERS = 2
SESSIONS = 500
KEYS = 40_000
ROUNDS = 3
ROUND = 5  # seconds
CONNECTIONS = 64
OPEN_LOOP = 10  # seconds
LOGINS = 40
BUSY = 503
PASSWORD = "correct horse battery staple"  # noqa: S105 -- of nobody
SCRIPT = Path(__file__).with_name("issue.lua")
TRIVIAL = "/health/live"


@dataclass(frozen=True)
class Service:
    """A running service: its port, its workers, and the file of requests."""

    port: int
    workers: tuple[int, ...]
    asks: Path

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"


def measure() -> list[Figure]:
    """`issue_rate`, `issue_p99_ms`, `rss_idle_mb`, `rss_load_mb`."""
    with running() as service:
        idle = [_memory(worker, "VmRSS") for worker in service.workers]
        rates, trivial = _rates(service)
        rate = statistics.median(rates)
        latencies = _latencies(service, rate / 2, ask=True)
        beside = _latencies(service, rate / 2, ask=False)
        _log_in(service)
        most = [_memory(worker, "VmHWM") for worker in service.workers]
    bare = _bare_memory()
    return [
        Figure(
            "issue_rate",
            round(rate),
            "1/s",
            Yardstick(f"{TRIVIAL} under the same load, 1/s", round(statistics.median(trivial))),
            round(sum(rates) * ROUND),
            round(spread(rates)),
        ),
        Figure(
            "issue_p99_ms",
            _p99(latencies),
            "ms",
            Yardstick(f"p99 of {TRIVIAL} at the same rate, ms", _p99(beside)),
            len(latencies),
            round(1000 * spread(latencies), 2),
        ),
        Figure(
            "rss_idle_mb",
            max(idle),
            "MB",
            Yardstick("python -c 'import fastapi, sqlalchemy', MB", bare),
            WORKERS,
            round(max(idle) - min(idle), 1),
        ),
        Figure(
            "rss_load_mb",
            max(most),
            "MB",
            Yardstick("one worker at rest, MB", max(idle)),
            WORKERS,
            round(max(most) - min(most), 1),
        ),
    ]


@contextmanager
def running() -> Iterator[Service]:
    """A new CA with people and their sessions, served until the end."""
    # Not /tmp, which may be in memory: the log must be on a disk.
    folder = Path(tempfile.mkdtemp(prefix="amrgate-bench-", dir="/var/tmp"))
    try:
        passphrase = folder / "passphrase"
        passphrase.write_text(secrets.token_hex(16))
        passphrase.chmod(0o600)
        chosen = Settings(
            data=folder / "ca",
            issuer="http://127.0.0.1:8022",
            listen="127.0.0.1:0",
            database=settings.default_database(folder / "ca"),
        )
        create(chosen, passphrase.read_bytes())
        keys = keyring.unlock(chosen.data, passphrase.read_bytes())
        asks = folder / "asks"
        asks.write_text("\n".join(_asks(_tokens(chosen, keys))) + "\n")
        with _serve(chosen.data, passphrase) as (port, workers):
            yield Service(port, workers, asks)
    finally:
        shutil.rmtree(folder)


@contextmanager
def _serve(data: Path, passphrase: Path) -> Iterator[tuple[int, tuple[int, ...]]]:
    command = [str(Path(sys.executable).with_name("amrgate-ca")), "serve", "--data", str(data)]
    command += ["--passphrase-file", str(passphrase), "--workers", str(WORKERS)]
    with (data / "log").open("wb") as log:
        server = subprocess.Popen(command, stderr=log)
    try:
        port = _wait_for_port(data / "log")
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
        yield port, tuple(int(child) for child in children.split())
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)


def _wait_for_port(log: Path) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = re.search(r'"port": (\d+)', log.read_text())
        if found:
            url = f"http://127.0.0.1:{found[1]}/health/ready"
            for _ in range(2 * WORKERS):  # each connection may come to another worker
                httpx2.get(url, timeout=60).raise_for_status()
            time.sleep(1)
            return int(found[1])
        time.sleep(0.05)
    raise TimeoutError(log.read_text())


def _tokens(chosen: Settings, keys: Keyring) -> list[str]:
    """Access tokens of as many sessions, of as many people."""
    engine = open_engine(chosen.database)
    now = int(time.time())
    hashed = passwords.make_hash(PASSWORD)
    tokens = []
    with writing(engine) as connection:
        for number in range(SESSIONS):
            row: dict[str, str | int] = {
                "id": str(uuid.uuid4()),
                "username": f"u{number}",
                "email": f"u{number}@acme.example",
                "name": f"U {number}",
                "created_at": now,
            }
            connection.execute(insert(users).values(row))
            if number < LOGINS:
                people.put_password(connection, str(row["id"]), hashed, now)
            user = people.find_user(connection, str(row["id"]))
            if user is None:
                raise LookupError(row["id"])
            session = GrantSession(
                sid=str(uuid.uuid4()),
                handle=str(uuid.uuid4()),
                user=user,
                browser_session_id=str(uuid.uuid4()),
                client_id="amrgate",
                scope="offline_access",
                proofs=(Proof("pwd", now), Proof("otp", now)),
                via="",
                expires_at=now + 86400,
            )
            sessions.add_grant_session(connection, session, now)
            tokens.append(issue_access_token(keys.token, chosen.issuer, session, now))
    engine.dispose()
    return tokens


def _asks(tokens: list[str]) -> Iterator[str]:
    for number in range(KEYS):
        key = b64(public_blob(Ed25519PrivateKey.generate()))
        yield f"{tokens[number % len(tokens)]} {key}"


def _rates(service: Service) -> tuple[list[float], list[float]]:
    """Rounds of certificates and of a trivial route, in turn."""
    _wrk(service, "-s", str(SCRIPT), service.url, "--", str(service.asks), seconds=2)
    rates, trivial = [], []
    for _ in range(ROUNDS):
        ask = (f"{service.url}/ssh", "--", str(service.asks))
        rates.append(_wrk(service, "-s", str(SCRIPT), *ask, seconds=ROUND))
        trivial.append(_wrk(service, service.url + TRIVIAL, seconds=2))
    return rates, trivial


def _wrk(service: Service, *words: str, seconds: int) -> float:
    del service
    # Answers are slow while passwords are hashed, but must come.
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout=60s", *words]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in shown or "Socket errors" in shown:
        raise RuntimeError(shown)
    return float(re.findall(r"Requests/sec:\s+([0-9.]+)", shown)[0])


def _latencies(service: Service, rate: float, *, ask: bool) -> list[float]:
    count = round(rate * OPEN_LOOP)
    bare = f"GET {TRIVIAL} HTTP/1.1\r\nhost: a\r\n\r\n".encode()
    requests = [bare] * count
    if ask:
        lines = service.asks.read_text().splitlines()
        requests = [_request(line) for line in lines[-count:]]
    done = load.run(service.port, requests, rate)
    if done.failed:
        raise RuntimeError(f"{done.failed} of {count} requests failed")
    return done.latencies


def _request(line: str) -> bytes:
    token, key = line.split(" ")
    body = f'{{"key":"ssh-ed25519 {key}\\n"}}'
    head = f"POST /ssh HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()


def _log_in(service: Service) -> None:
    """Log in by password, all at once, while certificates are issued."""
    answers: list[int] = []

    def log_in(number: int) -> None:
        form = {"username": f"u{number}", "password": PASSWORD}
        headers = {"origin": "http://127.0.0.1:8022"}
        status = BUSY
        while status == BUSY:  # where so many want a hash, some are told to try again
            answer = httpx2.post(f"{service.url}/login", data=form, headers=headers, timeout=120)
            status = answer.status_code
        answers.append(status)

    threads = [threading.Thread(target=log_in, args=(number,)) for number in range(LOGINS)]
    for thread in threads:
        thread.start()
    _wrk(service, "-s", str(SCRIPT), service.url, "--", str(service.asks), seconds=ROUND)
    for thread in threads:
        thread.join()
    if set(answers) != {303}:
        raise RuntimeError(f"the logins were answered {sorted(set(answers))}")


def _memory(process: int, field: str) -> float:
    return _megabytes(Path(f"/proc/{process}/status").read_text(), field)


def _megabytes(status: str, field: str) -> float:
    return round(int(re.findall(rf"{field}:\s+(\d+) kB", status)[0]) / 1024, 1)


def _bare_memory() -> float:
    # Not ru_maxrss: what is forked begins with its parent's.
    code = (
        "import fastapi, sqlalchemy, pathlib as p; print(p.Path('/proc/self/status').read_text())"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return _megabytes(shown.stdout, "VmHWM")


def _p99(latencies: list[float]) -> float:
    return round(1000 * statistics.quantiles(latencies, n=100)[98], 2)
