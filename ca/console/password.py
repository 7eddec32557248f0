"""The pages about passwords: changing one's own, and choosing a new one by a mailed link."""

import time

from fastapi import APIRouter, Request, Response
from starlette.background import BackgroundTask

from ca.console.browser import browser_of, clear_cookie, remember, visitor_of
from ca.console.edge import PageRoute
from ca.console.flow import HOME
from ca.console.pages import show
from ca.console.security import acting, back, logged_in
from ca.errors import CAError, InvalidRequest, TooManyAttempts
from ca.http import status_of
from ca.identity import accounts, factors, letters, mailbox, passwords
from ca.identity.accounts import WrongPassword
from ca.oauth.forms import Form
from ca.services import Given, Services
from ca.store.engine import reading
from ca.store.people import User, password_hash

router = APIRouter(route_class=PageRoute, include_in_schema=False)

CHANGE = f"{HOME}/password"
NO_REFERRER = {"referrer-policy": "strict-origin"}
"""For pages with a secret in their address. (With "no-referrer" browsers hide the origin of forms.)"""


class WrongPresent(InvalidRequest):
    """What was typed as the present password is not it."""

    def __init__(self) -> None:
        super().__init__("This is not your present password.")


@router.get(CHANGE)
def show_change(services: Given, request: Request) -> Response:
    """Asks for a new password, and for the present one if there is one."""
    session, _found = logged_in(services, request)
    with reading(services.engine) as connection:
        factors.check_may_change(connection, acting(session), int(time.time()))
    return _change_page(services, session.user)


@router.post(CHANGE)
def change(services: Given, request: Request, form: Form) -> Response:
    """Changes the password."""
    now = int(time.time())
    session, _found = logged_in(services, request)
    user = session.user
    with reading(services.engine) as connection:
        factors.check_may_change(connection, acting(session), now)
    try:
        password = _chosen(form)
        if _has_password(services, user):
            browser = browser_of(services.settings, request)
            _user, proof = accounts.check_password(
                services.engine,
                services.keys.seal,
                user.username,
                form.get("present", ""),
                now,
                browser=browser,
                address=visitor_of(request).address,
            )
            accounts.settle(services.engine, user.id, proof, complete=False, browser=browser)
        mailbox.change_password(services.engine, acting(session), password, now)
    except WrongPassword:
        return _change_page(services, user, WrongPresent())
    except (InvalidRequest, TooManyAttempts, passwords.Busy) as error:
        return _change_page(services, user, error)
    letters.tell_new_password(services.settings, user)
    return back(services, session, now)


@router.get("/forgot")
def show_forgot() -> Response:
    """Asks who has forgotten a password."""
    return show("forgot.html", user=None, asked=False)


@router.post("/forgot")
def forgot(services: Given, form: Form) -> Response:
    """Mails a link, if there is somebody to mail it to. The answer says nothing of that.

    It is looked up after the answer was given, so that its time says nothing either.
    """
    response = show("forgot.html", user=None, asked=True)
    name = form.get("username", "")
    response.background = BackgroundTask(_mail_reset, services, name, int(time.time()))
    return response


@router.get("/reset")
def show_reset(services: Given, token: str = "") -> Response:
    """Asks for the new password. The link is not spent by this: mail programs open links."""
    user = mailbox.find_reset(services.engine, token, int(time.time()))
    return _reset_page(user, token)


@router.post("/reset")
def reset(services: Given, request: Request, form: Form) -> Response:
    """Stores the new password, and lets its owner log in with it."""
    now = int(time.time())
    token = form.get("token", "")
    try:
        user = mailbox.reset(services.engine, token, _chosen(form), now)
    except InvalidRequest as error:
        return _reset_page(mailbox.find_reset(services.engine, token, now), token, error)
    response = show("reset_done.html", user=None)
    remember(services, request, response, user, now)
    clear_cookie(services.settings, response)
    response.background = BackgroundTask(letters.tell_new_password, services.settings, user)
    return response


def _mail_reset(services: Services, name: str, now: int) -> None:
    found = mailbox.ask_reset(services.engine, name, now)
    if found is not None:
        letters.send_reset(services.settings, *found)


def _chosen(form: dict[str, str]) -> str:
    password = form.get("password", "")
    if password != form.get("again", ""):
        raise InvalidRequest("The two passwords are not the same. Type the new one twice.")
    return password


def _has_password(services: Services, user: User) -> bool:
    with reading(services.engine) as connection:
        return password_hash(connection, user.id) is not None


def _change_page(services: Services, user: User, error: CAError | None = None) -> Response:
    """Asks for a new password."""
    return show(
        "password.html",
        status=status_of(error) if error else 200,
        user=user,
        has_password=_has_password(services, user),
        error=error.message if error else "",
        at_present=isinstance(error, WrongPresent),
    )


def _reset_page(user: User, token: str, error: CAError | None = None) -> Response:
    response = show(
        "reset.html",
        status=status_of(error) if error else 200,
        user=None,
        username=user.username,
        token=token,
        error=error.message if error else "",
    )
    response.headers.update(NO_REFERRER)
    return response
