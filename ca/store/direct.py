"""Statements on the database's driver itself, for the path on which every microsecond counts.

They are written and compiled by SQLAlchemy, once; what is saved is its way from there to the
driver and back, which takes longer than SQLite does.
"""

import json
import threading
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import JSON, ClauseElement, Engine, Select
from sqlalchemy.engine.interfaces import DBAPICursor
from starlette.concurrency import run_in_threadpool

from ca.errors import Unavailable
from ca.store.engine import reading

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler


class Statement:
    """`clause`, compiled for the database of `engine`.

    Values go to the driver as they are: only texts, bytes, integers and None are meant.
    """

    def __init__(self, engine: Engine, clause: ClauseElement) -> None:
        compiled = cast("SQLCompiler", clause.compile(engine))
        self._sql = str(compiled)
        self._constants = dict(compiled.params)
        self._order = compiled.positiontup

    def run(self, cursor: DBAPICursor, values: Mapping[str, Any]) -> DBAPICursor:
        """Execute with `values` of its bound parameters; return the cursor."""
        cursor.execute(self._sql, self._bind(values))
        return cursor

    def run_many(self, cursor: DBAPICursor, rows: Iterable[Mapping[str, Any]]) -> None:
        """Execute once for each of `rows`."""
        bound = [self._bind(values) for values in rows]
        if bound:
            cursor.executemany(self._sql, bound)

    def _bind(self, values: Mapping[str, Any]) -> Any:
        every = self._constants | dict(values)
        if self._order is None:
            return every
        return tuple([every[name] for name in self._order])


class Lookup:
    """A query for one row, which is asked at each request and by any number of threads.

    SQLite is asked on its driver and at once, also on the event loop: it answers in a tenth of
    the time that it takes to ask another thread. A database that is across a network must not
    hold up everybody else.
    """

    def __init__(self, engine: Engine, query: Select[Any]) -> None:
        self._engine = engine
        self._query = query
        self._own = engine.raw_connection() if engine.dialect.name == "sqlite" else None
        if self._own is not None:
            self._own.detach()  # from the pool, which need not do without one
        self._statement = Statement(engine, query)
        columns = query.selected_columns
        self._names = tuple(columns.keys())
        self._json = [name for name, column in columns.items() if isinstance(column.type, JSON)]
        self._turn = threading.Lock()

    async def one(self, **values: str | int) -> Any:
        """The row that there is as of now, or None.

        Raises:
            Unavailable: SQLite cannot read its file.
            SQLAlchemyError: another database does not answer.
        """
        if self._own is None:
            return await run_in_threadpool(self._ask, values)
        try:
            with self._turn:
                cursor = self._own.cursor()
                try:
                    fields = self._statement.run(cursor, values).fetchone()
                finally:
                    cursor.close()
        except self._engine.dialect.loaded_dbapi.Error as error:
            raise Unavailable("The database cannot be read now. Try again in a moment.") from error
        return None if fields is None else self._named(fields)

    def close(self) -> None:
        """Close the connection."""
        if self._own is not None:
            self._own.close()

    def _named(self, fields: Iterable[Any]) -> SimpleNamespace:
        """The driver's row as SQLAlchemy would give it."""
        row = SimpleNamespace(**dict(zip(self._names, fields, strict=True)))
        for name in self._json:
            setattr(row, name, json.loads(getattr(row, name)))
        return row

    def _ask(self, values: Mapping[str, str | int]) -> Any:
        with reading(self._engine) as connection:
            return connection.execute(self._query, values).one_or_none()
