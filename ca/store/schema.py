"""The schema's version: bringing a database up to date, and refusing one that is not.

Alembic is a tenth of a second to import, which only who changes the schema pays.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, text

from ca.errors import Misconfigured
from ca.migrations import versions
from ca.store.engine import reading, writing

if TYPE_CHECKING:
    from alembic.config import Config

UPGRADE_LOCK = 0x616D7267  # for pg_advisory_xact_lock: one node upgrades, the others wait
VERSION_TABLE = "alembic_version"
REVISION = re.compile(r"(\d{4})_\w+\.py")  # a migration's file is named for its revision


def upgrade(engine: Engine) -> None:
    """Bring the database to the newest schema, in one transaction; nothing if it is there."""
    from alembic import command  # see above

    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": UPGRADE_LOCK})
        alembic = config()
        alembic.attributes["connection"] = connection
        command.upgrade(alembic, "head")


def check(engine: Engine) -> None:
    """Make sure that the database has the schema this code was written for.

    Raises:
        Misconfigured: it is another.
    """
    found = _found(engine)
    if found != newest():
        raise _another(found)


def upgradable(engine: Engine) -> str:
    """The revision of the schema, if `upgrade` can begin there.

    Raises:
        Misconfigured: there is no schema, or it is of a later version.
    """
    found = _found(engine)
    if not "" < found <= newest():
        raise _another(found)
    return found


def _found(engine: Engine) -> str:
    with reading(engine) as connection:
        return version(connection) or ""


def _another(found: str) -> Misconfigured:
    needed = newest()
    cure = "take the version that made it, or a later one"
    if found < needed:
        cure = "run `amrgate-ca upgrade`" if found else "put a backup of it back"
    return Misconfigured(
        f"The database's schema is {found or 'empty'}, but this version needs {needed}: {cure}."
    )


def version(connection: Connection) -> str | None:
    """The revision of the database's schema; None for an empty database."""
    if not connection.dialect.has_table(connection, VERSION_TABLE):
        return None
    query = text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608 -- our own name
    found: str | None = connection.execute(query).scalar()
    return found


def newest() -> str:
    """The revision that this code was written for."""
    files = (path.name for path in Path(versions.__path__[0]).iterdir())
    return max(found[1] for name in files if (found := REVISION.fullmatch(name)))


def config() -> "Config":
    """Where Alembic finds the migrations."""
    from alembic.config import Config  # see above

    found = Config()
    found.set_main_option("script_location", "ca:migrations")
    found.set_main_option("path_separator", "os")
    return found
