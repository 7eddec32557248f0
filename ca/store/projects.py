"""Queries about projects: their environments and services, and who has a role in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, delete, func, insert, select, union

from ca.store import tables
from ca.store.directory import Organization

if TYPE_CHECKING:
    from collections.abc import Iterable

Grants = dict[str, str]
"""Roles of somebody in a project by scope, which is "project" or a type of environment."""


@dataclass(frozen=True)
class Project:
    """What is shown of a project to those who may reach some of it."""

    id: str
    title: str
    organization_id: str
    created_at: int


@dataclass(frozen=True)
class Environment:
    """An environment of a project; `name` is its machine name."""

    project_id: str
    name: str
    type: str
    active: bool


@dataclass(frozen=True)
class Service:
    """What one connects to, and the addresses (host:port) that connections reach through it."""

    name: str
    environment: str
    host: str
    forwards: tuple[str, ...]


_PROJECT = (
    tables.projects.c.id,
    tables.projects.c.title,
    tables.projects.c.organization_id,
    tables.projects.c.created_at,
)


def _project(row: Row[*tuple[Any, ...]]) -> Project:
    return Project(row.id, row.title, row.organization_id, row.created_at)


# --- projects -------------------------------------------------------------------------------


def find_project(connection: Connection, project_id: str) -> tuple[Project, Organization] | None:
    """The project with this id, and the organization that owns it."""
    owners = tables.organizations.c
    row = connection.execute(
        select(
            *_PROJECT,
            owners.name,
            owners.label,
            owners.created_at.label("owner_created_at"),
        )
        .join(tables.organizations, owners.id == tables.projects.c.organization_id)
        .where(tables.projects.c.id == project_id)
    ).one_or_none()
    if row is None:
        return None
    owner = Organization(row.organization_id, row.name, row.label, row.owner_created_at)
    return _project(row), owner


def projects_of(connection: Connection, user_id: str) -> list[Project]:
    """The projects of which somebody may see some: by a role there, or as their organization's
    owner or admin.
    """
    access, members = tables.project_access.c, tables.members.c
    seen = union(
        select(access.project_id).where(access.user_id == user_id),
        select(tables.projects.c.id)
        .join(tables.members, members.organization_id == tables.projects.c.organization_id)
        .where(members.user_id == user_id, members.role.in_(("owner", "admin"))),
    ).subquery()
    rows = connection.execute(
        select(*_PROJECT)
        .join(seen, seen.c.project_id == tables.projects.c.id)
        .order_by(tables.projects.c.id)
    )
    return [_project(row) for row in rows]


def count_projects(connection: Connection, organization_id: str) -> int:
    """How many projects an organization has."""
    mine = tables.projects.c.organization_id == organization_id
    return connection.execute(select(func.count()).where(mine)).scalar_one()


def find_projects(connection: Connection, project_ids: Iterable[str]) -> list[Project]:
    """Those of these projects that there are."""
    wanted = tables.projects.c.id.in_(list(project_ids))
    return [_project(row) for row in connection.execute(select(*_PROJECT).where(wanted))]


# --- environments and services --------------------------------------------------------------


def environments(connection: Connection, project_id: str) -> list[Environment]:
    """A project's environments, by name."""
    columns = tables.environments.c
    rows = connection.execute(
        select(columns.project_id, columns.name, columns.type, columns.active)
        .where(columns.project_id == project_id)
        .order_by(columns.name)
    )
    return [Environment(*row) for row in rows]


def find_environment(connection: Connection, project_id: str, name: str) -> Environment | None:
    """A project's environment of this machine name."""
    columns = tables.environments.c
    row = connection.execute(
        select(columns.project_id, columns.name, columns.type, columns.active).where(
            columns.project_id == project_id, columns.name == name
        )
    ).one_or_none()
    return None if row is None else Environment(*row)


def services(connection: Connection, project_id: str) -> list[Service]:
    """A project's services, by name."""
    columns = tables.services.c
    rows = connection.execute(
        select(columns.name, columns.environment, columns.host, columns.forwards)
        .where(columns.project_id == project_id)
        .order_by(columns.name)
    )
    return [Service(name, where, host, tuple(forwards)) for name, where, host, forwards in rows]


def placements(connection: Connection, organization_id: str) -> dict[str, frozenset[str]]:
    """The hosts that serve an organization, each with all that its services there forward to."""
    columns = tables.services.c
    rows = connection.execute(
        select(columns.host, columns.forwards)
        .join(tables.projects, tables.projects.c.id == columns.project_id)
        .where(tables.projects.c.organization_id == organization_id)
    )
    found: dict[str, frozenset[str]] = {}
    for host, forwards in rows:
        found[host] = found.get(host, frozenset()).union(forwards)
    return found


def count_new_service(connection: Connection, organization_id: str, day: int) -> int:
    """Count one more service that an organization made; return how many that makes on this day.

    The caller holds `directory.lock`.
    """
    counts = tables.new_services
    mine = counts.c.organization_id == organization_id
    query = select(counts.c.made).where(mine, counts.c.day == day)
    made: int = connection.execute(query).scalar_one_or_none() or 0
    connection.execute(delete(counts).where(mine))
    connection.execute(
        insert(counts).values(organization_id=organization_id, day=day, made=made + 1)
    )
    return made + 1


# --- roles ----------------------------------------------------------------------------------


def grants(connection: Connection, project_id: str, user_id: str) -> Grants:
    """Which roles somebody has in a project."""
    columns = tables.project_access.c
    rows = connection.execute(
        select(columns.scope, columns.role)
        .where(columns.project_id == project_id, columns.user_id == user_id)
        .order_by(columns.scope)
    )
    return {row.scope: row.role for row in rows}


def grants_of(connection: Connection, user_id: str) -> dict[str, Grants]:
    """Which roles somebody has in which projects."""
    columns = tables.project_access.c
    rows = connection.execute(
        select(columns.project_id, columns.scope, columns.role).where(columns.user_id == user_id)
    )
    return _gathered(rows)


def grants_in(connection: Connection, project_id: str) -> dict[str, Grants]:
    """Who has which roles in a project, by their ids."""
    columns = tables.project_access.c
    rows = connection.execute(
        select(columns.user_id, columns.scope, columns.role).where(columns.project_id == project_id)
    )
    return _gathered(rows)


def _gathered(rows: Iterable[Row[*tuple[Any, ...]]]) -> dict[str, Grants]:
    found: dict[str, Grants] = {}
    for whose, scope, role in map(tuple, rows):
        found.setdefault(whose, {})[scope] = role
    return found


def belongs(connection: Connection, organization_id: str, user_id: str) -> bool:
    """Whether somebody is a member of an organization, or one of its service users."""
    members, own = tables.members.c, tables.service_users.c
    found = union(
        select(members.user_id).where(
            members.organization_id == organization_id, members.user_id == user_id
        ),
        select(own.user_id).where(own.organization_id == organization_id, own.user_id == user_id),
    )
    return connection.execute(found).first() is not None
