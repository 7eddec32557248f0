"""The schema's version: bringing a database up to date, and refusing one that is not."""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from ca.errors import Misconfigured
from ca.store.engine import reading, writing

UPGRADE_LOCK = 0x616D7267  # for pg_advisory_xact_lock: one node upgrades, the others wait


def upgrade(engine: Engine) -> None:
    """Bring the database to the newest schema, in one transaction; nothing if it is there."""
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": UPGRADE_LOCK})
        alembic = config()
        alembic.attributes["connection"] = connection
        command.upgrade(alembic, "head")


def check(engine: Engine) -> None:
    """Make sure that the database has the schema this code was written for.

    Raises:
        Misconfigured: it is older or newer.
    """
    with reading(engine) as connection:
        found = version(connection)
    needed = ScriptDirectory.from_config(config()).get_current_head()
    if found != needed:
        raise Misconfigured(
            f"The database's schema is {found or 'empty'}, but this version needs {needed}."
        )


def version(connection: Connection) -> str | None:
    """The revision of the database's schema; None for an empty database."""
    return MigrationContext.configure(connection).get_current_revision()


def config() -> Config:
    """Where Alembic finds the migrations."""
    found = Config()
    found.set_main_option("script_location", "ca:migrations")
    found.set_main_option("path_separator", "os")
    return found
