"""Projects and environments as one person reaches them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ca.directory import read
from ca.store import directory, hosts, projects
from sshd_hook.policy import ADMIN, NO_ROLE, VIEWER

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ca.store.directory import Organization
    from ca.store.projects import Grant, Project
    from sshd_hook.policy import Requirement


@dataclass(frozen=True)
class ProjectView:
    """A project as one person reaches it."""

    project: Project
    organization: Organization
    member: int
    """Their role in the organization that owns it."""
    grants: tuple[Grant, ...]
    requirement: Requirement
    """The organization's and the project's."""

    @property
    def role(self) -> int:
        """Their role on the project itself: admin, viewer or none.

        The organization's owner and admins decide about its projects. It opens no service to
        them; they may give themselves a role that does, and that is recorded.
        """
        if self.member >= ADMIN or ("project", "admin") in self.grants:
            return ADMIN
        return VIEWER if self.grants else NO_ROLE

    def role_on(self, environment_type: str) -> int:
        """Their role on environments of a type: whether they see and change them."""
        return ADMIN if self.role == ADMIN else self.role_at_service(environment_type)

    def role_at_service(self, environment_type: str) -> int:
        """Their role where they connect to: what hosts are told of them."""
        return read.role_on(environment_type, self.grants)


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
        read.joined(required.values(), providers),
    )
