"""The database: SQLite in one file, or PostgreSQL for several nodes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from ca.errors import Misconfigured

BUSY_TIMEOUT = 10  # seconds that a writer of SQLite waits for another
HIDDEN = True  # from errors: what was to be written, such as a hash of a password
SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    # With WAL, NORMAL loses commits at a power cut: a certificate would outlive its record.
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    f"PRAGMA busy_timeout={BUSY_TIMEOUT * 1000}",
)


def open_engine(url: str) -> Engine:
    """Open the database at `url` ("sqlite:///…" or "postgresql://…").

    An engine must not cross a fork: each worker opens its own.

    Raises:
        Misconfigured: the URL names no database that we can use.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise Misconfigured("The database's URL cannot be read.") from error
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            isolation_level="READ COMMITTED",
            hide_parameters=HIDDEN,
        )
    if backend != "sqlite":
        raise Misconfigured(f"The database is {backend!r}, but must be sqlite or postgresql.")
    if not parsed.database or parsed.database == ":memory:":
        raise Misconfigured("SQLite must be given a file: an audit log in memory is none.")
    engine = create_engine(parsed, hide_parameters=HIDDEN)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def check_file(url: str) -> None:
    """See that the database is there, if it is a file: SQLite would make an empty one.

    Raises:
        Misconfigured: it is gone. An empty one would look like a CA that was never made.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
        raise Misconfigured(
            f"There is no database at {parsed.database}: put a backup of it back (docs/recovery.md)."
        )


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # Python's driver begins transactions by itself, and only before writes: a transaction that
    # reads first and then writes could be refused half way. `_begin_sqlite` begins them instead.
    connection.isolation_level = None
    for pragma in SQLITE_PRAGMAS:
        connection.execute(pragma)


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE unless told that nothing will be written: two writers wait for each other at
    # the start, never half way, where SQLite would have to refuse one of them.
    options = connection.get_execution_options()
    connection.exec_driver_sql("BEGIN" if options.get("reads_only") else "BEGIN IMMEDIATE")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that may write: committed at the end, undone by an exception."""
    with engine.begin() as connection:
        yield connection


@contextmanager
def rehearsing(engine: Engine) -> Iterator[Connection]:
    """One transaction that may write, of which nothing stays: to see what would come of it."""
    with engine.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One transaction that only reads, all of one moment; on SQLite it never waits for a writer."""
    options: dict[str, Any] = {"reads_only": True}
    if engine.dialect.name == "postgresql":  # where each statement would see a later moment
        options["isolation_level"] = "REPEATABLE READ"
    with engine.execution_options(**options).begin() as connection:
        yield connection


def ping(engine: Engine) -> None:
    """Ask the database for nothing, which fails unless it answers."""
    with reading(engine) as connection:
        connection.execute(text("SELECT 1"))
