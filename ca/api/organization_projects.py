"""/organizations/{id}/projects: an organization's projects, and new ones."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from ca.api import gate, references
from ca.api.gate import Authenticated
from ca.api.lists import Listing, Wanted
from ca.api.shapes import moment
from ca.directory import organizations
from ca.services import Given
from ca.store import directory, projects
from ca.store.engine import reading, writing
from ca.store.projects import Project
from sshd_hook.policy import ADMIN, VIEWER

router = APIRouter(
    prefix="/organizations/{organization_id}/projects", tags=["Organization Projects"]
)

PROJECTS = Listing("id", ("title", "status", "created_at", "updated_at"))


class NewProject(BaseModel):
    """What a project is to be called. What else clients say of a new one makes no sense here."""

    model_config = ConfigDict(extra="ignore", strict=True)

    title: str | None = Field(None, max_length=255)


@router.get("")
def list_projects(
    organization_id: str, caller: Authenticated, services: Given, wanted: Wanted
) -> dict[str, Any]:
    """The organization's projects of which the caller may see some."""
    with reading(services.engine) as connection:
        view = gate.organization(connection, caller, organization_id, VIEWER)
        seen = projects.projects_of(connection, caller.user.id)
    items = [_project(one) for one in seen if one.organization_id == view.organization.id]
    page = PROJECTS.page(items, wanted)
    named = references.links(services, caller, "projects", [one["id"] for one in page.items])
    return {"count": page.count, "items": page.items, "_links": page.links | named}


@router.post("", status_code=201)
def create_project(
    organization_id: str, asked: NewProject, caller: Authenticated, services: Given
) -> dict[str, Any]:
    """Makes a project, without environments."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.organization(connection, caller, organization_id, ADMIN)
        made = organizations.add_project(connection, view, asked.title, caller.user.id)
    return _project(made)


def _project(project: Project) -> dict[str, Any]:
    here = f"/projects/{project.id}"
    return {
        "id": project.id,
        "organization_id": project.organization_id,
        "title": project.title,
        "type": "grid",
        "plan": "",
        "region": "",
        "default_branch": "",
        "status": "active",
        "subscription_id": "",
        "vendor": "",
        "created_at": moment(project.created_at),
        "updated_at": moment(project.created_at),
        "_links": {"self": {"href": here}, "api": {"href": here}},
    }
