"""The page on which a person types the code that a device shows, and decides about it."""

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from ca.console import flow, words
from ca.console.browser import session_of, visitor_of
from ca.console.edge import PageRoute
from ca.console.flow import Purpose
from ca.console.pages import show
from ca.errors import CAError, InvalidRequest, TooManyAttempts
from ca.http import status_of
from ca.identity.stepup import FRESH, Step
from ca.oauth import approval
from ca.oauth.approval import Device, WrongUserCode
from ca.oauth.device import PAGE, written
from ca.oauth.forms import Form
from ca.services import Given, Services
from ca.store.people import User
from ca.store.sessions import BrowserSession

router = APIRouter(route_class=PageRoute, include_in_schema=False)

For = Annotated[str, Query(alias="for")]


@router.get(PAGE)
def show_device(services: Given, request: Request) -> Response:
    """Asks for the code. It takes none from the address: who sends a link must not fill it in."""
    return _code_page(_fresh(services, request, int(time.time())).user)


@router.post(PAGE)
def take_user_code(services: Given, request: Request, form: Form) -> Response:
    """Finds the device, and goes on to what its login has to show."""
    now = int(time.time())
    session = _fresh(services, request, now)
    typed, visitor = form.get("user_code", ""), visitor_of(request)
    try:
        device = approval.take_user_code(services.engine, session, visitor, typed, now)
    except (WrongUserCode, TooManyAttempts) as error:
        return _code_page(session.user, typed, error)
    purpose = Purpose(asked_at=now, device=device)
    step = flow.step_of(services, purpose, session)
    return RedirectResponse(flow.page_of(services, purpose, step), 303)


@router.get(f"{PAGE}/confirm")
def show_confirm(services: Given, request: Request, sealed: For = "") -> Response:
    """Names the device, what it asks and from where, and needs a click."""
    now = int(time.time())
    purpose, device = _purpose_of(services, sealed, now)
    session = flow.session_at(services, request, purpose, Step.DONE, now)
    if session.id != device.session_id:
        return RedirectResponse(PAGE, 303)
    asked = approval.find(services.engine, device, now)
    return show(
        "device_confirm.html",
        user=session.user,
        asked=asked,
        may=words.may(asked.scope),
        wants=words.asked(asked.amr, asked.max_age),
        code=written(device.user_code),
        at=time.strftime("%H:%M:%S", time.gmtime(asked.created_at)),
        ago=words.age(now - asked.created_at),
        sealed=flow.seal(services.keys.seal, purpose),
    )


@router.post(f"{PAGE}/confirm")
def take_confirm(services: Given, request: Request, form: Form) -> Response:
    """Lets the device have its tokens, or not."""
    now = int(time.time())
    purpose, device = _purpose_of(services, form.get("for", ""), now)
    session = session_of(services, request, now)
    if session is not None and session.id == device.session_id:
        if form.get("decision") != "allow":
            approval.deny(services.engine, device, session, now)
            return show("device_done.html", user=session.user, allowed=False)
        if flow.step_of(services, purpose, session) is Step.DONE:
            approval.allow(services.engine, device, session, now)
            return show("device_done.html", user=session.user, allowed=True)
    approval.count_refused(services.engine, device, session.user.id if session else "", now)
    return RedirectResponse(PAGE, 303)


def _fresh(services: Services, request: Request, now: int) -> BrowserSession:
    """The session, whose login is recent.

    Raises:
        Elsewhere: it is not: the way to one that is, and back.
    """
    purpose = Purpose(asked_at=now, page=PAGE, since=now - FRESH)
    return flow.session_at(services, request, purpose, Step.DONE, now)


def _purpose_of(services: Services, sealed: str, now: int) -> tuple[Purpose, Device]:
    purpose = flow.unseal(services.keys.seal, sealed, now)
    if purpose.device is None:
        raise InvalidRequest("There is no device in this link. Type its code again.")
    return purpose, purpose.device


def _code_page(user: User, typed: str = "", error: CAError | None = None) -> Response:
    return show(
        "device.html",
        status=status_of(error) if error else 200,
        user=user,
        typed=typed,
        error=error.message if error else "",
    )
