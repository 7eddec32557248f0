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
def open_database(data: Path, *, older: bool = False) -> Iterator[Engine]:
    """The database of the CA in `data`, for as long as a command needs it.

    `older` is whether an earlier version's will do.

    Raises:
        Misconfigured: there is no CA, or its database is another version's.
        Unavailable: the database cannot be reached, is full or is busy.
    """
    engine = open_engine(settings.read(data).database)
    try:
        schema.check(engine, older=older)
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
