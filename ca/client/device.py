"""Logging in where there is no browser: a code that is typed on another device (RFC 8628)."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ca import words
from ca.client import login, session, web
from ca.client.login import Wish
from ca.client.place import Place
from ca.client.session import CLIENT_ID, Session
from ca.errors import CAError, NotAuthenticated, Unavailable

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL = 5  # seconds between two polls, where the authority does not say (RFC 8628, section 3.2)
SLOWER = 5  # seconds more after slow_down (section 3.5)
MAX_INTERVAL = 60  # seconds
MAX_LIFETIME = 1800  # seconds
MAX_SHOWN = 200  # characters of a code or an address

ENDINGS = {
    "expired_token": "Nobody typed the code in time: run the command again.",
    "access_denied": "The login was refused on the page: run the command again if that was an error.",
}


@dataclass(frozen=True)
class Offer:
    """What the person needs, and until when it is good, by the clock that only goes forward."""

    user_code: str
    address: str
    device_code: str
    interval: int
    ends_at: float

    def seconds_left(self) -> int:
        """For how long the code can still be typed."""
        return max(0, int(self.ends_at - time.monotonic()))


def log_in(
    place: Place,
    ca: str,
    wish: Wish,
    show: Callable[[Offer], None],
    wait: Callable[[Offer, float], None],
) -> Session:
    """Log in by a code that the person types elsewhere, and end the login before.

    `show` is called once with what to type where; `wait` passes some seconds.

    Raises:
        CAError: one is not logged in; an earlier login stays as it was.
    """
    offer = _ask(ca, wish)
    show(offer)
    new = _poll(ca, offer, wait)
    login.replace_session(place, new)
    return new


def _ask(ca: str, wish: Wish) -> Offer:
    form = {"client_id": CLIENT_ID, "scope": "offline_access", **wish.parameters()}
    answer = web.request("POST", f"{ca}/oauth2/device_authorization", form=form)
    if answer.status >= 400:  # noqa: PLR2004 HTTP's own
        raise web.error_of(answer)
    texts = {name: answer.text(name) for name in ("device_code", "user_code", "verification_uri")}
    for name in ("user_code", "verification_uri"):
        texts[name] = words.safe(texts[name][:MAX_SHOWN])
    # A person is sent there to type a password: to nobody but our own authority.
    if not all(texts.values()) or not texts["verification_uri"].startswith(f"{ca}/"):
        raise Unavailable("The authority's answer names no page of its own: tell its operator.")
    return Offer(
        user_code=texts["user_code"],
        address=texts["verification_uri"],
        device_code=texts["device_code"],
        interval=_whole(answer, "interval", INTERVAL, MAX_INTERVAL),
        ends_at=time.monotonic() + _whole(answer, "expires_in", MAX_LIFETIME, MAX_LIFETIME),
    )


def _poll(ca: str, offer: Offer, wait: Callable[[Offer, float], None]) -> Session:
    """Ask until somebody has decided. A network that fails for a while is no reason to stop."""
    interval = offer.interval
    form = {"grant_type": GRANT_TYPE, "device_code": offer.device_code}
    while offer.seconds_left():
        wait(offer, min(interval, offer.seconds_left() + 1))
        try:
            answer = session.ask_token(ca, form)
        except Unavailable:
            interval = min(interval * 2, MAX_INTERVAL)
            continue
        match answer.text("error"):
            case "":
                return session.from_answer(ca, answer)
            case "authorization_pending":
                pass
            case "slow_down":
                interval += SLOWER
            case error:
                raise _ended(answer, error)
    raise NotAuthenticated(ENDINGS["expired_token"])


def _ended(answer: web.Answer, error: str) -> CAError:
    return NotAuthenticated(ENDINGS.get(error) or f"You are not logged in. {answer.describe()}")


def _whole(answer: web.Answer, name: str, default: int, most: int) -> int:
    value = answer.body.get(name)
    return value if type(value) is int and 0 < value <= most else default
