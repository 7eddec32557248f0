"""The database as a command uses it: opened, of the right schema, its failures put into words."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from ca import settings
from ca.errors import Unavailable
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
        Misconfigured: there is no CA.
        Unavailable: the database cannot be reached, is full or is busy.
    """
    engine = open_engine(settings.read(data).database)
    try:
        yield engine
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise Unavailable(
            f"The database did not do it, and nothing was changed: {reason}"
        ) from error
    finally:
        engine.dispose()


def operator() -> str:
    """Who runs the command, for the audit log: also behind sudo, where it tells."""
    return f"operator {os.environ.get('SUDO_USER') or getpass.getuser()}"[:64]
