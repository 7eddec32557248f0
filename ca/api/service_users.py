"""/organizations/{id}/service-users: users for programs, which log in by API tokens alone."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from ca.api import gate
from ca.api.gate import Authenticated
from ca.api.shapes import links, moment
from ca.directory import service_users
from ca.services import Given
from ca.store import directory
from ca.store import service_users as store
from ca.store.engine import reading, writing
from ca.store.service_users import ServiceUser
from sshd_hook.policy import ADMIN, VIEWER

router = APIRouter(prefix="/organizations/{organization_id}/service-users", tags=["Service Users"])

STRICT = ConfigDict(extra="forbid", strict=True)
Text = Annotated[str, Field(max_length=256)]


class NewServiceUser(BaseModel):
    """What a service user is to be called: by programs, and to people."""

    model_config = STRICT

    username: Text
    name: Text


class ChangedServiceUser(BaseModel):
    """What is to change; what is left out stays."""

    model_config = STRICT

    name: Text | None = None

    exempt: bool | None = None
    """Whether what a login must show does not hold for it: an owner's to say."""


@router.get("")
def list_service_users(
    organization_id: str, caller: Authenticated, services: Given
) -> dict[str, Any]:
    """The organization's service users, by user name."""
    with reading(services.engine) as connection:
        view = gate.organization(connection, caller, organization_id, VIEWER)
        found = store.of_organization(connection, view.organization.id)
    here = f"/organizations/{view.organization.id}/service-users"
    return {"items": [_item(one) for one in found], "_links": links({"self": here})}


@router.post("", status_code=201)
def create_service_user(
    organization_id: str, asked: NewServiceUser, caller: Authenticated, services: Given
) -> dict[str, Any]:
    """Makes a service user. It can do nothing before it is given roles in projects, and a token."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.organization(connection, caller, organization_id, ADMIN)
        made = service_users.add(connection, view, caller, asked.username, asked.name)
    return _item(made)


@router.get("/{user_id}")
def get_service_user(
    organization_id: str, user_id: str, caller: Authenticated, services: Given
) -> dict[str, Any]:
    """One service user."""
    with reading(services.engine) as connection:
        view = gate.organization(connection, caller, organization_id, VIEWER)
        return _item(service_users.find(connection, view, user_id))


@router.patch("/{user_id}")
def change_service_user(
    organization_id: str,
    user_id: str,
    asked: ChangedServiceUser,
    caller: Authenticated,
    services: Given,
) -> dict[str, Any]:
    """Calls a service user otherwise; exempts it, or no longer. Hosts obey within a second."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.organization(connection, caller, organization_id, ADMIN)
        before = service_users.find(connection, view, user_id)
        said = asked.model_dump(exclude_unset=True)
        changes = service_users.change(connection, view, caller, before, **said)
        after = service_users.find(connection, view, user_id)
    service_users.announce(services.engine, services.settings, caller.user.name, changes)
    return _item(after)


@router.delete("/{user_id}", status_code=204)
def delete_service_user(
    organization_id: str, user_id: str, caller: Authenticated, services: Given
) -> None:
    """Removes a service user, with its tokens; sessions and certificates end."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.organization(connection, caller, organization_id, ADMIN)
        gone = service_users.find(connection, view, user_id)
        service_users.remove(connection, view, caller, gone)


def _item(found: ServiceUser) -> dict[str, Any]:
    here = f"/organizations/{found.organization_id}/service-users/{found.user.id}"
    return {
        "id": found.user.id,
        "organization_id": found.organization_id,
        "username": found.user.username,
        "name": found.user.name,
        "exempt": found.exempt,
        "deactivated": found.user.disabled,
        "created_at": moment(found.created_at),
        "last_used_at": None if found.last_used_at is None else moment(found.last_used_at),
        "_links": links({"self": here, "api-tokens": f"/users/{found.user.id}/api-tokens"}),
    }
