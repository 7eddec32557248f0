"""The gate of the API: who asks, and whether their login opens what they ask for."""

import time
from collections.abc import Iterable
from typing import Annotated

import structlog
from fastapi import Depends, Request, Security
from fastapi.security import SecurityScopes
from sqlalchemy import Connection

from ca.directory import projects, read
from ca.directory.access import Caller, require
from ca.directory.projects import ProjectView
from ca.directory.read import OrganizationView
from ca.errors import Denied, NotAuthenticated, NotFound, NothingShown
from ca.identity import scopes
from ca.identity.scopes import READ, SSH
from ca.oauth.tokens import verify_access_token
from ca.services import Given
from ca.store.engine import reading
from ca.store.projects import Environment, find_environment
from ca.store.sessions import live_session
from sshd_hook.policy import NO_ACCESS, VIEWER, Access, Requirement, decide

log = structlog.get_logger()

SCHEME = "bearer "
NOWHERE = "0.0.0.0"  # noqa: S104 -- nobody's address: in no network that one could require


def bearer_token(request: Request) -> str:
    """The token in the header, which is the only place that we take one from.

    Raises:
        NothingShown: there is none.
    """
    header = request.headers.get("authorization", "")
    if header[: len(SCHEME)].lower() != SCHEME:
        raise NothingShown("Authentication is required: send an access token.")
    return header[len(SCHEME) :].strip(" ")


def authenticate(request: Request, services: Given, also: SecurityScopes) -> Caller:
    """Whose request this is. Their session is looked at each time: what ended opens nothing.

    Of tokens that are limited, READ is enough for each GET, and what `also` names for this route.

    Raises:
        NotAuthenticated: there is no token, or it is not good, or its session is over.
        InsufficientScope: the token is limited to something else.
    """
    now = int(time.time())
    key, issuer = services.keys.token, services.settings.issuer
    token = verify_access_token(key, issuer, bearer_token(request), now)
    with reading(services.engine) as connection:
        session = live_session(connection, token.sid, now, jti=token.jti)
    if session is None or session.user.id != token.sub:
        raise NotAuthenticated("The session of this access token is over: log in again.")
    scopes.check(session.scope, *([READ] if request.method == "GET" else []), *also.scopes)
    return Caller(session.user, session, request.client.host if request.client else NOWHERE)


Authenticated = Annotated[Caller, Depends(authenticate)]
"""A route's parameter of this type is who asks: `def route(caller: Authenticated)`."""

AuthenticatedForSSH = Annotated[Caller, Security(authenticate, scopes=[SSH])]
"""Likewise, where a token for SSH certificates alone is enough."""


def organization(
    connection: Connection, caller: Caller, id_or_name: str, needed: int
) -> OrganizationView:
    """The organization with this id, name or "name=" and name, if role and login open it.

    Raises:
        NotFound: there is none, or the caller may not know that there is.
        InsufficientAuthentication: a login that shows more would open it.
        Denied: the caller may see it, but not do this.
    """
    view = read.organization_for(connection, id_or_name.removeprefix("name="), caller.user.id)
    missing = NotFound("There is no such organization.")
    if view is None:
        raise missing
    denied = Denied("Your role in this organization does not allow this.")
    _pass(caller, view.requirement, view.role, ((VIEWER, missing), (needed, denied)))
    _report(caller, view.reported, Access(view.role, needed), view.organization.name)
    return view


def is_known(connection: Connection, caller: Caller, organization_id: str) -> bool:
    """Whether the caller may know of this organization; how they logged in is not asked."""
    view = read.organization_for(connection, organization_id, caller.user.id)
    if view is None:
        return False
    access, now = Access(view.role, VIEWER), int(time.time())
    decision = decide(view.requirement, access, caller.claims, caller.address, now)
    return decision.outcome != NO_ACCESS


def project(connection: Connection, caller: Caller, project_id: str, needed: int) -> ProjectView:
    """The project with this id, if role and login open it.

    Raises:
        NotFound: there is none, or the caller may not know that there is.
        InsufficientAuthentication: a login that shows more would open it.
        Denied: the caller may see it, but not do this.
    """
    view = projects.project_for(connection, project_id, caller.user.id)
    missing = NotFound("There is no such project.")
    if view is None:
        raise missing
    denied = Denied("Your role in this project does not allow this.")
    steps = ((VIEWER, missing), (needed, denied))
    _pass(caller, view.requirement, view.role, steps, exempt=view.exempt)
    access = Access(view.role, needed, exempt=view.exempt)
    _report(caller, view.reported, access, view.project.id)
    return view


def environment(
    connection: Connection, caller: Caller, project_id: str, name: str, needed: int
) -> tuple[ProjectView, Environment]:
    """A project's environment of this name, if role and login open it.

    Raises:
        NotFound: there is none, or the caller may not know that there is.
        InsufficientAuthentication: a login that shows more would open it.
        Denied: the caller may see it, but not do this.
    """
    view = project(connection, caller, project_id, VIEWER)
    found = find_environment(connection, view.project.id, name)
    missing = NotFound("There is no such environment.")
    if found is None:
        raise missing
    denied = Denied("Your role on this environment does not allow this.")
    steps = ((VIEWER, missing), (needed, denied))
    _pass(caller, view.requirement, view.role_on(found.type), steps, exempt=view.exempt)
    return view, found


def _pass(
    caller: Caller,
    requirement: Requirement,
    role: int,
    steps: Iterable[tuple[int, Exception]],
    *,
    exempt: bool = False,
) -> None:
    """Ask `decide` for each of `steps`: the role that it needs, and what to raise without it."""
    now = int(time.time())
    for needed, otherwise in steps:
        access = Access(role, needed, exempt=exempt)
        require(decide(requirement, access, caller.claims, caller.address, now), otherwise)


def _report(caller: Caller, asked: Requirement | None, access: Access, what: str) -> None:
    """Log what the caller, whom the gate let through, lacks of what is only reported."""
    if asked is not None:
        decision = decide(asked, access, caller.claims, caller.address, int(time.time()))
        if decision.missing:
            missing = ",".join(decision.missing)
            log.info("report_only", user=caller.user.id, of=what, missing=missing)
