"""The page behind an invitation: accepting it as who one is, or signing up with it."""

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from ca.console import flow
from ca.console.edge import NotLoggedIn, PageRoute
from ca.console.flow import Purpose
from ca.console.pages import show
from ca.console.security import logged_in
from ca.directory import invitations
from ca.directory.invitations import InvitationOver, NewAccount, Offer
from ca.errors import CAError, Denied
from ca.http import status_of
from ca.identity.stepup import Step
from ca.oauth.forms import Form
from ca.services import Given, Services
from ca.store import directory
from ca.store.engine import reading, writing
from ca.store.people import User

router = APIRouter(prefix="/invitation", route_class=PageRoute, include_in_schema=False)

Token = Annotated[str, Query(max_length=128)]


@router.get("")
def show_invitation(services: Given, request: Request, token: Token = "") -> Response:
    """Says who invites whom to what. Opening it spends nothing: mail programs open links."""
    with reading(services.engine) as connection:
        offer = invitations.look(connection, token, int(time.time()))
    return _page(services, token, offer, _user(services, request))


@router.post("")
def accept_invitation(services: Given, request: Request, form: Form) -> Response:
    """Makes whoever is logged in a member."""
    session, _found = logged_in(services, request)
    now, token = int(time.time()), form.get("token", "")
    with writing(services.engine) as connection:
        directory.lock(connection)
        offer = invitations.accept(connection, token, session.user, now)
    label = offer.organization.label
    return show("invitation_done.html", user=session.user, label=label, username="")


@router.post("/sign-up")
def sign_up(services: Given, request: Request, form: Form) -> Response:
    """Makes a user of whoever was invited, who then logs in."""
    now, token = int(time.time()), form.get("token", "")
    username, name = form.get("username", "").strip(), form.get("name", "").strip()
    with reading(services.engine) as connection:
        offer = invitations.look(connection, token, now)
    email = offer.invitation.email
    try:
        if _user(services, request) is not None:
            raise Denied("You are logged in: log out to sign up as somebody else.")
        invitations.check_names(username, name)
        argon2 = invitations.hash_password(form.get("password", ""), username, name, email)
        with writing(services.engine) as connection:
            directory.lock(connection)
            account = NewAccount(username, name, argon2)
            invitations.sign_up(connection, token, account, now)
    except InvitationOver:
        raise
    except CAError as error:
        user = _user(services, request)
        return _page(services, token, offer, user, error, username=username, name=name)
    label = offer.organization.label
    return show("invitation_done.html", user=None, label=label, username=username)


@router.get("/sign-up")
def show_sign_up() -> Response:
    """Whoever comes back here by the browser's history has no link any more."""
    return RedirectResponse("/login", 303)


def _user(services: Services, request: Request) -> User | None:
    try:
        return logged_in(services, request)[0].user
    except NotLoggedIn:
        return None


def _page(
    services: Services,
    token: str,
    offer: Offer,
    user: User | None,
    error: CAError | None = None,
    **typed: str,
) -> Response:
    page = Purpose(asked_at=int(time.time()), page=f"/invitation?token={token}")
    return show(
        "invitation.html",
        status=status_of(error) if error else 200,
        user=user,
        token=token,
        error=error.message if error else "",
        label=offer.organization.label,
        inviter=offer.inviter,
        email=offer.invitation.email,
        role=offer.invitation.role,
        projects=[project.title for project in offer.projects],
        is_theirs=user is not None and user.email.lower() == offer.invitation.email,
        has_account=offer.account is not None,
        log_in=flow.page_of(services, page, Step.PASSWORD),
        username=typed.get("username", ""),
        name=typed.get("name", ""),
    )
