"""The databases the service is tested on: SQLite, and a PostgreSQL server of the run's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy.engine import make_url

from ca.store import schema
from ca.store.engine import open_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
OPTIONS = (
    "-c listen_addresses='' "  # nobody else on this machine reaches it
    "-c fsync=off -c full_page_writes=off "  # the cluster is thrown away
    "-c autovacuum=off -c shared_buffers=32MB "  # of hundreds of small databases that go at once
    "-c max_connections=200"
)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Path]:
    """The folder of a PostgreSQL server, which ends with the run."""
    with running_postgresql() as folder:
        yield folder


@contextmanager
def running_postgresql() -> Iterator[Path]:
    """The folder with the Unix socket of a new PostgreSQL server, which ends with the block."""
    assert BINARIES, "PostgreSQL is missing: `make test` installs it"
    # Not pytest's folder: a socket's path may have 107 bytes, and the server's user must reach it.
    folder = Path(tempfile.mkdtemp(prefix="amrgate-postgresql-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    _run(folder, "initdb", "--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "-D", "data")
    options = f"{OPTIONS} -c unix_socket_directories={folder}"
    _run(folder, "pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start")
    try:
        yield folder
    finally:
        _run(folder, "pg_ctl", "-D", "data", "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgresql_with_tables(postgresql: Path) -> Iterator[str]:
    """The name of a database with the tables: copying it is quicker than making them."""
    with new_postgresql(postgresql, "template0") as url:
        _lay_out(url)
        name = make_url(url).database
        assert name
        yield name


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The SQLAlchemy URL of a new database without tables, once of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ca.sqlite"
        return
    with new_postgresql(request.getfixturevalue("postgresql"), "template0") as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The SQLAlchemy URL of a new database with the service's tables, once of each kind."""
    if request.param == "sqlite":
        yield new_sqlite(tmp_path)
        return
    template: str = request.getfixturevalue("postgresql_with_tables")
    with new_postgresql(request.getfixturevalue("postgresql"), template) as url:
        yield url


def new_sqlite(folder: Path) -> str:
    """The URL of a new SQLite database in `folder`, with the service's tables."""
    path = folder / "ca.sqlite"
    path.write_bytes(_sqlite_with_tables())
    return f"sqlite:///{path}"


@cache
def _sqlite_with_tables() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ca.sqlite")
        _lay_out(f"sqlite:///{path}")
        return path.read_bytes()


def _lay_out(url: str) -> None:
    engine = open_engine(url)
    schema.upgrade(engine)
    engine.dispose()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A new database of the service, once of each kind."""
    opened = open_engine(database_url)
    yield opened
    opened.dispose()


@contextmanager
def new_postgresql(folder: Path, template: str) -> Iterator[str]:
    """The URL of a new database of the server at `folder`, like `template`; it goes with us."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(_conninfo(folder), autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        yield f"postgresql+psycopg://postgres@/{name}?host={folder}"
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _conninfo(folder: Path) -> str:
    return f"host={folder} user=postgres dbname=postgres"


def _run(folder: Path, program: str, *arguments: str) -> None:
    # PostgreSQL refuses to run as root.
    become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
    subprocess.run(
        [*(become if os.geteuid() == 0 else []), BINARIES[-1] / program, *arguments],
        cwd=folder,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        timeout=60,
    )
