"""Queries about hosts: joining, what one of them serves, and what it said last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from ca.store import tables
from ca.store.directory import requirement_of
from ca.store.tables import hosts, join_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ca.store.directory import Requirement


@dataclass(frozen=True)
class Host:
    """A machine with sshd. `joined_at` is None until it has joined; `names` are its own."""

    id: str
    name: str
    names: tuple[str, ...]
    joined_at: int | None = None
    seen_at: int | None = None
    acknowledged: tuple[int, str] = (0, "")
    """The version and digest of the bundle that it said it has put in place."""


_COLUMNS = (
    hosts.c.id,
    hosts.c.name,
    hosts.c.names,
    hosts.c.joined_at,
    hosts.c.seen_at,
    hosts.c.acknowledged_version,
    hosts.c.acknowledged_digest,
)


def _host(row: Row[*tuple[Any, ...]]) -> Host:
    acknowledged = (row.acknowledged_version, row.acknowledged_digest)
    return Host(row.id, row.name, tuple(row.names), row.joined_at, row.seen_at, acknowledged)


def all_hosts(connection: Connection) -> list[Host]:
    """Every host, by name."""
    return [_host(row) for row in connection.execute(select(*_COLUMNS).order_by(hosts.c.name))]


def find_host(connection: Connection, name: str) -> Host | None:
    """The host that is called `name`."""
    row = connection.execute(select(*_COLUMNS).where(hosts.c.name == name)).one_or_none()
    return None if row is None else _host(row)


def find_host_by_token(connection: Connection, token_hash: str) -> Host | None:
    """The host whose token this is."""
    row = connection.execute(
        select(*_COLUMNS).where(hosts.c.token_hash == token_hash)
    ).one_or_none()
    return None if row is None else _host(row)


def find_host_by_id(connection: Connection, host_id: str) -> Host | None:
    """The host with this id."""
    row = connection.execute(select(*_COLUMNS).where(hosts.c.id == host_id)).one_or_none()
    return None if row is None else _host(row)


def add_host(connection: Connection, host_id: str, name: str) -> None:
    """Put a host into the directory, which has not joined yet."""
    connection.execute(insert(hosts).values(id=host_id, name=name, names=[name]))


def remove_host(connection: Connection, host_id: str) -> None:
    """Take a host out of the directory: its token is void."""
    connection.execute(delete(hosts).where(hosts.c.id == host_id))


# --- joining --------------------------------------------------------------------------------


def add_join_token(
    connection: Connection, token_hash: str, host_id: str, names: Sequence[str], expires_at: int
) -> None:
    """Store a join token in the place of others for the same host."""
    connection.execute(delete(join_tokens).where(join_tokens.c.host_id == host_id))
    connection.execute(
        insert(join_tokens).values(
            token_hash=token_hash, host_id=host_id, names=list(names), expires_at=expires_at
        )
    )


def spend_join_token(
    connection: Connection, token_hash: str, host_name: str, now: int
) -> tuple[str, tuple[str, ...]] | None:
    """Spend a join token made for `host_name`: the host's id and its names.

    None if it was spent, is too old, was made for another host or never was. One statement, so
    that of any number of uses at once, on any number of nodes, one succeeds.
    """
    named = select(hosts.c.id).where(hosts.c.name == host_name).scalar_subquery()
    row = connection.execute(
        update(join_tokens)
        .where(
            join_tokens.c.token_hash == token_hash,
            join_tokens.c.host_id == named,
            join_tokens.c.used_at.is_(None),
            join_tokens.c.expires_at > now,
        )
        .values(used_at=now)
        .returning(join_tokens.c.host_id, join_tokens.c.names)
    ).one_or_none()
    return None if row is None else (row.host_id, tuple(row.names))


def join(connection: Connection, joined: Host, token_hash: str, public_key: bytes) -> None:
    """Note that a host joined; the token of an earlier time it did so is void."""
    connection.execute(
        update(hosts)
        .where(hosts.c.id == joined.id)
        .values(
            names=list(joined.names),
            token_hash=token_hash,
            public_key=public_key,
            joined_at=joined.joined_at,
            seen_at=joined.seen_at,
            acknowledged_version=0,
            acknowledged_digest="",
        )
    )


def acknowledge(connection: Connection, host_id: str, version: int, digest: str, now: int) -> None:
    """Note which bundle a host has put in place."""
    connection.execute(
        update(hosts)
        .where(hosts.c.id == host_id)
        .values(acknowledged_version=version, acknowledged_digest=digest, seen_at=now)
    )


def touch(connection: Connection, host_id: str, now: int) -> None:
    """Note that a host asked for its policy."""
    connection.execute(update(hosts).where(hosts.c.id == host_id).values(seen_at=now))


# --- what a host serves ---------------------------------------------------------------------


@dataclass(frozen=True)
class Service:
    """A service on a host, with all that is looked up by."""

    name: str
    forwards: tuple[str, ...]
    project: str
    environment_type: str
    organization: str
    max_offline: int


def services_on(connection: Connection, host_name: str) -> list[Service]:
    """The services of a host whose environments are active, by name."""
    services, environments = tables.services, tables.environments
    projects, organizations = tables.projects, tables.organizations
    rows = connection.execute(
        select(
            services.c.name,
            services.c.forwards,
            services.c.project_id,
            environments.c.type,
            projects.c.organization_id,
            organizations.c.max_offline,
        )
        .join(
            environments,
            (environments.c.project_id == services.c.project_id)
            & (environments.c.name == services.c.environment),
        )
        .join(projects, projects.c.id == services.c.project_id)
        .join(organizations, organizations.c.id == projects.c.organization_id)
        .where(services.c.host == host_name, environments.c.active)
        .order_by(services.c.name)
    )
    return [Service(row[0], tuple(row[1]), *row[2:]) for row in rows]


def requirements_on(connection: Connection, host_name: str) -> dict[str, Requirement]:
    """What is required on a host's services, their projects and organizations, by subject."""
    services, projects = tables.services, tables.projects
    on_host = services.c.host == host_name
    projects_there = select(services.c.project_id).where(on_host)
    subjects = (
        select(services.c.name).where(on_host),
        projects_there,
        select(projects.c.organization_id).where(projects.c.id.in_(projects_there)),
    )
    columns = tables.requirements.c
    rows = connection.execute(
        select(
            columns.subject, columns.amr, columns.max_age, columns.networks, columns.device
        ).where(columns.subject.in_(subjects[0].union(*subjects[1:])))
    )
    return {row[0]: requirement_of(*row[1:]) for row in rows}


def access_on(connection: Connection, host_name: str) -> list[tuple[str, str, str, str]]:
    """Project, user id, scope and role of everybody with a role in a project on a host.

    The disabled are left out: they have none.
    """
    services, access, users = tables.services, tables.project_access, tables.users
    projects_there = select(services.c.project_id).where(services.c.host == host_name)
    rows = connection.execute(
        select(access.c.project_id, access.c.user_id, access.c.scope, access.c.role)
        .join(users, users.c.id == access.c.user_id)
        .where(access.c.project_id.in_(projects_there), users.c.disabled_at.is_(None))
        .order_by(access.c.project_id, access.c.user_id, access.c.scope)
    )
    return [tuple(row) for row in rows]
