"""Inserting what may be there, in one statement, so that of any number at once one succeeds."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Dialect, Table

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


def insert_into(dialect: Dialect, table: Table) -> "sqlite.Insert | postgresql.Insert":
    """`INSERT` into `table`, in which can be said what to do about a row whose key is there."""
    # The driver has imported its own dialect; the other one takes every command a while.
    module = import_module(f"sqlalchemy.dialects.{dialect.name}")
    statement: sqlite.Insert | postgresql.Insert = module.insert(table)
    return statement


def if_absent(connection: Connection, table: Table) -> "sqlite.Insert | postgresql.Insert":
    """`INSERT` into `table`, which leaves out the rows whose key is there."""
    return insert_into(connection.dialect, table).on_conflict_do_nothing()


def insert_if_absent(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert a row; False, and nothing done, if there is one with its key."""
    key = next(iter(table.primary_key))
    statement = if_absent(connection, table).values(values).returning(key)
    return connection.execute(statement).one_or_none() is not None
