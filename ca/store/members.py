"""Queries about the members of organizations: who they are, and how they could log in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, Select, exists, or_, select, update

from ca.identity.proofs import Proofs, from_fields
from ca.store import tables
from ca.store.people import USER_COLUMNS, User, user_of
from ca.store.sessions import GRANT_IDLE

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Member:
    """Somebody in an organization, and what they have to log in with."""

    user: User
    role: str
    password: bool
    second_factor: bool


@dataclass(frozen=True)
class LiveGrant:
    """A grant session that counts; certificates know it by its `handle`."""

    handle: str
    user_id: str
    proofs: Proofs
    via: str


def members_of(connection: Connection, organization_id: str) -> list[Member]:
    """An organization's members, by user name."""
    mine = tables.members.c.organization_id == organization_id
    rows = connection.execute(_query().where(mine).order_by(tables.users.c.username))
    return [_member(row) for row in rows]


def find_member(connection: Connection, organization_id: str, user_id: str) -> Member | None:
    """The organization's member with this id."""
    members = tables.members.c
    mine = _query().where(members.organization_id == organization_id, members.user_id == user_id)
    row = connection.execute(mine).one_or_none()
    return None if row is None else _member(row)


def organizations_of(connection: Connection, user_id: str) -> list[str]:
    """The ids of the organizations of which somebody is a member."""
    members = tables.members.c
    query = select(members.organization_id).where(members.user_id == user_id)
    return sorted(connection.execute(query).scalars())


def linked_slugs(connection: Connection, user_ids: Iterable[str]) -> dict[str, set[str]]:
    """The providers of single sign-on at which these people have an identity, by person."""
    identities = tables.identities.c
    found: dict[str, set[str]] = {one: set() for one in user_ids}
    rows = connection.execute(
        select(identities.user_id, identities.slug).where(identities.user_id.in_(list(found)))
    )
    for user_id, slug in rows:
        found[user_id].add(slug)
    return found


def is_administered(connection: Connection, user_id: str, admin_id: str) -> bool:
    """Whether somebody is a member where the other is an owner or admin."""
    members, theirs = tables.members.alias(), tables.members.alias()
    query = (
        select(members.c.user_id)
        .join(theirs, theirs.c.organization_id == members.c.organization_id)
        .where(
            members.c.user_id == user_id,
            theirs.c.user_id == admin_id,
            theirs.c.role.in_(("owner", "admin")),
        )
    )
    return connection.execute(query).first() is not None


def grants_in(
    connection: Connection, organization_id: str, user_id: str
) -> list[tuple[str, str, str]]:
    """Project, scope and role of all that somebody may in an organization's projects."""
    access, projects = tables.project_access.c, tables.projects.c
    rows = connection.execute(
        select(access.project_id, access.scope, access.role)
        .join(tables.projects, projects.id == access.project_id)
        .where(projects.organization_id == organization_id, access.user_id == user_id)
        .order_by(access.project_id, access.scope)
    )
    return [(project, scope, role) for project, scope, role in rows]


def live_grants(connection: Connection, user_ids: Iterable[str], now: int) -> list[LiveGrant]:
    """The grant sessions of these people that have not ended."""
    grants = tables.grant_sessions.c
    rows = connection.execute(
        select(grants.handle, grants.user_id, grants.proofs, grants.via).where(
            grants.user_id.in_(list(user_ids)),
            grants.ended_at.is_(None),
            grants.expires_at > now,
            grants.seen_at > now - GRANT_IDLE,
        )
    )
    return [LiveGrant(row.handle, row.user_id, from_fields(row.proofs), row.via) for row in rows]


def remind(
    connection: Connection, organization_id: str, user_id: str, now: int, before: int
) -> bool:
    """Note that a member is reminded now; False if they were since `before`.

    One statement, so that of any number of reminders at once one is sent.
    """
    members = tables.members.c
    result = connection.execute(
        update(tables.members)
        .where(
            members.organization_id == organization_id,
            members.user_id == user_id,
            or_(members.reminded_at.is_(None), members.reminded_at <= before),
        )
        .values(reminded_at=now)
    )
    return result.rowcount == 1


def _query() -> Select[*tuple[Any, ...]]:
    users, totp, keys = tables.users, tables.totp_credentials.c, tables.webauthn_keys.c
    mine = tables.passwords.c.user_id == users.c.id
    password = exists().where(mine)
    second = or_(
        exists().where(totp.user_id == users.c.id), exists().where(keys.user_id == users.c.id)
    )
    return select(
        *USER_COLUMNS,
        tables.members.c.role,
        password.label("password"),
        second.label("second_factor"),
    ).join(tables.members, tables.members.c.user_id == users.c.id)


def _member(row: Row[*tuple[Any, ...]]) -> Member:
    return Member(user_of(row), row.role, bool(row.password), bool(row.second_factor))
