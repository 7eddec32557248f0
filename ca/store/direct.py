"""Statements on the database's driver itself, for the path on which every microsecond counts.

They are written and compiled by SQLAlchemy, once; what is saved is its way from there to the
driver and back, which takes longer than SQLite does.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import ClauseElement, Engine
from sqlalchemy.engine.interfaces import DBAPICursor

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
