"""Who could come in on which host: before a change and after it, to say whom it would lock out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ca.directory import read
from ca.directory.governed import can_meet
from ca.store import directory, hosts, members, projects, served, service_users
from ca.store.directory import Requirement
from sshd_hook.policy import CONTRIBUTOR

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from ca.store.directory import Organization


@dataclass(frozen=True)
class Doors:
    """Pairs of a host and the name of somebody with a role that reaches services there.

    Of those in `shut`, they lack what a login needs for one; of those in `open`, for none.
    """

    open: set[tuple[str, str]] = field(default_factory=set)
    shut: set[tuple[str, str]] = field(default_factory=set)


def doors(connection: Connection, names: Iterable[str]) -> Doors:
    """Who could come in to the services of the organizations of these names."""
    found = Doors()
    for name in names:
        organization = directory.find_organization(connection, name)
        if organization is not None:
            _look(connection, organization, found)
    found.open.difference_update(found.shut)
    return found


def _look(connection: Connection, organization: Organization, found: Doors) -> None:
    logins = _Logins(connection, organization)
    for (host, project, kind), asked in _held(connection, organization).items():
        for user_id, roles in projects.grants_in(connection, project).items():
            if read.role_on(kind, roles.items()) >= CONTRIBUTOR and user_id in logins.names:
                side = found.open if logins.can_meet(user_id, asked) else found.shut
                side.add((host, logins.names[user_id]))


def _held(
    connection: Connection, organization: Organization
) -> dict[tuple[str, str, str], Requirement]:
    """What is held against logins by host, project and type of environment, of all services there."""
    every = served.of_organization(connection, organization.id)
    services = [one for one in every if one.environment.active]
    subjects = {subject for one in services for subject in one.subjects}
    required = hosts.requirements_of(connection, subjects)
    found: dict[tuple[str, str, str], set[str]] = {}
    for one in services:
        key = one.host, one.environment.project_id, one.environment.type
        asking = [required[subject] for subject in one.subjects if subject in required]
        held = (part.on_host(reports=one.host_reports).held for part in asking)
        found.setdefault(key, set()).update(value for part in held for value in part.amr)
    return {key: Requirement(tuple(amr)) for key, amr in found.items()}


class _Logins:
    """What members and service users of an organization have to log in with."""

    def __init__(self, connection: Connection, organization: Organization) -> None:
        everybody = members.members_of(connection, organization.id)
        programs = service_users.of_organization(connection, organization.id)
        self._members = {one.user.id: one for one in everybody}
        self._exempt = {one.user.id for one in programs if one.exempt}
        self._linked = members.linked_slugs(connection, self._members)
        users = (*(one.user for one in everybody), *(one.user for one in programs))
        self.names = {user.id: user.username for user in users if not user.disabled}

    def can_meet(self, user_id: str, asked: Requirement) -> bool:
        if user_id in self._members:
            return can_meet(asked, self._members[user_id], self._linked[user_id])
        return not asked.amr or user_id in self._exempt  # a program's token proves nothing
