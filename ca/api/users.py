"""/users/me, /me and /users/{id}: a live session, and for another address a recent login."""

import time
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from ca.api.gate import Authenticated, AuthenticatedForSSH
from ca.api.shapes import NOT_KEPT_HERE, check_unchanged, moment, names_of
from ca.api.totp import Oneself, acting_of
from ca.directory import people
from ca.identity import factors, letters, mailbox
from ca.services import Given, Services
from ca.store import directory
from ca.store.engine import reading, writing
from ca.store.people import User
from ca.store.projects import Project, projects_of

router = APIRouter(tags=["Users"])
own = APIRouter(prefix="/users/{user_id}")
UNKNOWN_COUNTRY = "ZZ"  # ISO 3166 leaves it to its users
MAX_TEXT = 255  # characters


class Change(BaseModel):
    """What one asks to be otherwise about oneself; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    first_name: str | None = Field(None, max_length=MAX_TEXT)
    last_name: str | None = Field(None, max_length=MAX_TEXT)
    username: str | None = Field(None, max_length=MAX_TEXT)
    email: str | None = Field(None, max_length=MAX_TEXT)
    company: str | None = Field(None, max_length=MAX_TEXT)
    website: str | None = Field(None, max_length=MAX_TEXT)
    picture: str | None = Field(None, max_length=MAX_TEXT)
    country: str | None = Field(None, max_length=MAX_TEXT)


NOT_KEPT = {"company", "website", "picture", "country"}


@router.get("/users/me")
def get_current_user(caller: AuthenticatedForSSH, services: Given) -> dict[str, Any]:
    """The caller."""
    return _user(caller.user, services)


@own.get("")
def get_user(caller: Oneself, services: Given) -> dict[str, Any]:
    """The caller, by id: others are not to be seen."""
    return _user(caller.user, services)


@own.patch("")
def update_user(change: Change, caller: Oneself, services: Given) -> dict[str, Any]:
    """Gives the caller another name: certificates from then on have it.

    Another e-mail address gets a link, and is the caller's once they have followed it.
    """
    shown = _user(caller.user, services)
    said = change.model_dump(exclude_none=True)
    check_unchanged(change.model_dump(include=NOT_KEPT, exclude_none=True), shown, NOT_KEPT_HERE)
    # `apply` knows people by it: whoever took the name that a file will give to somebody else
    # would be given what that one is to have.
    named = change.model_dump(include={"username"}, exclude_none=True)
    check_unchanged(named, shown, "the user name is changed by the operator")
    words = (said.get(field, shown[field]) for field in ("first_name", "last_name"))
    name = " ".join(word for word in words if word)
    people.check_name(name)  # nothing is mailed for what is refused
    address = said.get("email", caller.user.email)
    if address != caller.user.email:
        now = int(time.time())
        token = mailbox.ask_address(services.engine, acting_of(caller), address, now)
        letters.send_proof(services.settings, caller.user, address, token)
        letters.tell_asked_address(services.settings, caller.user, address)
    with writing(services.engine) as connection:
        user = people.rename(connection, caller.user, name)
    return _user(user, services)


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


router.include_router(own)


def _user(user: User, services: Services) -> dict[str, Any]:
    with reading(services.engine) as connection:
        mfa = factors.overview(connection, user.id).has_second_factor
        profile = directory.profile(connection, user.id)
    first, last = names_of(user.name)
    created_at = moment(profile.created_at)
    return {
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "email_verified": profile.email_verified,
        "first_name": first,
        "last_name": last,
        "deactivated": user.disabled,
        "mfa_enabled": mfa,
        "sso_enabled": profile.sso,
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
