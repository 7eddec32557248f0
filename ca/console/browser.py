"""What a browser brings with it: its cookie, and where the page came from that sent it."""

from fastapi import Request, Response

from ca.errors import Denied
from ca.identity import accounts, sessions
from ca.identity.sessions import Visitor
from ca.services import Services
from ca.settings import Settings
from ca.store.known_browsers import KEPT
from ca.store.people import User
from ca.store.sessions import BrowserSession


def session_of(services: Services, request: Request, now: int) -> BrowserSession | None:
    """The session of the browser's cookie."""
    cookie = request.cookies.get(cookie_name(services.settings), "")
    return sessions.find(services.engine, cookie, now) if cookie else None


def set_cookie(settings: Settings, response: Response, cookie: str) -> None:
    """Give the browser its cookie, until it is closed."""
    response.set_cookie(
        cookie_name(settings),
        cookie,
        path="/",
        secure=settings.secure,
        httponly=True,
        samesite="lax",  # a client's link to the authorization endpoint comes from elsewhere
    )


def clear_cookie(settings: Settings, response: Response) -> None:
    """Take the cookie away."""
    name = cookie_name(settings)
    response.delete_cookie(name, path="/", secure=settings.secure, httponly=True, samesite="lax")


def cookie_name(settings: Settings) -> str:
    """With https, browsers take a name of this kind from nobody but us, not from a subdomain."""
    return "__Host-amrgate" if settings.secure else "amrgate"


def browser_of(settings: Settings, request: Request) -> str:
    """What tells this browser from others before anybody has logged in; "" if it has nothing."""
    return request.cookies.get(f"{cookie_name(settings)}-browser", "")


def set_browser(settings: Settings, response: Response, browser: str) -> None:
    """Let the browser be told from others."""
    response.set_cookie(
        f"{cookie_name(settings)}-browser",
        browser,
        max_age=KEPT,
        path="/",
        secure=settings.secure,
        httponly=True,
        samesite="lax",
    )


def get_away(settings: Settings, request: Request) -> str:
    """What this browser was sent to a provider with."""
    return request.cookies.get(f"{cookie_name(settings)}-away", "")


def set_away(settings: Settings, response: Response, sealed: str) -> None:
    """Let the browser bring this back from a provider, which never sees it."""
    response.set_cookie(
        f"{cookie_name(settings)}-away",
        sealed,
        path="/",
        secure=settings.secure,
        httponly=True,
        samesite="lax",  # it comes back by a link of the provider's
    )


def clear_away(settings: Settings, response: Response) -> None:
    """It came back, and is spent."""
    name = f"{cookie_name(settings)}-away"
    response.delete_cookie(name, path="/", secure=settings.secure, httponly=True, samesite="lax")


def remember(
    services: Services, request: Request, response: Response, user: User, now: int
) -> None:
    """Know this browser as the user's. It gets a new cookie: nobody can have planted that."""
    settings, browser = services.settings, sessions.new_secret()
    accounts.know_browser(
        services.engine, user.id, browser, replaced=browser_of(settings, request), now=now
    )
    set_browser(settings, response, browser)


def visitor_of(request: Request) -> Visitor:
    """What the session's owner will be shown."""
    address = request.client.host if request.client else ""
    return Visitor(request.headers.get("user-agent", ""), address)


def check_same_origin(settings: Settings, request: Request) -> None:
    """Refuse what another site made the browser send.

    Every browser says with a form where the page with it came from. Nothing else needs to be
    kept or compared; who says nothing is not a browser, or hides it.

    Raises:
        Denied: another site, or none was named.
    """
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "same-origin" if origin else "")
    if origin not in (None, settings.issuer) or site != "same-origin":
        raise Denied(
            f"This was not sent from a page of {settings.issuer}. Open that address, and try again."
        )
