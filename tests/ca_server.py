"""The service as operators run it."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2
import pytest

from ca import settings
from ca.directory import people
from ca.identity import accounts
from ca.keys import files
from ca.ops.init import create
from ca.settings import Settings
from ca.store.engine import open_engine, reading
from demo.company import EXAMPLE, PEOPLE
from tests import warm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "correct horse battery staple"
PASSPHRASE = "a passphrase of a test"
START = 30  # seconds that a service may take to answer


@dataclass(frozen=True)
class CaServer:
    """A running service with the example's directory, where everybody's password is PASSWORD."""

    url: str
    folder: Path

    def operate(self, *arguments: str) -> str:
        """Run `amrgate-ca`, and fail with what it says."""
        command = warm.words("amrgate-ca", *arguments, "--data", str(self.folder / "ca"))
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def serve(self) -> subprocess.Popen[bytes]:
        """Start the service, and wait until it answers."""
        data, passphrase = str(self.folder / "ca"), str(self.folder / "passphrase")
        command = ["serve", "--data", data, "--passphrase-file", passphrase, "--workers", "1"]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(warm.words("amrgate-ca", *command), stdout=log, stderr=log)
        deadline = time.monotonic() + START
        while not _answers(self.url):
            assert process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "the service does not answer"
            time.sleep(0.05)
        return process


def _answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health/ready", trust_env=False, verify=False).status_code == 200
    except httpx2.TransportError:
        return False


def _secret_file(path: Path, text: str) -> None:
    path.touch(0o600)
    path.write_text(text)


@pytest.fixture(scope="session", autouse=True)
def quick_keys() -> Iterator[None]:
    """Lock what keys this process makes at the least cost; test_ops_init.py has the real one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "KDF_ROUNDS", 1)
        yield


@contextmanager
def running(folder: Path, provider_networks: tuple[str, ...] = ()) -> Iterator[CaServer]:
    """A service in `folder`; providers of single sign-on may be in these networks."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    server = CaServer(f"http://{address}", folder)
    chosen = Settings(
        folder / "ca",
        server.url,
        address,
        settings.default_database(folder / "ca"),
        ssh_hosts=("ssh.acme.example", "*.ssh.acme.example"),
        provider_networks=provider_networks,
    )
    _secret_file(folder / "passphrase", PASSPHRASE)
    create(chosen, PASSPHRASE.encode())
    server.operate("apply", EXAMPLE)
    engine = open_engine(chosen.database)
    for name in PEOPLE:
        with reading(engine) as connection:
            person = people.find(connection, name).id
        accounts.set_password(engine, "a test", person, PASSWORD, int(time.time()))
    engine.dispose()
    process = server.serve()
    yield server
    process.terminate()
    assert process.wait(timeout=20) == 0


@pytest.fixture(scope="session")
def ca_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaServer]:
    """One service for a whole run; who changes its directory puts it back."""
    with running(tmp_path_factory.mktemp("service")) as server:
        yield server
