"""Queries about invitations: who was asked to join an organization, and whether it still counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from ca.store.tables import invitations, users

Grant = tuple[str, str, str]
"""Project, scope, role."""


@dataclass(frozen=True)
class Invitation:
    """Somebody with this address was asked to join."""

    id: str
    organization_id: str
    email: str
    role: str
    grants: tuple[Grant, ...]
    invited_by: str
    created_at: int
    expires_at: int


_COLUMNS = (
    invitations.c.id,
    invitations.c.organization_id,
    invitations.c.email,
    invitations.c.role,
    invitations.c.projects,
    invitations.c.invited_by,
    invitations.c.created_at,
    invitations.c.expires_at,
)


def add(connection: Connection, invitation: Invitation, token_hash: str) -> None:
    """Store a new invitation."""
    connection.execute(
        insert(invitations).values(
            id=invitation.id,
            organization_id=invitation.organization_id,
            email=invitation.email,
            role=invitation.role,
            projects=[list(grant) for grant in invitation.grants],
            invited_by=invitation.invited_by,
            token_hash=token_hash,
            created_at=invitation.created_at,
            expires_at=invitation.expires_at,
        )
    )


def open_in(connection: Connection, organization_id: str, now: int) -> list[Invitation]:
    """An organization's invitations that are neither accepted, withdrawn nor too old."""
    rows = connection.execute(
        select(*_COLUMNS)
        .where(
            invitations.c.organization_id == organization_id,
            invitations.c.ended_at.is_(None),
            invitations.c.expires_at > now,
        )
        .order_by(invitations.c.created_at, invitations.c.id)
    )
    return [_invitation(row) for row in rows]


def newest_to(connection: Connection, organization_id: str, email: str) -> int:
    """When this address was invited there last, whatever became of it; 0 if it never was."""
    query = select(func.max(invitations.c.created_at)).where(
        invitations.c.organization_id == organization_id, invitations.c.email == email
    )
    return connection.execute(query).scalar_one() or 0


def find(connection: Connection, token_hash: str, now: int) -> Invitation | None:
    """The invitation of this link, if it still counts."""
    row = connection.execute(
        select(*_COLUMNS).where(
            invitations.c.token_hash == token_hash,
            invitations.c.ended_at.is_(None),
            invitations.c.expires_at > now,
        )
    ).one_or_none()
    return None if row is None else _invitation(row)


def end(connection: Connection, invitation_id: str, now: int) -> bool:
    """End an invitation; False if it had ended. Of any number of uses at once, one succeeds."""
    result = connection.execute(
        update(invitations)
        .where(
            invitations.c.id == invitation_id,
            invitations.c.ended_at.is_(None),
            invitations.c.expires_at > now,
        )
        .values(ended_at=now)
    )
    return result.rowcount == 1


def note_verified(connection: Connection, user_id: str, now: int) -> None:
    """Note that somebody reads the mailbox of their address."""
    connection.execute(update(users).where(users.c.id == user_id).values(email_verified_at=now))


def _invitation(row: Row[*tuple[Any, ...]]) -> Invitation:
    return Invitation(
        row.id,
        row.organization_id,
        row.email,
        row.role,
        tuple((project, scope, role) for project, scope, role in row.projects),
        row.invited_by,
        row.created_at,
        row.expires_at,
    )
