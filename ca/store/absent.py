"""Inserting what is not there yet, in one statement, so that of any number at once one succeeds."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


def if_absent(connection: Connection, table: Table) -> "sqlite.Insert | postgresql.Insert":
    """`INSERT` into `table`, which leaves out the rows whose key is there."""
    # The driver has imported its own dialect; the other one takes every command a while.
    dialect = import_module(f"sqlalchemy.dialects.{connection.dialect.name}")
    statement: sqlite.Insert | postgresql.Insert = dialect.insert(table).on_conflict_do_nothing()
    return statement


def insert_if_absent(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert a row; False, and nothing done, if there is one with its key."""
    key = next(iter(table.primary_key))
    statement = if_absent(connection, table).values(values).returning(key)
    return connection.execute(statement).one_or_none() is not None
