"""Who belongs to an organization, and as what. The caller holds `directory.lock`.

Nobody gives, changes or takes away a role above their own. A change here is one that `apply`
could make as well: it is carried out and recorded by the same functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ca.directory.apply import execute
from ca.directory.apply.diff import Change
from ca.directory.model import MEMBER_ROLES
from ca.directory.read import ROLES
from ca.errors import Conflict, Denied, InvalidRequest, NotFound
from ca.store import members, people
from ca.store.items import Item, Items
from sshd_hook.policy import ADMIN

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ca.directory.access import Caller
    from ca.directory.read import OrganizationView
    from ca.store.members import Member
    from ca.store.people import User


def find(connection: Connection, view: OrganizationView, user_id: str) -> Member:
    """The organization's member with this id.

    Raises:
        NotFound: it has none such.
    """
    found = members.find_member(connection, view.organization.id, user_id)
    if found is None:
        raise NotFound("There is no such member.")
    return found


def add(
    connection: Connection, view: OrganizationView, caller: Caller, user_id: str, role: str
) -> Member:
    """Make somebody a member whom the caller knows as an admin of another organization.

    Others are invited: they say themselves whether they want to be here.

    Raises:
        InvalidRequest: the caller does not know them so, or they are nobody.
        Denied: the role is above the caller's.
        Conflict: they are a member.
    """
    check_may_give(view, role)
    user = people.find_user(connection, user_id)
    if user is None or not members.is_administered(connection, user_id, caller.user.id):
        # Whoever else is a user here is not told: one answer for both.
        raise InvalidRequest(
            f"user_id: {user_id[:64]!a} is a member of no organization of yours: invite them."
        )
    if members.find_member(connection, view.organization.id, user_id) is not None:
        raise Conflict(f"{user.username} is a member already.")
    join(connection, view.organization.name, user, role, caller.user.id)
    return find(connection, view, user_id)


def join(  # noqa: PLR0913, PLR0917 who joins what, as what, with what, by whom
    connection: Connection,
    organization: str,
    user: User,
    role: str,
    actor: str,
    grants: tuple[tuple[str, str, str], ...] = (),
) -> None:
    """Make a user a member of the organization of this name.

    `grants` are roles in its projects: project, scope, role.
    """
    changes = [Change(_member(organization, user), None, {"role": role})]
    changes += [Change(_access(user, *where), None, {"role": what}) for *where, what in grants]
    execute.carry_out(connection, Items(connection), changes, actor)


def change(
    connection: Connection, view: OrganizationView, caller: Caller, user_id: str, role: str
) -> Member:
    """Give a member another role.

    Raises:
        NotFound: there is no such member.
        Denied: their role, or the new one, is above the caller's.
        Conflict: nobody would be left who can decide.
    """
    before = find(connection, view, user_id)
    check_may_give(view, before.role)
    check_may_give(view, role)
    if role != before.role:
        item = _member(view.organization.name, before.user)
        changes = [Change(item, {"role": before.role}, {"role": role})]
        execute.carry_out(connection, Items(connection), changes, caller.user.id)
    return find(connection, view, user_id)


def remove(connection: Connection, view: OrganizationView, caller: Caller, user_id: str) -> None:
    """Take a member out, with their roles in the organization's projects. One may leave oneself.

    Raises:
        NotFound: there is no such member.
        Denied: the caller is less than they are, or no admin.
        Conflict: nobody would be left who can decide.
    """
    gone = find(connection, view, user_id)
    if user_id != caller.user.id:
        check_may_give(view, gone.role)
    granted = members.grants_in(connection, view.organization.id, user_id)
    changes = [Change(_member(view.organization.name, gone.user), {"role": gone.role}, None)]
    changes += [
        Change(_access(gone.user, *where), {"role": what}, None) for *where, what in granted
    ]
    execute.carry_out(connection, Items(connection), changes, caller.user.id)


def check_may_give(view: OrganizationView, role: str) -> None:
    """Go on only if `role` is one that the caller, whose view it is, may give and take.

    Raises:
        InvalidRequest: there is no such role.
        Denied: it is above theirs, or they may give none.
    """
    if role not in MEMBER_ROLES:
        raise InvalidRequest(f"role: {role[:64]!a} is none of {', '.join(MEMBER_ROLES)}.")
    if view.role < max(ADMIN, ROLES[role]):
        raise Denied(
            f"Your role in this organization allows nothing that has to do with the role {role}."
        )


def _member(organization: str, user: User) -> Item:
    return Item("member", (organization, user.username))


def _access(user: User, project: str, scope: str) -> Item:
    return Item("access", (project, user.username, scope))
