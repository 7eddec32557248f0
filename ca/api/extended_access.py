"""/users/{id}/extended-access and /users/{id}/organizations: what the caller may see some of."""

from typing import Any

from fastapi import APIRouter

from ca.api import references, shapes
from ca.api.lists import Listing, Wanted
from ca.api.totp import Oneself
from ca.directory import user_access
from ca.services import Given
from ca.store import directory, projects
from ca.store.engine import reading

router = APIRouter(prefix="/users/{user_id}", tags=["Grants"])

ACCESS = Listing("resource_id", ("resource_type", "organization_id", "permissions"))
ORGANIZATIONS = Listing(
    "id", ("name", "label", "type", "vendor", "status", "owner_id", "created_at", "updated_at")
)


@router.get("/extended-access")
def list_extended_access(caller: Oneself, services: Given, wanted: Wanted) -> dict[str, Any]:
    """The caller's organizations and projects, and their roles there.

    An organization's owner and admins are shown its projects without a role of their own.
    """
    user_id = caller.user.id
    with reading(services.engine) as connection:
        roles = directory.memberships(connection, user_id)
        seen = projects.projects_of(connection, user_id)
        granted = projects.grants_of(connection, user_id)
    items = [
        {
            "user_id": user_id,
            "resource_id": organization,
            "resource_type": "organization",
            "organization_id": organization,
            "permissions": [role],
        }
        for organization, role in roles.items()
    ]
    items += [
        {
            "user_id": user_id,
            "resource_id": project.id,
            "resource_type": "project",
            "organization_id": project.organization_id,
            "permissions": user_access.permissions_of(granted.get(project.id, {})),
        }
        for project in seen
    ]
    page = ACCESS.page(items, wanted)
    of_projects = [one for one in page.items if one["resource_type"] == "project"]
    named = {
        "projects": [one["resource_id"] for one in of_projects],
        "organizations": [one["organization_id"] for one in page.items],
    }
    links = page.links
    for name, ids in named.items():
        links |= references.links(services, caller, name, ids)
    return {"items": page.items, "_links": links}


@router.get("/organizations")
def list_organizations(caller: Oneself, services: Given, wanted: Wanted) -> dict[str, Any]:
    """The organizations of which the caller is a member."""
    with reading(services.engine) as connection:
        roles = directory.memberships(connection, caller.user.id)
        owners = directory.owners(connection, roles)
        found = directory.find_organizations(connection, roles)
    items = [shapes.organization(one, owners.get(one.id)) for one in found]
    page = ORGANIZATIONS.page(items, wanted)
    people = [one["owner_id"] for one in page.items if "owner_id" in one]
    links = page.links | references.links(services, caller, "users", people)
    return {"items": page.items, "_links": links}
