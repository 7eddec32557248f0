"""/ref/…: what the ids in another answer stand for, behind a link that came with that answer.

Its signature is for whoever was given it, and for an hour: nobody can ask what they like.
"""

import hmac
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Query

from ca.api.gate import Authenticated
from ca.api.shapes import moment, names_of
from ca.directory.access import Caller
from ca.errors import InvalidRequest
from ca.services import Given, Services
from ca.store import directory, people, projects
from ca.store.engine import reading

router = APIRouter(prefix="/ref", tags=["References"])

LIFETIME = 3600  # seconds
IN_ONE_LINK = 100  # ids: some proxies take no more than 4096 bytes of a URL

Ids = Annotated[str, Query(alias="in", max_length=8192)]
Signature = Annotated[str, Query(max_length=128)]


def links(
    services: Services, caller: Caller, name: str, ids: Iterable[str]
) -> dict[str, dict[str, str]]:
    """The links "ref:<name>:<number>" under which `caller` reads what `ids` are."""
    every, until = list(dict.fromkeys(ids)), int(time.time()) + LIFETIME
    found = {}
    for start in range(0, len(every), IN_ONE_LINK):
        listed = ",".join(every[start : start + IN_ONE_LINK])
        signature = _sign(services, caller, name, listed, until)
        href = f"/ref/{name}?in={listed}&sig={signature}"
        found[f"ref:{name}:{start // IN_ONE_LINK}"] = {"href": href}
    return found


def _sign(services: Services, caller: Caller, name: str, listed: str, until: int) -> str:
    said = f"{caller.user.id}\n{name}\n{until}\n{listed}"
    key = services.keys.seal.derive("references")
    digest = hmac.digest(key, said.encode(), "sha256")
    return f"{until}.{urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def _opened(
    services: Services, caller: Caller, name: str, listed: str, signature: str
) -> list[str]:
    """The ids in a link, if it is one of ours, the caller's and not too old."""
    until = signature.partition(".")[0]
    if until.isascii() and until.isdigit() and int(until) > time.time():
        expected = _sign(services, caller, name, listed, int(until))
        if hmac.compare_digest(expected.encode(), signature.encode()):
            return listed.split(",")
    raise InvalidRequest("This link is too old, or is not one that you were given: ask anew.")


@router.get("/users")
def get_users(
    ids: Ids, sig: Signature, caller: Authenticated, services: Given
) -> dict[str, dict[str, Any] | None]:
    """Users by id; null for those who are no more."""
    wanted = _opened(services, caller, "users", ids, sig)
    with reading(services.engine) as connection:
        found = {user.id: user for user in people.find_users(connection, wanted)}
    return {one: _user(found[one]) if one in found else None for one in wanted}


@router.get("/projects")
def get_projects(
    ids: Ids, sig: Signature, caller: Authenticated, services: Given
) -> dict[str, dict[str, Any] | None]:
    """Projects by id; null for those that are no more."""
    wanted = _opened(services, caller, "projects", ids, sig)
    with reading(services.engine) as connection:
        found = {project.id: project for project in projects.find_projects(connection, wanted)}
    return {one: _project(found[one]) if one in found else None for one in wanted}


@router.get("/organizations")
def get_organizations(
    ids: Ids, sig: Signature, caller: Authenticated, services: Given
) -> dict[str, dict[str, Any] | None]:
    """Organizations by id; null for those that are no more."""
    wanted = _opened(services, caller, "organizations", ids, sig)
    with reading(services.engine) as connection:
        found = {one.id: one for one in directory.find_organizations(connection, wanted)}
        owners = directory.owners(connection, wanted)
    return {
        one: _organization(found[one], owners.get(one)) if one in found else None for one in wanted
    }


def _user(user: people.User) -> dict[str, Any]:
    first, last = names_of(user.name)
    return {
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "first_name": first,
        "last_name": last,
        "picture": "",
        # Whose account is protected less is nobody's business but the organization's admins'.
        "mfa_enabled": False,
        "sso_enabled": False,
    }


def _project(project: projects.Project) -> dict[str, Any]:
    created_at = moment(project.created_at)
    return {
        "id": project.id,
        "organization_id": project.organization_id,
        "subscription_id": "",
        "region": "",
        "title": project.title,
        "type": "grid",
        "plan": "",
        "status": "active",
        "invoiced": False,
        "created_at": created_at,
        "updated_at": created_at,
    }


def _organization(one: directory.Organization, owner: str | None) -> dict[str, Any]:
    return {
        "id": one.id,
        "type": "flexible",
        **({"owner_id": owner} if owner else {}),
        "name": one.name,
        "label": one.label,
        "vendor": "",
        "created_at": moment(one.created_at),
        "updated_at": moment(one.created_at),
    }
