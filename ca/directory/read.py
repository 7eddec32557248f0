"""What `decide` is asked with: roles and requirements as the directory has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ca.directory.model import PROJECT_SCOPE
from ca.store import directory
from sshd_hook import policy
from sshd_hook.policy import ADMIN, CONTRIBUTOR, NO_ROLE, OWNER, VIEWER, Requirement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from ca.store.directory import Organization

ROLES = {"owner": OWNER, "admin": ADMIN, "contributor": CONTRIBUTOR, "viewer": VIEWER}


@dataclass(frozen=True)
class OrganizationView:
    """An organization as one person reaches it."""

    organization: Organization
    role: int
    stored: directory.Requirement
    requirement: Requirement


def organization_for(
    connection: Connection, id_or_name: str, user_id: str
) -> OrganizationView | None:
    """The organization with this id or name, whether or not the user may see it."""
    organization = directory.find_organization(connection, id_or_name)
    if organization is None:
        return None
    role = directory.member_role(connection, organization.id, user_id)
    stored = directory.requirement(connection, organization.id)
    providers = directory.providers(connection, [organization.id])[organization.id]
    return OrganizationView(
        organization, ROLES[role] if role else NO_ROLE, stored, requirement(stored, providers)
    )


def requirement(stored: directory.Requirement, providers: frozenset[str]) -> Requirement:
    """A requirement as `decide` takes it; `providers` are the organization's own."""
    return Requirement(
        frozenset(stored.amr),
        stored.max_age,
        stored.networks,
        device=stored.device,
        providers=providers,
    )


def joined(parts: Iterable[directory.Requirement], providers: frozenset[str]) -> Requirement:
    """The strictest of what organization, project and service require."""
    own = Requirement(providers=providers)  # it asks nothing, but tells whose providers count
    return policy.join((own, *(requirement(part, providers) for part in parts)))


def role_on(environment_type: str, roles: Iterable[tuple[str, str]]) -> int:
    """The role on an environment of somebody who has these pairs of scope and role."""
    reaching = (ROLES[role] for scope, role in roles if scope in (PROJECT_SCOPE, environment_type))
    return max(reaching, default=NO_ROLE)
