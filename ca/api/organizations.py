"""/organizations: those of the caller, what they are called, and that the operator makes them."""

import time
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from ca.api import gate, references, shapes
from ca.api.extended_access import ORGANIZATIONS
from ca.api.gate import Authenticated
from ca.api.lists import Wanted
from ca.directory import organizations
from ca.directory.access import require_fresh_mfa
from ca.errors import Denied
from ca.services import Given
from ca.store import directory
from ca.store.engine import reading, writing
from sshd_hook.policy import ADMIN, OWNER, VIEWER

router = APIRouter(prefix="/organizations", tags=["Organizations"])


class Change(BaseModel):
    """What is to be otherwise about an organization."""

    model_config = ConfigDict(extra="forbid", strict=True)

    label: str | None = Field(None, max_length=255)
    name: str | None = Field(None, max_length=255)
    """Only the one that it has: files and requirements call it so."""
    country: str | None = Field(None, max_length=255)
    billing_profile_id: str | None = Field(None, max_length=255)
    security_contact: str | None = Field(None, max_length=255)


NOT_KEPT = {"country", "billing_profile_id", "security_contact"}


@router.get("")
def list_organizations(caller: Authenticated, services: Given, wanted: Wanted) -> dict[str, Any]:
    """The caller's organizations. `filter[owner_id]` takes those that somebody owns."""
    with reading(services.engine) as connection:
        mine = directory.memberships(connection, caller.user.id)
        found = directory.find_organizations(connection, mine)
        known = [one for one in found if gate.is_known(connection, caller, one.id)]
        owners = directory.owners(connection, mine)
    items = [shapes.organization(one, owners.get(one.id)) for one in known]
    page = ORGANIZATIONS.page(items, wanted)
    people = [one["owner_id"] for one in page.items if "owner_id" in one]
    links = page.links | references.links(services, caller, "users", people)
    return {"count": page.count, "items": page.items, "_links": links}


@router.post("", status_code=201)
def create_organization(_caller: Authenticated) -> None:
    """Nobody's here: with an organization come hosts, which are the operator's."""
    raise Denied("The operator makes organizations: ask for one (`amrgate-ca apply`).")


@router.get("/{organization_id}")
def get_organization(
    organization_id: str, caller: Authenticated, services: Given
) -> dict[str, Any]:
    """An organization of the caller's, by its id or name."""
    with reading(services.engine) as connection:
        view = gate.organization(connection, caller, organization_id, VIEWER)
        owner = directory.find_owner(connection, view.organization.id)
    return shapes.organization(view.organization, owner)


@router.patch("/{organization_id}")
def update_organization(
    organization_id: str, change: Change, caller: Authenticated, services: Given
) -> dict[str, Any]:
    """Gives an organization another label."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.organization(connection, caller, organization_id, ADMIN)
        said = change.model_dump(include=NOT_KEPT, exclude_none=True)
        shapes.check_unchanged(
            said, shapes.organization(view.organization, None), shapes.NOT_KEPT_HERE
        )
        changed = organizations.change(
            connection, view, name=change.name, label=change.label, actor=caller.user.id
        )
        owner = directory.find_owner(connection, changed.id)
    return shapes.organization(changed, owner)


@router.delete("/{organization_id}", status_code=204)
def delete_organization(organization_id: str, caller: Authenticated, services: Given) -> None:
    """Removes an organization that has nothing left but members."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.organization(connection, caller, organization_id, OWNER)
        require_fresh_mfa(view, caller, OWNER, int(time.time()))
        organizations.remove(connection, view, caller.user.id)
