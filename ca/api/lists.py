"""Lists as clients of this API ask for them: filtered, in an order, page by page.

`filter[FIELD]=VALUE` is `filter[FIELD][eq]=VALUE`; other words than `eq` are those of `_TESTS`.
`sort=FIELD` or `sort=-FIELD`. `page[after]` and `page[before]` are taken from the links of the
page before; without a `page[size]` there is one page.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, Query, Request

from ca.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = dict[str, Any]
Place = tuple[str, str]
"""Where an item stands in the order: its value of the field, and its key."""

MOST = 100  # items on a page


@dataclass(frozen=True)
class Asked:
    """What a request says about the list that it wants."""

    path: str
    query: tuple[tuple[str, str], ...]
    size: int | None
    before: str | None
    after: str | None
    sort: str | None


def _asked(
    request: Request,
    size: Annotated[int | None, Query(alias="page[size]", ge=1)] = None,
    before: Annotated[str | None, Query(alias="page[before]", max_length=1024)] = None,
    after: Annotated[str | None, Query(alias="page[after]", max_length=1024)] = None,
    sort: Annotated[str | None, Query(max_length=64)] = None,
) -> Asked:
    query = tuple(request.query_params.multi_items())
    return Asked(request.url.path, query, size, before, after, sort)


Wanted = Annotated[Asked, Depends(_asked)]
"""A route's parameter of this type is how its list is to be answered."""


@dataclass(frozen=True)
class Listing:
    """How a list may be asked for: by which fields, and which of them tells items apart."""

    key: str
    fields: tuple[str, ...] = ()
    most: int = MOST

    def page(self, items: Sequence[Item], asked: Asked) -> Page:
        """The page that is asked for.

        Raises:
            InvalidRequest: something is asked for that this list does not know.
        """
        size = asked.size or len(items)
        if asked.size and asked.size > self.most:
            raise InvalidRequest(f"page[size]: at most {self.most}.")
        found = [item for item in items if all(fits(item) for fits in self._filters(asked))]
        backwards = (asked.sort or "").startswith("-")
        field = (asked.sort or self.key).removeprefix("-")
        if field not in (self.key, *self.fields):
            raise InvalidRequest(f"sort: one sorts by {', '.join((self.key, *self.fields))}.")

        def place(item: Item) -> Place:
            return _text(item.get(field)), _text(item[self.key])

        ordered = sorted(found, key=place, reverse=backwards)
        start, end = _cut([place(item) for item in ordered], asked, size, backwards=backwards)
        shown, links = ordered[start:end], {"self": _link(asked)}
        # What stood where the page begins or ends may be gone: then nothing leads on from there.
        if shown and end < len(ordered):
            links["next"] = _link(asked, "page[after]", place(shown[-1]))
        if shown and start:
            links["previous"] = _link(asked, "page[before]", place(shown[0]))
        return Page(shown, len(ordered), links)

    def _filters(self, asked: Asked) -> list[Callable[[Item], bool]]:
        wanted = [(name, value) for name, value in asked.query if name.startswith("filter[")]
        return [self._filter(name, value) for name, value in wanted]

    def _filter(self, name: str, value: str) -> Callable[[Item], bool]:
        field, _, word = name.removeprefix("filter[").removesuffix("]").partition("][")
        test = _TESTS.get(word or "eq")
        if field not in (self.key, *self.fields) or test is None:
            raise InvalidRequest(f"{name[:64]!a}: this list has no such filter.")

        def fits(item: Item) -> bool:
            held = item.get(field)
            values = held if isinstance(held, list) else [held]
            if word in ("ne", "nin"):
                return all(test(_text(one), value) for one in values)
            return any(test(_text(one), value) for one in values)

        return fits


@dataclass(frozen=True)
class Page:
    """Some of a list's items; `count` is of all, and the links lead to the other pages."""

    items: list[Item]
    count: int
    links: dict[str, dict[str, str]]


def _cut(places: list[Place], asked: Asked, size: int, *, backwards: bool) -> tuple[int, int]:
    """Where the page begins and ends."""
    if asked.after is not None:
        last = _place(asked.after)
        passed = [one >= last if backwards else one <= last for one in places]
        start = sum(passed)
        return start, min(start + size, len(places))
    if asked.before is not None:
        first = _place(asked.before)
        end = sum(one > first if backwards else one < first for one in places)
        return max(0, end - size), end
    return 0, min(size, len(places))


def _link(asked: Asked, name: str = "", place: Place | None = None) -> dict[str, str]:
    query = list(asked.query)
    if place is not None:
        cursor = urlsafe_b64encode(json.dumps(place).encode()).decode()
        query = [one for one in query if one[0] not in ("page[after]", "page[before]")]
        query.append((name, cursor))
    return {"href": f"{asked.path}?{urlencode(query)}" if query else asked.path}


def _place(cursor: str) -> Place:
    try:
        value, key = json.loads(urlsafe_b64decode(cursor))
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidRequest("page: take the links of the page before.") from error
    return str(value), str(key)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _compared(value: str) -> str:
    """Times as text that is in their order, others as they are."""
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        return value


def _between(held: str, value: str) -> bool:
    first, _, last = value.partition(",")
    return _compared(first) <= _compared(held) <= _compared(last)


_TESTS: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda held, value: held == value,
    "ne": lambda held, value: held != value,
    "in": lambda held, value: held in value.split(","),
    "nin": lambda held, value: held not in value.split(","),
    "contains": lambda held, value: value in held,
    "starts": lambda held, value: held.startswith(value),
    "ends": lambda held, value: held.endswith(value),
    "gt": lambda held, value: _compared(held) > _compared(value),
    "gte": lambda held, value: _compared(held) >= _compared(value),
    "lt": lambda held, value: _compared(held) < _compared(value),
    "lte": lambda held, value: _compared(held) <= _compared(value),
    "between": _between,
}
