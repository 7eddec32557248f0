"""/users/me, /me and /users/{id}: they never ask for more than a live session."""

from typing import Any

from fastapi import APIRouter

from ca.api.gate import Authenticated
from ca.api.shapes import moment
from ca.errors import NotFound
from ca.identity import factors
from ca.services import Given
from ca.store import directory
from ca.store.engine import reading
from ca.store.people import User
from ca.store.projects import Project, projects_of

router = APIRouter(tags=["Users"])
UNKNOWN_COUNTRY = "ZZ"  # ISO 3166 leaves it to its users


@router.get("/users/me")
def get_current_user(caller: Authenticated, services: Given) -> dict[str, Any]:
    """The caller."""
    return _user(caller.user, services)


@router.get("/users/{user_id}")
def get_user(user_id: str, caller: Authenticated, services: Given) -> dict[str, Any]:
    """The caller, by id: others are not to be seen."""
    if user_id != caller.user.id:
        raise NotFound("There is no such user.")
    return _user(caller.user, services)


@router.get("/me", deprecated=True)
def get_current_user_deprecated(caller: Authenticated, services: Given) -> dict[str, Any]:
    """The caller, in an older shape, with the projects they may reach some of."""
    user = caller.user
    with reading(services.engine) as connection:
        projects = projects_of(connection, user.id)
    return {
        "id": user.id,
        "uuid": user.id,
        "username": user.username,
        "display_name": user.name,
        "mail": user.email,
        "status": 1,
        "picture": "",
        "has_key": False,
        "ssh_keys": [],
        "roles": [],
        "tickets": {},
        "projects": [_project(project, services.settings.issuer) for project in projects],
    }


def _user(user: User, services: Given) -> dict[str, Any]:
    with reading(services.engine) as connection:
        mfa = factors.overview(connection, user.id).has_second_factor
        created_at = moment(directory.user_created_at(connection, user.id))
    first, _, last = user.name.rpartition(" ")
    return {
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "email_verified": False,
        "first_name": first or last,
        "last_name": last if first else "",
        "deactivated": user.disabled,
        "mfa_enabled": mfa,
        "sso_enabled": False,
        "phone_number_verified": False,
        "namespace": "",
        "picture": "",
        "company": "",
        "website": "",
        "country": UNKNOWN_COUNTRY,
        "created_at": created_at,
        "updated_at": created_at,
    }


def _project(project: Project, issuer: str) -> dict[str, Any]:
    uri = f"{issuer}/projects/{project.id}"
    return {
        "id": project.id,
        "name": project.title,
        "title": project.title,
        "uri": uri,
        "endpoint": uri,
        "status": "active",
        "created_at": moment(project.created_at),
    }
