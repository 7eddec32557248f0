"""The directory as items with attributes: the form in which a file and the database are compared.

An item is a kind and a key of names, such as `member acme bob`; its attributes are texts, numbers,
Booleans and lists. Items speak of people and organizations by name, rows by id; otherwise keys and
attributes are columns. Two directories are equal if their items are.
"""

from __future__ import annotations

import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    delete,
    insert,
    select,
    true,
    update,
)

from ca.store import tables
from sshd_hook import names

if TYPE_CHECKING:
    from collections.abc import Callable

Key = tuple[str, ...]
Value = str | int | bool | None | list[str]
Attributes = dict[str, Value]
Columns = dict[str, Any]


class Item(NamedTuple):
    """One thing in the directory."""

    kind: str
    key: Key

    def __str__(self) -> str:
        return " ".join((self.kind, *self.key))


Directory = dict[Item, Attributes]


@dataclass(frozen=True)
class Kind:
    """How one kind of item is stored."""

    table: Table
    key: tuple[str, ...]
    attributes: tuple[str, ...] = ()
    new: Callable[[Key], Columns] = lambda _key: {}
    """What a new row holds that no item tells of."""
    counts: ColumnElement[bool] = field(default_factory=true)
    """Which rows are items."""


def _created() -> Columns:
    return {"created_at": int(time.time())}


_ULID_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID_LENGTH = 26
_ULID_RANDOM_BITS = 80


def _new_ulid() -> str:
    # Clients of this API expect a ULID as an organization's id.
    milliseconds = time.time_ns() // 1_000_000
    number = milliseconds << _ULID_RANDOM_BITS | secrets.randbits(_ULID_RANDOM_BITS)
    digits = [_ULID_ALPHABET[number >> 5 * place & 31] for place in range(_ULID_LENGTH)]
    return "".join(reversed(digits))


def _place(key: Key) -> Columns:
    service = names.parse_service(key[0])
    if service is None:
        raise ValueError("not a service")
    return {"project_id": service.project, "environment": service.environment}


# In this order, each kind stands after those that it refers to.
KINDS = {
    "user": Kind(
        tables.users,
        ("username",),
        ("name", "email"),
        new=lambda _key: {"id": str(uuid.uuid4())} | _created(),
        counts=tables.users.c.kind == "person",
    ),
    "organization": Kind(
        tables.organizations,
        ("name",),
        ("label", "max_offline", "certificate_lifetime"),
        new=lambda _key: {"id": _new_ulid()} | _created(),
    ),
    "member": Kind(tables.members, ("organization_id", "user_id"), ("role",)),
    # Slugs are never used again: a provider that is removed keeps its row.
    "provider": Kind(
        tables.sso_providers,
        ("slug",),
        ("organization_id",),
        counts=tables.sso_providers.c.retired_at.is_(None),
    ),
    "project": Kind(
        tables.projects, ("id",), ("organization_id", "title"), new=lambda _key: _created()
    ),
    "environment": Kind(tables.environments, ("project_id", "name"), ("type", "active")),
    "host": Kind(
        tables.hosts,
        ("name",),
        new=lambda key: {"id": str(uuid.uuid4()), "names": list(key)},
    ),
    "service": Kind(tables.services, ("name",), ("host", "forwards"), new=_place),
    "access": Kind(tables.project_access, ("project_id", "user_id", "scope"), ("role",)),
    "requirement": Kind(
        tables.requirements, ("subject",), ("amr", "max_age", "networks", "device")
    ),
}


class Items:
    """The items of one database, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._load_names()

    def read(self) -> Directory:
        """The whole directory."""
        return {
            self._item(name, row): self._attributes(kind, row)
            for name, kind in KINDS.items()
            for row in self._connection.execute(_query(kind))
        }

    def add(self, entries: Directory) -> None:
        """Add items that are not there, whatever their order."""
        for name, kind in KINDS.items():
            rows = [
                self._key(item) | self._columns(attributes) | kind.new(item.key)
                for item, attributes in entries.items()
                if item.kind == name
            ]
            if rows:
                self._connection.execute(insert(kind.table), rows)
            if rows and name in ("user", "organization"):
                self._load_names()

    def change(self, item: Item, attributes: Attributes) -> None:
        """Give an item other attributes."""
        statement = update(KINDS[item.kind].table).where(self._is(item))
        self._connection.execute(statement.values(self._columns(attributes)))

    def remove(self, item: Item) -> None:
        """Remove an item, and what cannot be without it."""
        if item.kind == "provider":
            retired = {"retired_at": int(time.time())}
            self._connection.execute(
                update(tables.sso_providers).where(self._is(item)).values(retired)
            )
        else:
            self._connection.execute(delete(KINDS[item.kind].table).where(self._is(item)))

    def _load_names(self) -> None:
        users, organizations = tables.users.c, tables.organizations.c
        self._usernames = _pairs(self._connection, users.id, users.username)
        self._organizations = _pairs(self._connection, organizations.id, organizations.name)
        self._ids = {
            "user_id": {name: id_ for id_, name in self._usernames.items()},
            "organization_id": {name: id_ for id_, name in self._organizations.items()},
        }

    def _columns(self, values: Attributes) -> Columns:
        return {
            column: self._ids[column][str(value)] if column in self._ids else value
            for column, value in values.items()
        }

    def _key(self, item: Item) -> Columns:
        if item.kind == "requirement":
            of, name = item.key
            return {"subject": self._ids["organization_id"][name] if of == "organization" else name}
        return self._columns(dict(zip(KINDS[item.kind].key, item.key, strict=True)))

    def _is(self, item: Item) -> ColumnElement[bool]:
        columns = KINDS[item.kind].table.c
        return and_(*(columns[name] == value for name, value in self._key(item).items()))

    def _item(self, kind: str, row: Row[*tuple[Any, ...]]) -> Item:
        if kind == "requirement":
            return Item(kind, self._subject(row.subject))
        return Item(kind, tuple(self._name(row, column) for column in KINDS[kind].key))

    def _subject(self, subject: str) -> Key:
        if subject in self._organizations:
            return ("organization", self._organizations[subject])
        return ("project" if names.is_project(subject) else "service", subject)

    def _attributes(self, kind: Kind, row: Row[*tuple[Any, ...]]) -> Attributes:
        return {column: self._name(row, column) for column in kind.attributes}

    def _name(self, row: Row[*tuple[Any, ...]], column: str) -> Any:
        value = row._mapping[column]  # noqa: SLF001 its public name
        if column == "user_id":
            return self._usernames[value]
        return self._organizations[value] if column == "organization_id" else value


def _query(kind: Kind) -> Select[*tuple[Any, ...]]:
    columns = (kind.table.c[name] for name in (*kind.key, *kind.attributes))
    return select(*columns).where(kind.counts)


def _pairs(
    connection: Connection, left: ColumnElement[str], right: ColumnElement[str]
) -> dict[str, str]:
    return {row[0]: row[1] for row in connection.execute(select(left, right))}
