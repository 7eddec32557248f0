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
from functools import cached_property
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
    rest: Table | None = None
    """Where the other attributes of a user are, by `user_id`."""


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


def _new_service_user(user_id: str) -> Columns:
    # Each user has an address of their own: this one can be nobody's (RFC 2606, section 2).
    email = f"{user_id}@service.invalid"
    return {"id": user_id, "user_id": user_id, "kind": "service", "email": email}


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
    "service_user": Kind(
        tables.users,
        ("username",),
        ("organization_id", "name", "exempt"),
        new=lambda _key: _new_service_user(str(uuid.uuid4())) | _created(),
        counts=tables.users.c.kind == "service",
        rest=tables.service_users,
    ),
    "member": Kind(tables.members, ("organization_id", "user_id"), ("role",)),
    # Slugs are never used again: a provider that is removed keeps its row.
    "provider": Kind(
        tables.sso_providers,
        ("slug",),
        ("organization_id",),
        counts=tables.sso_providers.c.retired_at.is_(None),
    ),
    # How a provider is asked. Its secret, its domains and its trial are no items.
    "client": Kind(
        tables.oidc_clients,
        ("slug",),
        ("label", "issuer", "client_id", "scopes", "mfa_values"),
        new=lambda _key: {"domains": []},
        counts=tables.oidc_clients.c.slug.in_(
            select(tables.sso_providers.c.slug).where(tables.sso_providers.c.retired_at.is_(None))
        ),
    ),
    "project": Kind(
        tables.projects, ("id",), ("organization_id", "title"), new=lambda _key: _created()
    ),
    "environment": Kind(tables.environments, ("project_id", "name"), ("type", "active")),
    "host": Kind(
        tables.hosts,
        ("name",),
        ("report_only",),
        new=lambda key: {"id": str(uuid.uuid4()), "names": list(key)},
    ),
    "service": Kind(tables.services, ("name",), ("host", "forwards"), new=_place),
    "access": Kind(tables.project_access, ("project_id", "user_id", "scope"), ("role",)),
    "requirement": Kind(
        tables.requirements,
        ("subject",),
        ("amr", "max_age", "networks", "device", "report_only"),
    ),
}


NAMED = ("user_id", "organization_id")
"""Columns with an id, in whose place items have a name."""


class Items:
    """The items of one database, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

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
            for table in (kind.table, kind.rest) if rows else ():
                if table is not None:
                    parts = [_of_table(table, row) for row in rows]
                    self._connection.execute(insert(table), parts)
            if rows and name in ("user", "organization", "service_user"):
                self._named = _Names(self._connection)

    def change(self, item: Item, attributes: Attributes) -> None:
        """Give an item other attributes."""
        kind, columns = KINDS[item.kind], self._columns(attributes)
        statement = update(kind.table).where(self._is(item))
        self._connection.execute(statement.values(_of_table(kind.table, columns)))
        if kind.rest is not None:
            user_id = self._named.ids["user_id"][item.key[0]]
            statement = update(kind.rest).where(kind.rest.c.user_id == user_id)
            self._connection.execute(statement.values(_of_table(kind.rest, columns)))

    def remove(self, item: Item) -> None:
        """Remove an item, and what cannot be without it."""
        if item.kind == "provider":
            retired = {"retired_at": int(time.time())}
            self._connection.execute(
                update(tables.sso_providers).where(self._is(item)).values(retired)
            )
        else:
            self._connection.execute(delete(KINDS[item.kind].table).where(self._is(item)))

    @cached_property
    def _named(self) -> _Names:
        return _Names(self._connection)

    def _columns(self, values: Attributes) -> Columns:
        return {
            column: self._named.ids[column][str(value)] if column in NAMED else value
            for column, value in values.items()
        }

    def _key(self, item: Item) -> Columns:
        if item.kind == "requirement":
            of, name = item.key
            return {
                "subject": self._named.ids["organization_id"][name]
                if of == "organization"
                else name
            }
        return self._columns(dict(zip(KINDS[item.kind].key, item.key, strict=True)))

    def _is(self, item: Item) -> ColumnElement[bool]:
        columns = KINDS[item.kind].table.c
        return and_(*(columns[name] == value for name, value in self._key(item).items()))

    def _item(self, kind: str, row: Row[*tuple[Any, ...]]) -> Item:
        if kind == "requirement":
            return Item(kind, self._subject(row.subject))
        return Item(kind, tuple(self._name(row, column) for column in KINDS[kind].key))

    def _subject(self, subject: str) -> Key:
        organizations = self._named.names["organization_id"]
        if subject in organizations:
            return ("organization", organizations[subject])
        return ("project" if names.is_project(subject) else "service", subject)

    def _attributes(self, kind: Kind, row: Row[*tuple[Any, ...]]) -> Attributes:
        return {column: self._name(row, column) for column in kind.attributes}

    def _name(self, row: Row[*tuple[Any, ...]], column: str) -> Any:
        value = row._mapping[column]  # noqa: SLF001 its public name
        return self._named.names[column][value] if column in NAMED else value


class _Names:
    """Whom and what rows call by an id, by the column: `names` by id, and `ids` by name.

    They are many: whoever speaks of none of them does not wait for them.
    """

    def __init__(self, connection: Connection) -> None:
        users, organizations = tables.users.c, tables.organizations.c
        self.names = {
            "user_id": _pairs(connection, users.id, users.username),
            "organization_id": _pairs(connection, organizations.id, organizations.name),
        }
        self.ids = {
            column: {name: id_ for id_, name in pairs.items()}
            for column, pairs in self.names.items()
        }


def _of_table(table: Table, columns: Columns) -> Columns:
    return {name: value for name, value in columns.items() if name in table.c}


def _query(kind: Kind) -> Select[*tuple[Any, ...]]:
    names = (*kind.key, *kind.attributes)
    if kind.rest is None:
        return select(*(kind.table.c[name] for name in names)).where(kind.counts)
    both = kind.table.join(kind.rest, kind.rest.c.user_id == kind.table.c.id)
    columns = (kind.table.c[name] if name in kind.table.c else kind.rest.c[name] for name in names)
    return select(*columns).select_from(both).where(kind.counts)


def _pairs(
    connection: Connection, left: ColumnElement[str], right: ColumnElement[str]
) -> dict[str, str]:
    return {row[0]: row[1] for row in connection.execute(select(left, right))}
