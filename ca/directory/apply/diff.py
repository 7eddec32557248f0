"""The difference between two directories, and how it reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ca.store.items import KINDS, NAMED, Attributes, Directory, Item

if TYPE_CHECKING:
    from collections.abc import Iterable

ORDER = {kind: place for place, kind in enumerate(KINDS)}


@dataclass(frozen=True)
class Change:
    """One item that is added (`before` is None), removed (`after` is None) or changed."""

    item: Item
    before: Attributes | None
    after: Attributes | None

    @property
    def sign(self) -> str:
        """`+`, `-` or `~`."""
        if self.before is None:
            return "+"
        return "-" if self.after is None else "~"

    def __str__(self) -> str:
        return f"{self.sign} {self.item}{''.join(f'  {words}' for words in self._in_words())}"

    def _in_words(self) -> list[str]:
        if self.before is None or self.after is None:
            attributes = self.after or {}
            return [f"{_plain(name)} {_shown(value)}" for name, value in attributes.items()]
        return [
            f"{_plain(name)} {_shown(self.before[name])} → {_shown(value)}"
            for name, value in self.after.items()
            if value != self.before[name]
        ]


def difference(before: Directory, after: Directory) -> list[Change]:
    """What to do to make `before` into `after`, in the order of kinds and names."""
    items = sorted(before.keys() | after.keys(), key=lambda item: (ORDER[item.kind], item))
    return [
        Change(item, before.get(item), after.get(item))
        for item in items
        if before.get(item) != after.get(item)
    ]


def summary(changes: Iterable[Change], words: tuple[str, str, str]) -> str:
    """How many of each; `words` are those for what is added, changed and removed."""
    signs = [change.sign for change in changes]
    return ", ".join(f"{signs.count(sign)} {word}" for sign, word in zip("+~-", words, strict=True))


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _plain(name: str) -> str:
    # An item speaks of it by its name, not by its id.
    return name.removesuffix("_id") if name in NAMED else name
