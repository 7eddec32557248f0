"""On which line of a TOML file something stands.

`tomllib` tells no positions. But what stands on a line is what the lines up to it say more than
those before it: so it is found by reading beginnings of the file, halving the interval.
"""

from __future__ import annotations

import tomllib
from bisect import bisect_left
from typing import Any

Path = tuple[str | int, ...]


class Lines:
    """The lines of a file that `tomllib` reads."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._read: dict[int, dict[str, Any] | None] = {0: {}}

    def of(self, path: Path) -> int:
        """The number, from 1, of the line where the statement begins that first makes `path`."""
        counts = range(len(self._lines) + 1)
        end = bisect_left(
            counts, True, key=lambda count: _has(self._read[self._whole(count)], path)
        )
        return self._whole(max(end, 1) - 1) + 1

    def _whole(self, count: int) -> int:
        """The most lines, at most `count`, that do not end within a statement."""
        while self._document(count) is None:
            count -= 1
        return count

    def _document(self, count: int) -> dict[str, Any] | None:
        if count not in self._read:
            try:
                self._read[count] = tomllib.loads("\n".join(self._lines[:count]))
            except tomllib.TOMLDecodeError:
                self._read[count] = None
        return self._read[count]


def _has(document: Any, path: Path) -> bool:
    for step in path:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return False
    return True
