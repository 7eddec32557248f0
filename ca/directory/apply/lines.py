"""On which line of a TOML file something stands.

`tomllib` tells no positions. But a file is a sequence of statements that can be read one by one:
lines are gathered until they are one.
"""

from __future__ import annotations

import tomllib
from typing import Any

Path = tuple[str | int, ...]


class Lines:
    """The lines of a file that `tomllib` reads."""

    def __init__(self, text: str) -> None:
        self._found: dict[Path, int] = {}
        table: Path = ()
        statement, begin = "", 1
        for number, line in enumerate(text.split("\n"), 1):
            statement += line + "\n"
            try:
                value = tomllib.loads(statement)
            except tomllib.TOMLDecodeError:
                continue
            if statement.lstrip().startswith("["):
                table = self._note((), value, begin)
            else:
                self._note(table, value, begin)
            statement, begin = "", number + 1

    def of(self, path: Path) -> int:
        """The number, from 1, of the line where the statement begins that first makes `path`."""
        while path and path not in self._found:  # an element of an array of tables
            path = path[:-1]
        return self._found.get(path, 1)

    def _note(self, path: Path, value: Any, line: int) -> Path:
        """Note where `value` and all that is in it stands; return the last path in it."""
        last = path
        for key, inner in _inside(value):
            self._found.setdefault((*path, key), line)
            last = self._note((*path, key), inner, line)
        return last


def _inside(value: Any) -> list[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []
