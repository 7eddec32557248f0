"""Giving people roles in a project, and taking them away.

Clients of this API write a role as one word: "viewer" or "admin" on the project itself, and
"production:contributor" and the like on a type of environment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ca.directory import model
from ca.directory.apply import execute
from ca.directory.apply.diff import Change
from ca.errors import Conflict, InvalidRequest, NotFound
from ca.store import people, projects
from ca.store.items import Item, Items

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from ca.directory.projects import ProjectView
    from ca.store.people import User
    from ca.store.projects import Grants

SCOPES = {
    model.PROJECT_SCOPE: model.PROJECT_ROLES,
    **dict.fromkeys(model.ENVIRONMENT_TYPES, model.ENVIRONMENT_ROLES),
}


def permissions_of(grants: Grants) -> list[str]:
    """Roles as clients read them."""
    return [_word(scope, grants[scope]) for scope in SCOPES if scope in grants]


def grants_of(permissions: Iterable[str]) -> Grants:
    """Roles as clients write them.

    Raises:
        InvalidRequest: there is no such role, there are two for the same thing, or none at all.
    """
    known = {_word(scope, role): (scope, role) for scope in SCOPES for role in SCOPES[scope]}
    grants: Grants = {}
    for permission in permissions:
        if permission not in known:
            raise InvalidRequest(f"permissions: {permission[:64]!a} is none of {', '.join(known)}.")
        scope, role = known[permission]
        if grants.setdefault(scope, role) != role:
            raise InvalidRequest(f"permissions: two roles for {scope}: name one of them.")
    if not grants:
        raise InvalidRequest("permissions: name at least one; to take all away, remove the user.")
    return grants


def add(
    connection: Connection, view: ProjectView, user_id: str, grants: Grants, actor: str
) -> None:
    """Give somebody of the organization roles in its project. The caller holds the lock.

    Raises:
        InvalidRequest: they do not belong to the organization, or are nobody at all.
        Conflict: they have a role there already.
    """
    user = people.find_user(connection, user_id)
    if user is None or not projects.belongs(connection, view.organization.id, user_id):
        # Whoever else is a user here is not told: one answer for both.
        raise InvalidRequest(
            f"user_id: {user_id[:64]!a} is not a member of the organization: invite them first."
        )
    before = projects.grants(connection, view.project.id, user.id)
    if before:
        raise Conflict(f"{user.username} has roles in this project already: change those.")
    _put(connection, view, user, before, grants, actor)


def change(
    connection: Connection, view: ProjectView, user_id: str, grants: Grants, actor: str
) -> None:
    """Give somebody other roles in the place of those that they have; none to take all away.

    The caller holds the lock.

    Raises:
        NotFound: they have none.
    """
    user = people.find_user(connection, user_id)
    before = projects.grants(connection, view.project.id, user_id)
    if user is None or not before:
        raise NotFound("This user has no role in this project.")
    _put(connection, view, user, before, grants, actor)


def _put(  # noqa: PLR0913, PLR0917 whose role where, before and after, and by whom
    connection: Connection,
    view: ProjectView,
    user: User,
    before: Grants,
    after: Grants,
    actor: str,
) -> None:
    changes = [
        Change(
            Item("access", (view.project.id, user.username, scope)),
            {"role": before[scope]} if scope in before else None,
            {"role": after[scope]} if scope in after else None,
        )
        for scope in SCOPES
        if before.get(scope) != after.get(scope)
    ]
    execute.carry_out(connection, Items(connection), changes, actor)


def _word(scope: str, role: str) -> str:
    return role if scope == model.PROJECT_SCOPE else f"{scope}:{role}"
