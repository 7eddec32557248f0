"""The page where people see and change what they log in with."""

import time

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from ca.console import words
from ca.console.browser import session_of, set_cookie
from ca.console.edge import NotLoggedIn, PageRoute
from ca.console.flow import HOME
from ca.console.pages import show
from ca.identity import ceremony, factors, notices, qr, sessions, totp
from ca.identity.factors import Acting, Overview, WrongFirstCode
from ca.identity.proofs import amr_of
from ca.identity.stepup import NONE, Ask, Step, next_step
from ca.oauth.forms import Form
from ca.services import Given, Services
from ca.store.sessions import BrowserSession

router = APIRouter(route_class=PageRoute, prefix=HOME, include_in_schema=False)

_METHODS = {
    "pwd": "your password",
    "otp": "a code of your app",
    "recovery": "a recovery code",
    "hwk": "a security key",
    "swk": "a passkey",
}


@router.get("")
def show_security(services: Given, request: Request) -> Response:
    """What this account logs in with, and how this session did."""
    session, found = logged_in(services, request)
    return show(
        "security.html",
        user=session.user,
        has_totp=found.totp_since is not None,
        has_second=found.has_second_factor,
        since=_day(found.totp_since),
        codes=found.recovery_codes,
        takes_keys=ceremony.site_of(services.settings.issuer) is not None,
        keys=[
            {
                "id": key.id,
                "name": key.name,
                "kind": "synced passkey" if key.backup_eligible else "bound to its device",
                "added": _day(key.created_at),
                "used": _day(key.used_at),
                "fell": _day(key.counter_fell_at),
            }
            for key in found.keys
        ],
        methods=[words.named_by(proof.amr, _METHODS) for proof in session.proofs],
        is_mfa="mfa" in amr_of(session.proofs),
    )


@router.get("/codes")
@router.get("/application/remove")
def show_again() -> Response:
    """Somebody reloads what answered a form, and only a form gets that answer."""
    return RedirectResponse(HOME, 303)


@router.get("/application")
def show_application(services: Given, request: Request) -> Response:
    """Shows a new secret as a QR code, and asks for the first code of it."""
    now = int(time.time())
    session, _found = logged_in(services, request)
    secret = factors.offer_totp(services.engine, services.keys.seal, acting(session), now)
    return _application_page(services, session, secret)


@router.post("/application")
def take_application(services: Given, request: Request, form: Form) -> Response:
    """Takes the application on "Verify & save", and shows the recovery codes, once."""
    now = int(time.time())
    session, _found = logged_in(services, request)
    secret = form.get("secret", "")
    try:
        codes = factors.confirm_totp(
            services.engine,
            services.keys.seal,
            acting(session),
            secret,
            form.get("code", ""),
            now=now,
        )
    except WrongFirstCode as error:
        return _application_page(services, session, secret, error)
    notices.tell(services.settings, session.user, "totp:add")
    return codes_page(services, session, codes, now, added="app")


@router.post("/application/remove")
def remove_application(services: Given, request: Request) -> Response:
    """Forgets the application."""
    now = int(time.time())
    session, _found = logged_in(services, request)
    factors.remove_totp(services.engine, acting(session), now)
    notices.tell(services.settings, session.user, "totp:remove")
    return back(services, session, now)


@router.post("/codes")
def renew_codes(services: Given, request: Request) -> Response:
    """Makes new recovery codes, and shows them, once."""
    now = int(time.time())
    session, _found = logged_in(services, request)
    codes = factors.renew_recovery_codes(services.engine, acting(session), now)
    notices.tell(services.settings, session.user, "recovery:renew")
    return codes_page(services, session, codes, now)


def logged_in(services: Services, request: Request) -> tuple[BrowserSession, Overview]:
    """The session, if its login is complete.

    A session in which the first second factor was set up may look on, but shows none: it was
    complete before there was one.

    Raises:
        NotLoggedIn: there is none.
    """
    session = session_of(services, request, int(time.time()))
    if session is None:
        raise NotLoggedIn
    found = factors.of_user(services.engine, session.user.id)
    second = found.second
    was_there = second.since is not None and second.since <= session.created_at
    if next_step(Ask(), session.proofs, second if was_there else NONE) is not Step.DONE:
        raise NotLoggedIn
    return session, found


def back(services: Services, session: BrowserSession, now: int) -> Response:
    """To the security page, with a new cookie, after a change."""
    response = RedirectResponse(HOME, 303)
    set_cookie(services.settings, response, sessions.renew_cookie(services.engine, session, now))
    return response


def acting(session: BrowserSession) -> Acting:
    """Who changes something of their own in this session."""
    return Acting(session.user.id, session.id, session.proofs)


def _application_page(
    services: Services,
    session: BrowserSession,
    secret: str,
    error: WrongFirstCode | None = None,
) -> Response:
    issuer = services.settings.issuer
    uri = totp.provisioning_uri(secret, session.user.username, issuer)
    return show(
        "application.html",
        status=400 if error else 200,
        user=session.user,
        error=error.message if error else "",
        secret=secret,
        spaced=" ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
        picture=qr.png_base64(uri),
    )


def codes_page(
    services: Services, session: BrowserSession, codes: list[str], now: int, *, added: str = ""
) -> Response:
    """Shows recovery codes, once; `added` is what was set up with them, "app" or "key"."""
    response = show("codes.html", user=session.user, codes=codes, added=added)
    set_cookie(services.settings, response, sessions.renew_cookie(services.engine, session, now))
    return response


def _day(moment: int | None) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment)) if moment is not None else ""
