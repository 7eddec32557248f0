"""Queries about the connections that hosts said are open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, insert, select, update

from ca.store import tables
from ca.store.sessions import GrantSession, session_of, session_query

if TYPE_CHECKING:
    from collections.abc import Mapping

HEARD_LATELY = 3600  # seconds


@dataclass(frozen=True)
class Open:
    """Connections to a service by the certificates of a session, which may be over.

    `address` is the client's, "" for those that have none, or whose host is too old to say.
    """

    host: str
    service: str
    session: GrantSession
    address: str
    connections: int


def replace(
    connection: Connection, host_id: str, found: Mapping[tuple[str, str, str], int], now: int
) -> None:
    """Note what a host said: how many connections, by service, session's handle and address."""
    table = tables.open_connections
    connection.execute(delete(table).where(table.c.host_id == host_id))
    rows = [
        {
            "host_id": host_id,
            "service": service,
            "session": session,
            "address": address,
            "connections": count,
        }
        for (service, session, address), count in found.items()
    ]
    if rows:
        connection.execute(insert(table), rows)
    statement = update(tables.hosts).where(tables.hosts.c.id == host_id)
    connection.execute(statement.values(connections_at=now))


def of_organization(connection: Connection, organization_id: str) -> list[Open]:
    """The connections to an organization's services that are open.

    What a host says of services that are not on it counts for nothing.
    """
    found, services, hosts = tables.open_connections.c, tables.services.c, tables.hosts.c
    rows = connection.execute(
        session_query()
        .add_columns(hosts.name.label("host"), found.service, found.address, found.connections)
        .join(tables.open_connections, found.session == tables.grant_sessions.c.handle)
        .join(tables.hosts, hosts.id == found.host_id)
        .join(tables.services, (services.name == found.service) & (services.host == hosts.name))
        .join(tables.projects, tables.projects.c.id == services.project_id)
        .where(tables.projects.c.organization_id == organization_id)
        .order_by(hosts.name, found.service)
    )
    return [
        Open(row.host, row.service, session_of(row), row.address, row.connections) for row in rows
    ]


def heard_at(connection: Connection) -> dict[str, int | None]:
    """When each host last said which connections are open on it, by name."""
    columns = tables.hosts.c
    return {
        row.name: row.connections_at
        for row in connection.execute(select(columns.name, columns.connections_at))
    }
