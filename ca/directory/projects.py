"""Projects, and the services in them, as one person reaches them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ca.directory import read
from ca.directory.model import PROJECT_SCOPE
from ca.store import directory, hosts, projects, service_users
from sshd_hook.policy import ADMIN, NO_ACCESS, NO_ROLE, VIEWER, Access, decide, join

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from ca.directory.access import Caller
    from ca.store.directory import Organization
    from ca.store.projects import Environment, Grants, Project, Service
    from sshd_hook.policy import Requirement


@dataclass(frozen=True)
class ProjectView:
    """A project as one person reaches it."""

    project: Project
    organization: Organization
    member: int
    """Their role in the organization that owns it."""
    grants: Grants
    requirement: Requirement
    """The organization's and the project's, as far as it is held against a login."""
    reported: Requirement | None
    """All that they ask for, where some of it is only reported."""
    exempt: bool
    """Whether they are a service user of the organization that need not meet it."""

    @property
    def role(self) -> int:
        """Their role on the project itself: admin, viewer or none.

        The organization's owner and admins decide about its projects. It opens no service to
        them; they may give themselves a role that does, and that is recorded.
        """
        if self.member >= ADMIN or self.grants.get(PROJECT_SCOPE) == "admin":
            return ADMIN
        return VIEWER if self.grants else NO_ROLE

    def role_on(self, environment_type: str) -> int:
        """Their role on environments of a type: whether they see and change them."""
        return ADMIN if self.role == ADMIN else self.role_at_service(environment_type)

    def role_at_service(self, environment_type: str) -> int:
        """Their role where they connect to: what hosts are told of them."""
        return read.role_on(environment_type, self.grants.items())


def project_for(connection: Connection, project_id: str, user_id: str) -> ProjectView | None:
    """The project with this id, whether or not the user may see it."""
    found = projects.find_project(connection, project_id)
    if found is None:
        return None
    project, owner = found
    member = directory.member_role(connection, owner.id, user_id)
    required = hosts.requirements_of(connection, (owner.id, project.id))
    providers = directory.providers(connection, [owner.id])[owner.id]
    return ProjectView(
        project,
        owner,
        read.ROLES[member] if member else NO_ROLE,
        projects.grants(connection, project.id, user_id),
        *read.terms(required.values(), providers),
        service_users.is_exempt(connection, owner.id, user_id),
    )


def known_services(
    connection: Connection,
    view: ProjectView,
    caller: Caller,
    environments: Iterable[Environment],
    now: int,
) -> list[Service]:
    """The services in these environments of a project that the caller may know of, by name.

    Those whose own requirement names other networks than the caller's are none to them.
    """
    types = {one.name: one.type for one in environments}
    every = projects.services(connection, view.project.id)
    found = [one for one in every if one.environment in types]
    required = hosts.requirements_of(connection, [one.name for one in found])
    return [
        one
        for one in found
        if _is_known(view, caller, types[one.environment], required.get(one.name), now)
    ]


def _is_known(
    view: ProjectView,
    caller: Caller,
    environment_type: str,
    own: directory.Requirement | None,
    now: int,
) -> bool:
    required = view.requirement
    if own is not None:
        required = join((required, read.requirement(own.held, required.providers)))
    access = Access(view.role_on(environment_type), VIEWER)
    return decide(required, access, caller.claims, caller.address, now).outcome != NO_ACCESS
