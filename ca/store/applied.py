"""Of which items the last applied file spoke: what that file made, the next may take away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, insert, select

from ca.store.items import Item
from ca.store.tables import applied_items

if TYPE_CHECKING:
    from collections.abc import Iterable


def read(connection: Connection) -> frozenset[Item]:
    """The items of the last file, whether or not they are still there."""
    rows = connection.execute(select(applied_items.c.kind, applied_items.c.key))
    return frozenset(Item(kind, tuple(key.split(" "))) for kind, key in rows)


def put(connection: Connection, items: Iterable[Item]) -> None:
    """Let these be the items of the last file."""
    connection.execute(delete(applied_items))
    rows = [{"kind": item.kind, "key": " ".join(item.key)} for item in items]
    if rows:
        connection.execute(insert(applied_items), rows)
