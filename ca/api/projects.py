"""/projects/{id}: a project, and who has which role in it."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from ca.api import gate
from ca.api.gate import Authenticated
from ca.api.shapes import links, moment
from ca.directory import project_changes
from ca.directory.projects import ProjectView
from ca.services import Given
from ca.store import directory
from ca.store.engine import reading, writing
from sshd_hook.policy import ADMIN, VIEWER

router = APIRouter(prefix="/projects/{project_id}", tags=["Projects"])


class Change(BaseModel):
    """What is to be otherwise about a project."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: str = Field(max_length=255)


@router.get("")
def get_project(project_id: str, caller: Authenticated, services: Given) -> dict[str, Any]:
    """A project of which the caller may see some."""
    with reading(services.engine) as connection:
        view = gate.project(connection, caller, project_id, VIEWER)
        owner = directory.find_owner(connection, view.organization.id)
    return _project(view, owner)


@router.patch("")
def update_project(
    project_id: str, change: Change, caller: Authenticated, services: Given
) -> dict[str, Any]:
    """Gives a project another title."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.project(connection, caller, project_id, ADMIN)
        view = project_changes.rename(connection, view, change.title, caller.user.id)
        owner = directory.find_owner(connection, view.organization.id)
    return _project(view, owner)


@router.delete("", status_code=204)
def delete_project(project_id: str, caller: Authenticated, services: Given) -> None:
    """Removes a project with all that is in it. Its organization's owner and admins may."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.project(connection, caller, project_id, ADMIN)
        gate.organization(connection, caller, view.organization.id, ADMIN)
        project_changes.remove(connection, view, caller.user.id)


def _project(view: ProjectView, owner: str | None) -> dict[str, Any]:
    project, here = view.project, f"/projects/{view.project.id}"
    created_at = moment(project.created_at)
    linked = {
        "self": here,
        "environments": f"{here}/environments",
        "user-access": f"{here}/user-access",
        "organization": f"/organizations/{view.organization.id}",
    }
    if view.role >= ADMIN:
        linked["#edit"] = here
    return {
        "id": project.id,
        "title": project.title,
        "description": "",
        "organization": view.organization.id,
        "owner": owner or "",
        "region": "",
        "namespace": "",
        "default_branch": None,
        "status": {"code": "provisioned", "message": ""},
        "created_at": created_at,
        "updated_at": created_at,
        "_links": links(linked),
    }
