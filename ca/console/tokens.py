"""The pages about one's API tokens: listing them, making one, which is shown once, removing one."""

import time

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from ca.console.edge import PageRoute
from ca.console.flow import HOME
from ca.console.pages import show
from ca.console.security import acting, logged_in
from ca.errors import CAError, Conflict, InvalidRequest
from ca.http import status_of
from ca.identity import api_tokens, factors, notices, scopes
from ca.identity.api_tokens import Wish
from ca.identity.scopes import LIMITS
from ca.oauth.forms import Form
from ca.services import Given
from ca.store.api_tokens import ApiToken
from ca.store.engine import reading
from ca.store.sessions import BrowserSession

PATH = f"{HOME}/tokens"
DAYS = (7, 30, 90)
DAY = 86400  # seconds

router = APIRouter(route_class=PageRoute, prefix=PATH, include_in_schema=False)


@router.get("")
def show_tokens(services: Given, request: Request) -> Response:
    """The person's tokens."""
    session, _found = logged_in(services, request)
    found = api_tokens.tokens_of(services.engine, session.user.id, int(time.time()))
    return show("tokens.html", user=session.user, tokens=[_shown(token) for token in found])


@router.get("/new")
def show_new(services: Given, request: Request) -> Response:
    """Asks what a new token is to be called, and how long it shall live."""
    session, _found = logged_in(services, request)
    with reading(services.engine) as connection:
        factors.check_may_change(connection, acting(session), int(time.time()))
    return _new_page(session)


@router.post("/new")
def make_token(services: Given, request: Request, form: Form) -> Response:
    """Makes a token, and shows it, once."""
    now = int(time.time())
    session, _found = logged_in(services, request)
    name = api_tokens.named(form.get("name", ""))
    days, scope = _days(form), form.get("scope", "")
    try:
        wish = Wish(name, days * DAY, scope)
        made = api_tokens.make(services.engine, acting(session), wish, now)
    except (InvalidRequest, Conflict) as error:
        return _new_page(session, name, days, scope, error)
    notices.tell(services.settings, session.user, "api_token:add")
    token = _shown(made.token)
    return show("token.html", user=session.user, token=token, secret=made.secret)


@router.get("/remove")
def show_again() -> Response:
    """Somebody reloads what answered a form, and only a form gets that answer."""
    return RedirectResponse(PATH, 303)


@router.post("/remove")
def remove_token(services: Given, request: Request, form: Form) -> Response:
    """Removes a token."""
    session, _found = logged_in(services, request)
    user = session.user
    api_tokens.remove(services.engine, user.id, form.get("id", ""), user.id, int(time.time()))
    notices.tell(services.settings, user, "api_token:remove")
    return RedirectResponse(PATH, 303)


def _new_page(
    session: BrowserSession,
    name: str = "",
    chosen: int = DAYS[-1],
    scope: str = "",
    error: CAError | None = None,
) -> Response:
    return show(
        "token_new.html",
        status=status_of(error) if error else 200,
        user=session.user,
        error=error.message if error else "",
        name=name,
        days=DAYS,
        chosen=chosen,
        limits=LIMITS,
        scope=scope,
    )


def _days(form: dict[str, str]) -> int:
    """One of DAYS, as it was chosen; 0, which no token may have, for anything else."""
    return next((one for one in DAYS if str(one) == form.get("days")), 0)


def _shown(token: ApiToken) -> dict[str, str]:
    return {
        "id": token.id,
        "name": token.name,
        "may": scopes.in_words(token.scope),
        "made": _day(token.created_at),
        "expires": _day(token.expires_at),
        "used": "" if token.used_at is None else _day(token.used_at),
    }


def _day(moment: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))
