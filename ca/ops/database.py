"""The database as a command uses it: opened, of the right schema, its failures put into words."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import DatabaseError, OperationalError

from ca import settings
from ca.errors import Unavailable
from ca.store import schema
from ca.store.engine import check_file, open_engine


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
    check_file(url)
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


def operator() -> str:
    """Who runs the command, for the audit log: also behind sudo, where it tells."""
    return f"operator {os.environ.get('SUDO_USER') or getpass.getuser()}"[:64]
