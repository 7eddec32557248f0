"""Queries about what hosts decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, delete, func, select

from ca.store.absent import if_absent
from ca.store.tables import decisions, services, users

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FORGOTTEN_AT_ONCE = 1000  # rows, so that no request waits long for it


class Decision(NamedTuple):
    """What a host said that it decided. `username` is empty for who is no user, or none any more.

    `at` is by the host's clock, `received_at` by the CA's; `session` is its handle.
    """

    received_at: int
    at: int
    host: str
    connection: str
    code: str
    service: str
    user_id: str
    username: str
    serial: str
    session: str
    detail: str


class Wanted(NamedTuple):
    """Which decisions are asked for; empty for any."""

    host: str = ""
    user_id: str = ""
    service: str = ""
    code: str = ""


def add(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int | None:
    """Keep those that are not kept yet; return the number of the last one, None for none."""
    if rows:
        connection.execute(if_absent(connection, decisions), rows)
    hosts = {row["host"] for row in rows}
    last: int | None = connection.execute(
        select(func.max(decisions.c.id)).where(decisions.c.host.in_(hosts))
    ).scalar_one()
    return last


def newest(connection: Connection, wanted: Wanted, limit: int) -> list[Decision]:
    """The last decisions that came, the oldest of them first."""
    conditions = [
        decisions.c[column] == value for column, value in wanted._asdict().items() if value
    ]
    rows = connection.execute(
        select(*(_COLUMNS[name] for name in Decision._fields))
        .outerjoin(users, users.c.id == decisions.c.user_id)
        .where(*conditions)
        .order_by(decisions.c.id.desc())
        .limit(limit)
    )
    return [Decision(*row) for row in rows][::-1]


def forget_before(connection: Connection, time: int) -> None:
    """Delete some of those that came before `time`."""
    old = select(decisions.c.id).where(decisions.c.received_at < time).limit(FORGOTTEN_AT_ONCE)
    connection.execute(delete(decisions).where(decisions.c.id.in_(old)))


def forget_beyond(connection: Connection, host: str, count: int) -> None:
    """Delete all but the last `count` of a host."""
    own = decisions.c.host == host
    last = select(decisions.c.id).where(own).order_by(decisions.c.id.desc()).offset(count).limit(1)
    connection.execute(delete(decisions).where(own, decisions.c.id <= last.scalar_subquery()))


def hosts_of(connection: Connection, names: Iterable[str]) -> dict[str, str]:
    """The hosts of those services that there are, by their names (without an instance)."""
    rows = connection.execute(
        select(services.c.name, services.c.host).where(services.c.name.in_(set(names)))
    )
    return {row.name: row.host for row in rows}


_COLUMNS = {column.name: column for column in decisions.c} | {
    "username": func.coalesce(users.c.username, "").label("username")
}
