"""A directory written down in TOML, which knows on which line it says what."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from ca.directory.apply.lines import Lines
from ca.directory.apply.reader import Reader
from ca.directory.apply.section import Problem, Section
from ca.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ca.directory.apply.lines import Path
    from ca.store.items import Item

MOST_SHOWN = 30  # problems


class InvalidFile(InvalidRequest):
    """What is wrong with a file: a line of text for each problem, naming the file's line."""

    code = "invalid_file"


class Document:
    """What a file says the directory should be."""

    def __init__(self, text: str, name: str) -> None:
        """Read `text`, the content of the file that is called `name`.

        Raises:
            InvalidFile: with everything that is wrong in it.
        """
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InvalidFile(f"{name} is not TOML: {error}.") from error
        self._name = name
        self._text = text
        problems: list[Problem] = []
        reader = Reader()
        reader.read(Section(table, (), problems))
        if problems:
            raise self.invalid(problems)
        self.directory = reader.directory
        self.spoken_of = frozenset(reader.directory) | reader.absent
        """What the file says is there, and the requirements of which it says that there are none."""
        self._paths = reader.paths

    def path_of(self, item: Item) -> Path:
        """Where the file speaks of `item`."""
        return self._paths[item]

    def invalid(self, problems: Iterable[Problem]) -> InvalidFile:
        """The error that tells of `problems`, in the order of the file."""
        lines = Lines(self._text)
        found = sorted({(lines.of(one.path), _in_words(one)) for one in problems})
        shown = [f"{self._name}:{line}: {words}" for line, words in found[:MOST_SHOWN]]
        if len(found) > MOST_SHOWN:
            shown.append(f"… and {len(found) - MOST_SHOWN} more.")
        count = "1 fault" if len(found) == 1 else f"{len(found)} faults"
        title = f"{self._name} has {count}; nothing was changed:"
        return InvalidFile("\n".join((title, *shown)))


def _in_words(problem: Problem) -> str:
    where = ".".join(_plain(step) for step in problem.path if isinstance(step, str))
    return f"{where}: {problem.message}" if where else problem.message


def _plain(step: str) -> str:
    """A key as it may be shown: what could play tricks on a terminal is escaped."""
    return step if step.isascii() and step.isprintable() and step else ascii(step)
