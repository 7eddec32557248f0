"""Whom the changes after a version concern, as the database's triggers have noted it.

Triggers, so that no code which changes the directory can forget to say so. A row says of a subject
that it changed after that version: who knows all up to a version asks for what was noted at it or
later. SQLite drops a table's triggers when a migration rebuilds it in batch mode: it must make them
again, as 0006 does. What is returned may be more than whom it concerns, never less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, Table, or_, select, union

from ca.store import tables
from ca.store.tables import directory_changes, revocation_changes

if TYPE_CHECKING:
    from sqlalchemy import Select

EVERYBODY = "*"
"""Among the names: whatever they are called."""


def of_directory(connection: Connection, version: int) -> set[str]:
    """The names of hosts whose bundle may have changed since this version of the directory.

    There may be names of other things among them.
    """
    changed = _subjects(directory_changes, version)
    projects, services, access = tables.projects, tables.services, tables.project_access
    concerned = union(
        changed,
        select(projects.c.id).where(projects.c.organization_id.in_(changed)),
        select(access.c.project_id).where(access.c.user_id.in_(changed)),
    ).subquery()
    there = or_(
        services.c.project_id.in_(select(concerned.c.subject)), services.c.name.in_(changed)
    )
    found = union(changed, select(services.c.host).where(there))
    return set(connection.execute(found).scalars())


def of_revocations(connection: Connection, version: int) -> set[str]:
    """The names of hosts on which somebody has a role whose certificate was revoked since then.

    Any other host refuses that certificate because its user has no role there.
    """
    services, access = tables.services.c, tables.project_access.c
    changed = _subjects(revocation_changes, version)
    projects = select(access.project_id).where(access.user_id.in_(changed))
    everybody = _subjects(revocation_changes, version).where(
        revocation_changes.c.subject == EVERYBODY
    )
    found = union(everybody, select(services.host).where(services.project_id.in_(projects)))
    return set(connection.execute(found).scalars())


def _subjects(table: Table, version: int) -> Select[tuple[str]]:
    return select(table.c.subject).where(table.c.version >= version)
