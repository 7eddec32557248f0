"""Reading one table of a decoded TOML file strictly, noting what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ca.directory.apply.grammar import Form
    from ca.directory.apply.lines import Path


@dataclass(frozen=True)
class Problem:
    """A sentence about what stands at `path`."""

    path: Path
    message: str


class Section:
    """A table of the file, which is at `path`.

    What is missing or wrong is noted and something harmless returned, so that one run finds
    everything that is wrong. Each key that is read is crossed off: `finish` knows the others.
    """

    def __init__(self, table: dict[str, Any], path: Path, problems: list[Problem]) -> None:
        self._table = table
        self._unread = dict.fromkeys(table)
        self._problems = problems
        self.path = path

    def __contains__(self, key: str) -> bool:
        return key in self._table

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def note(self, message: str, *steps: str | int) -> None:
        """Note what is wrong here, or at `steps` below."""
        self._problems.append(Problem((*self.path, *steps), message))

    def text(self, key: str, form: Form, default: str | None = None) -> str:
        """A text of a form; without a default it must be there."""
        value = self._take(key, default)
        if value is None:
            self.note(f"{key!a} is missing: {form.words}")
        elif isinstance(value, str) and form.fits(value):
            return value
        else:
            self.note(f"{value!a} is not {form.words}", key)
        return ""

    def texts(self, key: str, form: Form) -> list[str]:
        """A list of texts of a form, none twice; empty if it is not there."""
        value = self._take(key, [])
        if not isinstance(value, list):
            self.note("is not a list", key)
            return []
        for place, one in enumerate(value):
            if not isinstance(one, str) or not form.fits(one):
                self.note(f"{one!a} is not {form.words}", key, place)
            elif one in value[:place]:
                self.note(f"{one!a} is here twice", key, place)
        return [one for one in value if isinstance(one, str)]

    def integer(self, key: str, least: int, most: int, default: int | None = None) -> int | None:
        """A number of seconds from `least` to `most`, or the default."""
        value = self._take(key, default)
        if value is None or (type(value) is int and least <= value <= most):
            return value
        self.note(f"{value!a} is not a whole number of seconds from {least} to {most}", key)
        return default

    def boolean(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self._take(key, default)
        if isinstance(value, bool):
            return value
        self.note(f"{value!a} is neither true nor false", key)
        return default

    def section(self, key: str) -> Section:
        """The table `key`; empty if it is not there."""
        value = self._take(key, {})
        if not isinstance(value, dict):
            self.note("is not a table", key)
            value = {}
        return Section(value, (*self.path, key), self._problems)

    def sections(self, key: str) -> Iterator[tuple[str, Section]]:
        """The tables in the table `key`, by name."""
        table = self.section(key)
        for name in table:
            yield name, table.section(name)

    def finish(self) -> None:
        """Note the keys that nobody read: a mistyped one must not ask for nothing in silence."""
        known = sorted(self._table.keys() - self._unread.keys())
        for key in self._unread:
            hint = f"; {', '.join(known)} are" if known else ""
            self.note(f"there is no such key here{hint}", key)

    def _take(self, key: str, default: Any) -> Any:
        self._unread.pop(key, None)
        return self._table.get(key, default)
