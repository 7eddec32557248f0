"""/users/{id}/api-tokens: for programs of the caller, and of service users whose admin they are."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from ca.api import gate
from ca.api.gate import Authenticated
from ca.api.shapes import moment
from ca.api.totp import acting_of
from ca.directory.access import Caller, require_fresh_mfa
from ca.directory.read import OrganizationView
from ca.errors import Denied, NotFound
from ca.identity import api_tokens, notices
from ca.identity.api_tokens import MAX_LIFETIME, Made, Wish
from ca.identity.proofs import amr_of
from ca.services import Given, Services
from ca.store import directory, service_users
from ca.store.api_tokens import ApiToken
from ca.store.engine import reading, writing
from ca.store.service_users import ServiceUser
from sshd_hook.policy import ADMIN

router = APIRouter(prefix="/users/{user_id}/api-tokens", tags=["API Tokens"])


class NewToken(BaseModel):
    """A token that is asked for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(max_length=256)]

    lifetime: int = MAX_LIFETIME
    """Seconds."""

    scope: Annotated[str, Field(max_length=64)] = ""
    """What it is limited to (`ca.identity.scopes`); nothing, if it may do all that its user may."""


def _visible(user_id: str, caller: Authenticated, services: Given) -> str:
    """The id of the caller, or of a service user whose admin they are: others are not to be seen."""
    if user_id != caller.user.id:
        with reading(services.engine) as connection:
            _administered(connection, caller, user_id)
    return user_id


Owner = Annotated[str, Depends(_visible)]
"""A route's parameter of this type is whose tokens it is about."""


@router.get("")
def list_api_tokens(owner: Owner, services: Given) -> list[dict[str, Any]]:
    """The tokens, the oldest first."""
    found = api_tokens.tokens_of(services.engine, owner, int(time.time()))
    return [_token(token) for token in found]


@router.post("", status_code=201)
def create_api_token(
    user_id: str, caller: Authenticated, services: Given, asked: NewToken
) -> dict[str, Any]:
    """Makes a token, which is shown only now."""
    wish = Wish(api_tokens.named(asked.name), asked.lifetime, asked.scope)
    if user_id == caller.user.id:
        made = _for_oneself(services, caller, wish)
    else:
        made = _for_service_user(services, caller, user_id, wish)
    return {**_token(made.token), "token": made.secret}


@router.get("/{token_id}")
def get_api_token(owner: Owner, token_id: str, services: Given) -> dict[str, Any]:
    """One token."""
    return _token(api_tokens.find(services.engine, owner, token_id, int(time.time())))


@router.delete("/{token_id}", status_code=204)
def delete_api_token(owner: Owner, token_id: str, caller: Authenticated, services: Given) -> None:
    """Removes a token; the sessions and certificates that it was used for end with it."""
    api_tokens.remove(services.engine, owner, token_id, caller.user.id, int(time.time()))
    if owner == caller.user.id and caller.user.kind == "person":
        notices.tell(services.settings, caller.user, "api_token:remove")


def _for_oneself(services: Services, caller: Caller, wish: Wish) -> Made:
    if caller.user.kind != "person":
        raise Denied("The API tokens of a service user are made by its organization's admins.")
    made = api_tokens.make(services.engine, acting_of(caller), wish, int(time.time()))
    notices.tell(services.settings, caller.user, "api_token:add")
    return made


def _for_service_user(services: Services, caller: Caller, user_id: str, wish: Wish) -> Made:
    now = int(time.time())
    with writing(services.engine) as connection:
        view, owner = _administered(connection, caller, user_id)
        require_fresh_mfa(view, caller, ADMIN, now)
        made = api_tokens.make_for(connection, owner.user, caller.user.id, wish, now)
        admins = directory.admins(connection, view.organization.id)
    names = {"user": owner.user.username, "of": view.organization.name}
    notices.tell_admins(services.settings, admins, "api_token:add", who=caller.user.name, **names)
    return made


def _administered(
    connection: Connection, caller: Caller, user_id: str
) -> tuple[OrganizationView, ServiceUser]:
    """The service user with this id, and its organization, of which the caller is an admin.

    Raises:
        NotFound: the caller may not know that there is one.
        InsufficientAuthentication, Denied: they may, but not this.
    """
    missing = NotFound("There is no such user.")
    found = service_users.find(connection, user_id)
    if found is None:
        raise missing
    try:
        view = gate.organization(connection, caller, found.organization_id, ADMIN)
    except NotFound:
        raise missing from None
    return view, found


def _token(token: ApiToken) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "mfa_on_creation": "mfa" in amr_of(token.proofs),
        "scope": token.scope,
        "created_at": moment(token.created_at),
        "updated_at": moment(token.created_at),
        "expires_at": moment(token.expires_at),
        "last_used_at": None if token.used_at is None else moment(token.used_at),
    }
