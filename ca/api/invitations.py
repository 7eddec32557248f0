"""/organizations/{id}/invitations: people who were asked by e-mail to join."""

import time
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from ca.api import gate
from ca.api.gate import Authenticated
from ca.api.lists import Listing, Wanted
from ca.api.shapes import moment
from ca.directory import invitations, user_access
from ca.identity import notices
from ca.services import Given
from ca.store import directory
from ca.store import invitations as store
from ca.store.engine import reading, writing
from ca.store.invitations import Invitation
from sshd_hook.policy import ADMIN

router = APIRouter(prefix="/organizations/{organization_id}/invitations", tags=["Invitations"])

INVITATIONS = Listing("id", ("email", "role", "created_at"))
Words = Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=16)]


class NewInvitation(BaseModel):
    """Whom to invite, and what they are to be here."""

    model_config = ConfigDict(extra="forbid", strict=True)

    email: str = Field(max_length=254)
    role: str = Field("viewer", max_length=16)
    projects: dict[Annotated[str, Field(max_length=13)], Words] = Field({}, max_length=100)
    """Roles in projects, as in user-access."""


@router.get("")
def list_invitations(
    organization_id: str, caller: Authenticated, services: Given, wanted: Wanted
) -> dict[str, Any]:
    """The invitations that are open."""
    with reading(services.engine) as connection:
        view = gate.organization(connection, caller, organization_id, ADMIN)
        found = store.open_in(connection, view.organization.id, int(time.time()))
    page = INVITATIONS.page([_invitation(one) for one in found], wanted)
    return {"count": page.count, "items": page.items, "_links": page.links}


@router.post("", status_code=201)
def create_invitation(
    organization_id: str, asked: NewInvitation, caller: Authenticated, services: Given
) -> dict[str, Any]:
    """Sends a link by which somebody joins. Whether they are a user already is not told."""
    now = int(time.time())
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.organization(connection, caller, organization_id, ADMIN)
        made, token = invitations.invite(
            connection, view, caller, asked.email, asked.role, asked.projects, now
        )
    notices.invite(services.settings, made.email, view.organization.label, caller.user, token)
    return _invitation(made)


@router.delete("/{invitation_id}", status_code=204)
def delete_invitation(
    organization_id: str, invitation_id: str, caller: Authenticated, services: Given
) -> None:
    """Withdraws an invitation: its link is worth nothing from then on."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.organization(connection, caller, organization_id, ADMIN)
        invitations.withdraw(connection, view, caller, invitation_id, int(time.time()))


def _invitation(one: Invitation) -> dict[str, Any]:
    roles: dict[str, dict[str, str]] = {}
    for project, scope, role in one.grants:
        roles.setdefault(project, {})[scope] = role
    here = f"/organizations/{one.organization_id}/invitations/{one.id}"
    return {
        "id": one.id,
        "organization_id": one.organization_id,
        "email": one.email,
        "role": one.role,
        "projects": {name: user_access.permissions_of(what) for name, what in roles.items()},
        "invited_by": one.invited_by,
        "created_at": moment(one.created_at),
        "expires_at": moment(one.expires_at),
        "_links": {"delete": {"href": here, "method": "DELETE"}},
    }
