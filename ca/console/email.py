"""The pages about one's e-mail address: asking for another, and proving it by a mailed link."""

import time

from fastapi import APIRouter, Request, Response

from ca.console.edge import PageRoute
from ca.console.flow import HOME
from ca.console.pages import show
from ca.console.password import NO_REFERRER
from ca.console.security import acting, logged_in
from ca.errors import CAError, InvalidRequest, TooManyAttempts
from ca.http import status_of
from ca.identity import factors, letters, mailbox
from ca.oauth.forms import Form
from ca.services import Given
from ca.store.engine import reading
from ca.store.people import User

router = APIRouter(route_class=PageRoute, include_in_schema=False)

CHANGE = f"{HOME}/email"


@router.get(CHANGE)
def show_change(services: Given, request: Request) -> Response:
    """Asks for another address."""
    session, _found = logged_in(services, request)
    with reading(services.engine) as connection:
        factors.check_may_change(connection, acting(session), int(time.time()))
    return _change_page(session.user)


@router.post(CHANGE)
def change(services: Given, request: Request, form: Form) -> Response:
    """Mails a link to the other address, and word of it to the present one."""
    session, _found = logged_in(services, request)
    address = form.get("email", "").strip()
    now = int(time.time())
    try:
        token = mailbox.ask_address(services.engine, acting(session), address, now)
    except (InvalidRequest, TooManyAttempts) as error:
        return _change_page(session.user, address, error)
    letters.send_proof(services.settings, session.user, address, token)
    letters.tell_asked_address(services.settings, session.user, address)
    return show("email_sent.html", user=session.user, address=address)


@router.get("/email")
def show_proof(services: Given, token: str = "") -> Response:
    """Asks whether it is they. The link is not spent by this: mail programs open links."""
    user, address = mailbox.find_address(services.engine, token, int(time.time()))
    response = show(
        "email_proof.html", user=None, username=user.username, address=address, token=token
    )
    response.headers.update(NO_REFERRER)
    return response


@router.post("/email")
def prove(services: Given, form: Form) -> Response:
    """Gives the user the address that they have proved to be theirs."""
    now = int(time.time())
    user, address = mailbox.take_address(services.engine, form.get("token", ""), now)
    letters.tell_new_address(services.settings, user, address)
    return show("email_done.html", user=None, address=address)


def _change_page(user: User, address: str = "", error: CAError | None = None) -> Response:
    return show(
        "email.html",
        status=status_of(error) if error else 200,
        user=user,
        address=address,
        error=error.message if error else "",
    )
