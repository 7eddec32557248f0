"""Queries about service users: whose they are, and which of them are exempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, func, select

from ca.store import tables
from ca.store.people import USER_COLUMNS, User, user_of

if TYPE_CHECKING:
    from sqlalchemy import Row


@dataclass(frozen=True)
class ServiceUser:
    """A service user; `exempt` frees it, in its organization, from what a login must show."""

    user: User
    organization_id: str
    exempt: bool
    created_at: int
    last_used_at: int | None
    """When it last used one of its tokens, also one that has ended."""


def of_organization(connection: Connection, organization_id: str) -> list[ServiceUser]:
    """An organization's service users, by user name."""
    mine = _query().where(tables.service_users.c.organization_id == organization_id)
    rows = connection.execute(mine.order_by(tables.users.c.username))
    return [_service_user(row) for row in rows]


def find(connection: Connection, user_id: str) -> ServiceUser | None:
    """The service user with this id."""
    row = connection.execute(_query().where(tables.users.c.id == user_id)).one_or_none()
    return None if row is None else _service_user(row)


def is_exempt(connection: Connection, organization_id: str, user_id: str) -> bool:
    """Whether this user is a service user of the organization, and exempt."""
    own = tables.service_users.c
    found = select(own.user_id).where(
        own.user_id == user_id, own.organization_id == organization_id, own.exempt
    )
    return connection.execute(found).first() is not None


def exempt_on(connection: Connection, host_name: str) -> set[tuple[str, str]]:
    """Project and user id of all who are exempt in a project on a host."""
    services, projects, own = tables.services.c, tables.projects.c, tables.service_users.c
    there = select(services.project_id).where(services.host == host_name)
    rows = connection.execute(
        select(projects.id, own.user_id)
        .join(tables.service_users, own.organization_id == projects.organization_id)
        .where(own.exempt, projects.id.in_(there))
    )
    return {(project_id, user_id) for project_id, user_id in rows}


def _query() -> Select[*tuple[Any, ...]]:
    own, tokens = tables.service_users.c, tables.api_tokens.c
    used = select(func.max(tokens.used_at)).where(tokens.user_id == tables.users.c.id)
    return select(
        *USER_COLUMNS,
        tables.users.c.created_at,
        own.organization_id,
        own.exempt,
        used.scalar_subquery().label("last_used_at"),
    ).join(tables.service_users, own.user_id == tables.users.c.id)


def _service_user(row: Row[*tuple[Any, ...]]) -> ServiceUser:
    return ServiceUser(
        user_of(row), row.organization_id, row.exempt, row.created_at, row.last_used_at
    )
