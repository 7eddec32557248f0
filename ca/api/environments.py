"""/projects/{id}/environments: environments, what one connects to in them, and who changes them."""

import hashlib
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from ca.api import gate
from ca.api.gate import Authenticated
from ca.api.shapes import links
from ca.directory import environments as changes
from ca.directory.access import Caller
from ca.directory.projects import ProjectView, known_services
from ca.errors import NotFound
from ca.services import Given
from ca.store import directory, projects
from ca.store.engine import reading, writing
from ca.store.projects import Environment, Service
from sshd_hook.names import parse_service
from sshd_hook.policy import ADMIN, CONTRIBUTOR, VIEWER

router = APIRouter(prefix="/projects/{project_id}/environments", tags=["Environments"])
one = APIRouter(prefix="/{environment_id}")

MAX_FORWARDS = 64
STRICT = ConfigDict(extra="forbid", strict=True)

Text = Annotated[str, Field(max_length=128)]
Forwards = Annotated[list[Text], Field(max_length=MAX_FORWARDS)]
Status = Literal["active", "inactive"]


class NewEnvironment(BaseModel):
    """An environment to be made."""

    model_config = STRICT

    name: Text
    """Its machine name."""
    type: Text
    status: Status = "active"


class EnvironmentChange(BaseModel):
    """What is to be otherwise about an environment; what is left out stays as it is."""

    model_config = STRICT

    type: Text | None = None
    status: Status | None = None


class NewService(BaseModel):
    """An app, or a worker of one, to be made."""

    model_config = STRICT

    app: Text
    worker: Text = ""
    host: Text
    forwards: Forwards = []


class ServiceChange(BaseModel):
    """What is to be otherwise about a service; what is left out stays as it is."""

    model_config = STRICT

    host: Text | None = None
    forwards: Forwards | None = None


# --- environments ---------------------------------------------------------------------------


@router.get("")
def list_environments(
    project_id: str, caller: Authenticated, services: Given
) -> list[dict[str, Any]]:
    """The environments of a project that the caller may see."""
    with reading(services.engine) as connection:
        view = gate.project(connection, caller, project_id, VIEWER)
        every = projects.environments(connection, view.project.id)
        seen = [one for one in every if view.role_on(one.type) >= VIEWER]
        known = known_services(connection, view, caller, seen, int(time.time()))
    return _environments(view, seen, known)


@router.post("", status_code=201)
def create_environment(
    project_id: str, new: NewEnvironment, caller: Authenticated, services: Given
) -> dict[str, Any]:
    """Makes an environment."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.project(connection, caller, project_id, ADMIN)
        made = Environment(view.project.id, new.name, new.type, new.status == "active")
        changes.add_environment(connection, made, caller.user.id)
    return _environments(view, [made], [])[0]


@one.get("")
def get_environment(
    project_id: str, environment_id: str, caller: Authenticated, services: Given
) -> dict[str, Any]:
    """An environment that the caller may see."""
    with reading(services.engine) as connection:
        view, found = gate.environment(connection, caller, project_id, environment_id, VIEWER)
        known = known_services(connection, view, caller, [found], int(time.time()))
    return _environments(view, [found], known)[0]


@one.patch("")
def update_environment(
    project_id: str,
    environment_id: str,
    change: EnvironmentChange,
    caller: Authenticated,
    services: Given,
) -> dict[str, Any]:
    """Gives an environment another type, activates or deactivates it."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view, before = _decided(connection, caller, project_id, environment_id)
        active = before.active if change.status is None else change.status == "active"
        after = replace(before, type=change.type or before.type, active=active)
        changes.change_environment(connection, before, after, caller.user.id)
        known = known_services(connection, view, caller, [after], int(time.time()))
    return _environments(view, [after], known)[0]


@one.delete("", status_code=204)
def delete_environment(
    project_id: str, environment_id: str, caller: Authenticated, services: Given
) -> None:
    """Removes an environment with its services."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        _, found = _decided(connection, caller, project_id, environment_id)
        changes.remove_environment(connection, found, caller.user.id)


@one.get("/deployments/current")
def get_current_deployment(
    project_id: str, environment_id: str, caller: Authenticated, services: Given
) -> dict[str, Any]:
    """What runs in an environment, as far as the caller may know of it."""
    with reading(services.engine) as connection:
        view, found = gate.environment(connection, caller, project_id, environment_id, VIEWER)
        if not found.active:
            raise NotFound("This environment is inactive: nothing runs in it.")
        known = known_services(connection, view, caller, [found], int(time.time()))
    apps = [(_app(service), _worker(service)) for service in known]
    return {
        "id": "current",
        "webapps": {app: {"name": app, "type": ""} for app, worker in apps if not worker},
        "workers": {worker: {"name": worker, "type": ""} for _, worker in apps if worker},
        "services": {},
        "routes": {},
        "_links": links({"self": f"{_href(found)}/deployments/current"}),
    }


def _decided(
    connection: Connection, caller: Caller, project_id: str, name: str
) -> tuple[ProjectView, Environment]:
    """An environment of a project about which the caller decides."""
    view, found = gate.environment(connection, caller, project_id, name, VIEWER)
    gate.project(connection, caller, project_id, ADMIN)
    return view, found


def _environments(
    view: ProjectView, found: Iterable[Environment], known: Iterable[Service]
) -> list[dict[str, Any]]:
    inside: dict[str, list[Service]] = {}
    for service in known:
        inside.setdefault(service.environment, []).append(service)
    return [_environment(view, one, inside.get(one.name, [])) for one in found]


def _environment(
    view: ProjectView, environment: Environment, known: Iterable[Service]
) -> dict[str, Any]:
    linked = {"self": _href(environment), "project": f"/projects/{environment.project_id}"}
    if view.role >= ADMIN:
        linked |= {"#edit": linked["self"], "#delete": linked["self"]}
    if environment.active and view.role_at_service(environment.type) >= CONTRIBUTOR:
        for service in known:
            linked |= _ssh_links(service)
    return {
        "id": environment.name,
        "name": environment.name,
        "machine_name": environment.name,
        "title": environment.name,
        "type": environment.type,
        "status": "active" if environment.active else "inactive",
        "parent": None,
        "project": environment.project_id,
        # Clients keep what runs here for as long as this is the same.
        "head_commit": _fingerprint(known),
        "_links": links(linked),
    }


def _ssh_links(service: Service) -> dict[str, str]:
    """Where to connect to: the service, and its first instance by number."""
    app = _worker(service) or _app(service)
    found = {f"pf:ssh:{app}": f"ssh://{service.name}@{service.host}"}
    if parse_service(f"{service.name}--0"):
        found[f"pf:ssh:{app}:0"] = f"ssh://{service.name}--0@{service.host}"
    return found


def _fingerprint(known: Iterable[Service]) -> str:
    names = "\n".join(sorted(service.name for service in known))
    return hashlib.sha256(names.encode()).hexdigest()[:40]


def _href(environment: Environment) -> str:
    return f"/projects/{environment.project_id}/environments/{environment.name}"


# --- services -------------------------------------------------------------------------------


@one.get("/services")
def list_services(
    project_id: str, environment_id: str, caller: Authenticated, services: Given
) -> list[dict[str, Any]]:
    """The services of an environment as those who decide about it see them."""
    with reading(services.engine) as connection:
        view, found = _decided(connection, caller, project_id, environment_id)
        known = known_services(connection, view, caller, [found], int(time.time()))
    return [_service(service) for service in known]


@one.post("/services", status_code=201)
def create_service(
    project_id: str,
    environment_id: str,
    new: NewService,
    caller: Authenticated,
    services: Given,
) -> dict[str, Any]:
    """Makes a service, on a host where the organization has one already."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view, found = _decided(connection, caller, project_id, environment_id)
        name = changes.service_name(found, new.app, new.worker)
        made = Service(name, found.name, new.host, tuple(new.forwards))
        changes.add_service(connection, view, made, caller.user.id)
    return _service(made)


@one.patch("/services/{app}")
def update_service(  # noqa: PLR0913, PLR0917 three parts of the path
    project_id: str,
    environment_id: str,
    app: str,
    change: ServiceChange,
    caller: Authenticated,
    services: Given,
) -> dict[str, Any]:
    """Moves a service to another host of the organization, or lets it forward elsewhere."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view, found = _decided(connection, caller, project_id, environment_id)
        before = changes.find_service(connection, found, app)
        forwards = before.forwards if change.forwards is None else tuple(change.forwards)
        after = replace(before, host=change.host or before.host, forwards=forwards)
        changes.change_service(connection, view, before, after, caller.user.id)
    return _service(after)


@one.delete("/services/{app}", status_code=204)
def delete_service(
    project_id: str, environment_id: str, app: str, caller: Authenticated, services: Given
) -> None:
    """Removes a service."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        _, found = _decided(connection, caller, project_id, environment_id)
        service = changes.find_service(connection, found, app)
        changes.remove_service(connection, service, caller.user.id)


def _service(service: Service) -> dict[str, Any]:
    worker = _worker(service)
    here = f"/projects/{service.name[:13]}/environments/{service.environment}"
    return {
        "name": service.name,
        "app": _app(service),
        "worker": worker.partition("--")[2],
        "host": service.host,
        "forwards": list(service.forwards),
        "_links": links({"self": f"{here}/services/{worker or _app(service)}"}),
    }


def _app(service: Service) -> str:
    return service.name.split("--")[1]


def _worker(service: Service) -> str:
    """`<app>--<worker>` of a worker's service, nothing of an app's."""
    _, _, rest = service.name.partition("--")
    return rest if "--" in rest else ""


router.include_router(one)
