"""No organization without somebody who can decide in it: the one place that sees to it.

Whatever takes an owner or admin away, their role, their account or what they log in with, does so
in `governed`, in a transaction that holds `directory.lock`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ca.errors import Conflict
from ca.store import directory, members

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Connection

    from ca.store.directory import Requirement
    from ca.store.members import Member

DECIDING = ("owner", "admin")


@contextmanager
def governed(connection: Connection, organization_ids: Iterable[str]) -> Iterator[None]:
    """Make a change after which somebody can still decide in each of these organizations.

    Somebody can who is an owner or admin, not disabled, and has what a login needs to meet the
    organization's requirement. Where nobody could before (people who were just added have no
    password yet), one owner or admin who is not disabled will do.

    Raises:
        Conflict: nobody could; the change must be undone, as by the exception.
    """
    before = {one: _deciding(connection, one) for one in organization_ids}
    yield
    for organization_id, (_present, able) in before.items():
        organization = directory.find_organization(connection, organization_id)
        if organization is None:
            continue  # it is gone itself
        present, still_able = _deciding(connection, organization_id)
        if not (still_able if able else present):
            raise Conflict(
                f"That would take the last admin of {organization.name} away who can log in as it"
                " requires. See to it first that another one can."
            )


def able_admins(connection: Connection, organization_id: str) -> set[str]:
    """The ids of those who can decide in an organization, and meet what it requires."""
    return _deciding(connection, organization_id)[1]


def can_meet(asked: Requirement, member: Member, linked: set[str]) -> bool:
    """Whether somebody has what a login needs that meets `asked`.

    `linked` are the providers at which they have an identity. A second factor alone is not counted
    as a way in: whether a key will verify its person is not known.
    """
    if not (member.password or linked):
        return False
    logins = {value.removeprefix("sso:") for value in asked.amr if value != "mfa"}
    if not logins <= linked:
        return False
    return "mfa" not in asked.amr or member.second_factor


def _deciding(connection: Connection, organization_id: str) -> tuple[set[str], set[str]]:
    """Who decides and is not disabled, and who of them can meet the requirement."""
    asked = directory.requirement(connection, organization_id)
    every = [
        member
        for member in members.members_of(connection, organization_id)
        if member.role in DECIDING and not member.user.disabled
    ]
    linked = members.linked_slugs(connection, [one.user.id for one in every])
    able = {one.user.id for one in every if can_meet(asked, one, linked[one.user.id])}
    return {one.user.id for one in every}, able
