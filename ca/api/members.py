"""/organizations/{id}/members: who belongs to an organization, and as what."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from ca.api import gate, references
from ca.api.gate import Authenticated
from ca.api.lists import Listing, Wanted
from ca.directory import members
from ca.directory.read import OrganizationView
from ca.errors import InvalidRequest
from ca.services import Given
from ca.store import directory
from ca.store import members as store
from ca.store.engine import reading, writing
from ca.store.members import Member
from sshd_hook.policy import ADMIN, VIEWER

router = APIRouter(prefix="/organizations/{organization_id}/members", tags=["Organization Members"])

MEMBERS = Listing("user_id", ("permissions", "level", "role"))
PERMISSIONS = {
    "owner": ["admin", "members", "projects:create", "projects:list"],
    "admin": ["admin", "members", "projects:create", "projects:list"],
    "viewer": ["projects:list"],
}
"""What clients of this API call a role. They write "admin", or nothing more than the viewer's."""


class Said(BaseModel):
    """What somebody is to be: by `permissions` as clients have them, or by `role`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    permissions: list[str] | None = Field(None, max_length=16)
    role: str | None = Field(None, max_length=16)


class NewMember(Said):
    """Who is to become a member, and what."""

    user_id: str = Field(max_length=36)


@router.get("")
def list_members(
    organization_id: str, caller: Authenticated, services: Given, wanted: Wanted
) -> dict[str, Any]:
    """The organization's members. Its owners and admins also see who has a second factor."""
    with reading(services.engine) as connection:
        view = gate.organization(connection, caller, organization_id, VIEWER)
        found = store.members_of(connection, view.organization.id)
    page = MEMBERS.page([_member(view, one) for one in found], wanted)
    people = [one["user_id"] for one in page.items]
    links = page.links | references.links(services, caller, "users", people)
    return {"count": page.count, "items": page.items, "_links": links}


@router.post("", status_code=201)
def create_member(
    organization_id: str, asked: NewMember, caller: Authenticated, services: Given
) -> dict[str, Any]:
    """Adds somebody from another organization of the caller's; others are invited."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.organization(connection, caller, organization_id, ADMIN)
        made = members.add(connection, view, caller, asked.user_id, role_of(asked))
    return _member(view, made)


@router.get("/{user_id}")
def get_member(
    organization_id: str, user_id: str, caller: Authenticated, services: Given
) -> dict[str, Any]:
    """One member."""
    with reading(services.engine) as connection:
        view = gate.organization(connection, caller, organization_id, VIEWER)
        return _member(view, members.find(connection, view, user_id))


@router.patch("/{user_id}")
def update_member(
    organization_id: str, user_id: str, asked: Said, caller: Authenticated, services: Given
) -> dict[str, Any]:
    """Gives a member another role. Hosts and the API obey it at once."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.organization(connection, caller, organization_id, ADMIN)
        changed = members.change(connection, view, caller, user_id, role_of(asked))
    return _member(view, changed)


@router.delete("/{user_id}", status_code=204)
def delete_member(
    organization_id: str, user_id: str, caller: Authenticated, services: Given
) -> None:
    """Takes a member out, with all roles in the organization's projects. One may leave oneself."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        needed = VIEWER if user_id == caller.user.id else ADMIN
        view = gate.organization(connection, caller, organization_id, needed)
        members.remove(connection, view, caller, user_id)


def role_of(said: Said) -> str:
    """The role that is asked for; viewer if nothing is said.

    Raises:
        InvalidRequest: there is none such.
    """
    if said.role is not None:
        if said.permissions is not None:
            raise InvalidRequest("role, permissions: say one of them.")
        return said.role
    asked = set(said.permissions or ())
    if "admin" in asked and asked <= set(PERMISSIONS["admin"]):
        return "admin"
    if asked <= set(PERMISSIONS["viewer"]):
        return "viewer"
    raise InvalidRequest('permissions: there are "admin", and "projects:list" for a viewer.')


def _member(view: OrganizationView, member: Member) -> dict[str, Any]:
    here = f"/organizations/{view.organization.id}/members/{member.user.id}"
    linked: dict[str, dict[str, str]] = {"self": {"href": here}}
    shown: dict[str, Any] = {}
    if view.role >= ADMIN:
        linked["update"] = {"href": here, "method": "PATCH"}
        linked["delete"] = {"href": here, "method": "DELETE"}
        shown["mfa_enabled"] = member.second_factor
    return {
        "id": member.user.id,
        "user_id": member.user.id,
        "organization_id": view.organization.id,
        "role": member.role,
        "level": "viewer" if member.role == "viewer" else "admin",
        "owner": member.role == "owner",
        "permissions": PERMISSIONS[member.role],
        **shown,
        "_links": linked,
    }
