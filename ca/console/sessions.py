"""The page where people see where they are logged in, and end it."""

import time

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from ca.console import words
from ca.console.edge import PageRoute
from ca.console.flow import HOME
from ca.console.pages import show
from ca.console.security import acting, logged_in
from ca.identity import own_sessions
from ca.oauth.forms import Form
from ca.services import Given
from ca.store.session_list import BROWSER, Listed
from ca.words import device

PATH = f"{HOME}/sessions"

router = APIRouter(route_class=PageRoute, prefix=PATH, include_in_schema=False)


@router.get("")
def show_sessions(services: Given, request: Request) -> Response:
    """The person's sessions."""
    now = int(time.time())
    session, _found = logged_in(services, request)
    found = own_sessions.sessions_of(services.engine, session.user.id, now)
    # A person tells their terminals apart by the browser that let them in.
    return show(
        "sessions.html",
        user=session.user,
        browsers=[_shown(one, session.id, now) for one in found if one.kind == BROWSER],
        clients=[_shown(one, session.id, now) for one in found if one.kind != BROWSER],
    )


@router.get("/end")
@router.get("/end-others")
def show_again() -> Response:
    """Somebody reloads what answered a form, and only a form gets that answer."""
    return RedirectResponse(PATH, 303)


@router.post("/end")
def end_session(services: Given, request: Request, form: Form) -> Response:
    """Ends one."""
    session, _found = logged_in(services, request)
    own_sessions.end(services.engine, acting(session), form.get("id", ""), int(time.time()))
    return RedirectResponse(PATH, 303)


@router.post("/end-others")
def end_others(services: Given, request: Request) -> Response:
    """Ends all but the present one."""
    session, _found = logged_in(services, request)
    own_sessions.end_others(services.engine, acting(session), int(time.time()))
    return RedirectResponse(PATH, 303)


def _shown(one: Listed, present: str, now: int) -> dict[str, object]:
    return {
        "id": one.id,
        "client": one.client_id,
        "device": device(one.user_agent),
        "browser": device(one.browser),
        "address": one.address,
        "methods": words.methods(one.proofs),
        "begun": words.age(now - one.created_at),
        "used": words.age(now - one.seen_at),
        "by_device": one.via == "device",
        "token": one.api_token,
        "present": one.id == present,
        "granted_here": one.browser_session_id == present,
    }
