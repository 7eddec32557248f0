"""Logging in: the browser proves who we are, the loopback port gets the code (RFC 8252, 7636)."""

import hashlib
import os
import secrets
import sys
import webbrowser
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from ca.client import session
from ca.client.place import Place
from ca.client.session import CLIENT_ID, Session
from ca.errors import CAError, NotAuthenticated

WAIT = 600  # seconds that a person may take


@dataclass(frozen=True)
class Wish:
    """What is asked of the login. `anew` asks for every factor, whatever the browser has proved."""

    amr: tuple[str, ...] = ()
    max_age: int | None = None  # seconds
    anew: bool = False

    def parameters(self) -> dict[str, str]:
        """The fields of a request for it, which a browser's and a device's share."""
        wished = {}
        if self.amr:
            wished["amr"] = " ".join(self.amr)
        if self.max_age is not None:
            wished["max_age"] = str(self.max_age)
        return wished


def log_in(place: Place, ca: str, wish: Wish, show: Callable[[str], None]) -> Session:
    """Log in by the browser, and end the login before.

    `show` is called with the address that the person must open.

    Raises:
        CAError: one is not logged in; an earlier login stays as it was.
    """
    from ca.client.loopback import Answers, check_answer

    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(32)
    answers = Answers()
    try:
        show(authorize_url(ca, wish, answers.url, state, verifier))
        code = check_answer(answers.wait(WAIT), state, ca)
        new = session.exchange(ca, code, verifier, answers.url)
        replace_session(place, new)
    except CAError as error:
        answers.end("You are not logged in", error.message)
        raise
    except BaseException:
        answers.end("You are not logged in", "The command in the terminal was stopped.")
        raise
    answers.end("You are logged in", "Go back to your terminal; this page may be closed.")
    return new


def authorize_url(ca: str, wish: Wish, redirect_uri: str, state: str, verifier: str) -> str:
    """The address at which the authority asks the person."""
    challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    parameters = {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": redirect_uri,
        "scope": "offline_access",
        "state": state,
        "code_challenge": challenge.decode(),
        "code_challenge_method": "S256",
        **wish.parameters(),
    }
    if wish.anew:
        parameters["prompt"] = "login"
    return f"{ca}/oauth2/authorize?{urlencode(parameters, quote_via=quote)}"


def open_browser(url: str) -> bool:
    """Open the page where there is a screen. In a terminal alone a text browser would take it."""
    return has_browser() and webbrowser.open(url)


def has_browser() -> bool:
    """Whether a page can be opened where this runs, in front of the person."""
    screens = ("DISPLAY", "WAYLAND_DISPLAY")
    on_mac = sys.platform == "darwin" and not is_remote()
    return on_mac or any(os.environ.get(name) for name in screens)


def is_remote() -> bool:
    """Whether the person sits at another machine, whose browser does not reach our loopback."""
    return any(os.environ.get(name) for name in ("SSH_CONNECTION", "SSH_TTY"))


def replace_session(place: Place, new: Session) -> None:
    """Keep the new login; only then end the one before, so that there is always one."""
    try:
        old: Session | None = session.load(place)
    except NotAuthenticated:
        old = None
    session.save(place, new)
    if old is not None and old.access_token != new.access_token:
        try:
            session.revoke(old)
        except CAError:
            # It ends by itself, and a login that works is not to fail for it.
            return
