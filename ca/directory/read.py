"""What `decide` is asked with: roles and requirements as the directory has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

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
    """An organization as one person reaches it.

    `stored` is what it asks of logins, `requirement` what of it is held against one, `reported` all
    of it where some is only reported.
    """

    organization: Organization
    role: int
    stored: directory.Requirement
    requirement: Requirement
    reported: Requirement | None


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
        organization,
        ROLES[role] if role else NO_ROLE,
        stored,
        *terms([stored], providers),
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


def _joined(parts: Iterable[directory.Requirement], providers: frozenset[str]) -> Requirement:
    own = Requirement(providers=providers)  # it asks nothing, but tells whose providers count
    return policy.join((own, *(requirement(part, providers) for part in parts)))


class Terms(NamedTuple):
    """What is held against a login; and all that is asked for, if some of it is only reported."""

    held: Requirement
    reported: Requirement | None


def terms(parts: Iterable[directory.Requirement], providers: frozenset[str]) -> Terms:
    """The strictest of what organization, project and service ask for."""
    every = tuple(parts)
    return Terms(
        _joined((part.held for part in every), providers),
        _joined(every, providers) if any(part.report_only for part in every) else None,
    )


def role_on(environment_type: str, roles: Iterable[tuple[str, str]]) -> int:
    """The role on an environment of somebody who has these pairs of scope and role."""
    reaching = (ROLES[role] for scope, role in roles if scope in (PROJECT_SCOPE, environment_type))
    return max(reaching, default=NO_ROLE)
