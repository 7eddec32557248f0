"""/projects/{id}/user-access: who has which roles in a project."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from ca.api import gate, references
from ca.api.gate import Authenticated
from ca.api.lists import Listing, Wanted
from ca.api.shapes import links
from ca.directory import user_access
from ca.directory.projects import ProjectView
from ca.errors import NotFound
from ca.services import Given
from ca.store import directory, projects
from ca.store.engine import reading, writing
from ca.store.projects import Grants
from sshd_hook.policy import ADMIN, VIEWER

router = APIRouter(prefix="/projects/{project_id}/user-access", tags=["User Access"])

LISTING = Listing("user_id", most=200)
MAX_AT_ONCE = 100
STRICT = ConfigDict(extra="forbid", strict=True)

Permissions = Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=16)]


class New(BaseModel):
    """Whom to give which roles."""

    model_config = STRICT

    user_id: Annotated[str, Field(max_length=36)]
    permissions: Permissions
    auto_add_member: bool = False
    """Taken because clients send it: nobody becomes a member but by an invitation."""


class Change(BaseModel):
    """Which roles somebody is to have in the place of others."""

    model_config = STRICT

    permissions: Permissions


@router.get("")
def list_user_access(
    project_id: str, caller: Authenticated, services: Given, wanted: Wanted
) -> dict[str, Any]:
    """Everybody who has a role in a project."""
    with reading(services.engine) as connection:
        view = gate.project(connection, caller, project_id, VIEWER)
        granted = projects.grants_in(connection, view.project.id)
    items = [_item(view, user_id, grants) for user_id, grants in granted.items()]
    page = LISTING.page(items, wanted)
    people = [one["user_id"] for one in page.items]
    named = references.links(services, caller, "users", people)
    return {"items": page.items, "_links": page.links | named}


@router.post("", status_code=204)
def grant_user_access(
    project_id: str,
    asked: Annotated[list[New], Field(max_length=MAX_AT_ONCE)],
    caller: Authenticated,
    services: Given,
) -> None:
    """Gives members of the organization roles in its project: all of them, or nobody."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.project(connection, caller, project_id, ADMIN)
        for one in asked:
            grants = user_access.grants_of(one.permissions)
            user_access.add(connection, view, one.user_id, grants, caller.user.id)


@router.get("/{user_id}")
def get_user_access(
    project_id: str, user_id: str, caller: Authenticated, services: Given
) -> dict[str, Any]:
    """The roles of one user in a project."""
    with reading(services.engine) as connection:
        view = gate.project(connection, caller, project_id, VIEWER)
        grants = projects.grants(connection, view.project.id, user_id)
    if not grants:
        raise NotFound("This user has no role in this project.")
    return _item(view, user_id, grants)


@router.patch("/{user_id}", status_code=204)
def update_user_access(
    project_id: str, user_id: str, change: Change, caller: Authenticated, services: Given
) -> None:
    """Gives somebody other roles in the place of those that they have."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.project(connection, caller, project_id, ADMIN)
        grants = user_access.grants_of(change.permissions)
        user_access.change(connection, view, user_id, grants, caller.user.id)


@router.delete("/{user_id}", status_code=204)
def remove_user_access(
    project_id: str, user_id: str, caller: Authenticated, services: Given
) -> None:
    """Takes all roles in a project away from somebody. Hosts refuse them within a second."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.project(connection, caller, project_id, ADMIN)
        user_access.change(connection, view, user_id, {}, caller.user.id)


def _item(view: ProjectView, user_id: str, grants: Grants) -> dict[str, Any]:
    here = f"/projects/{view.project.id}/user-access/{user_id}"
    linked = links({"self": here})
    if view.role >= ADMIN:
        linked["update"] = {"href": here, "method": "PATCH"}
        linked["delete"] = {"href": here, "method": "DELETE"}
    return {
        "user_id": user_id,
        "project_id": view.project.id,
        "project_title": view.project.title,
        "organization_id": view.organization.id,
        "permissions": user_access.permissions_of(grants),
        "_links": linked,
    }
