"""The database as a command uses it: opened, of the right schema, its failures put into words."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, make_url
from sqlalchemy.exc import DatabaseError, OperationalError

from ca import settings
from ca.errors import Misconfigured, Unavailable
from ca.store import schema
from ca.store.engine import open_engine


@contextmanager
def open_database(data: Path) -> Iterator[Engine]:
    """The database of the CA in `data`, for as long as a command needs it.

    Raises:
        Misconfigured: there is no CA, or its database is another version's.
        Unavailable: the database cannot be reached, is full or is busy.
    """
    with open_any_version(data) as engine:
        schema.check(engine)
        yield engine


@contextmanager
def open_any_version(data: Path) -> Iterator[Engine]:
    """`open_database`, whatever its schema.

    Raises:
        Misconfigured: there is no CA, or its database is gone.
        Unavailable: the database cannot be reached, is full, is busy or is none.
    """
    url = settings.read(data).database
    engine = open_engine(url)
    _see_file(url)
    try:
        yield engine
    except DatabaseError as error:
        if type(error) not in (OperationalError, DatabaseError):  # what is ours to mend
            raise
        reason = str(error.orig).strip().splitlines()[0]
        raise Unavailable(
            f"The database did not do it, and nothing was changed: {reason}"
        ) from error
    finally:
        engine.dispose()


def _see_file(url: str) -> None:
    # SQLite would make an empty one, which then looks like a CA that was never made.
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
        raise Misconfigured(
            f"There is no database at {parsed.database}: put a backup of it back (docs/recovery.md)."
        )


def operator() -> str:
    """Who runs the command, for the audit log: also behind sudo, where it tells."""
    return f"operator {os.environ.get('SUDO_USER') or getpass.getuser()}"[:64]
