"""The way through a login: what it is for, sealed in the address, and which page comes next.

The pages keep nothing on the server before somebody has logged in, so nobody can fill it up.
"""

import base64
import json
from dataclasses import asdict, dataclass
from urllib.parse import urlencode

from fastapi import Request as HttpRequest

from ca.console.browser import session_of
from ca.errors import CAError, InvalidRequest
from ca.identity.factors import of_user
from ca.identity.proofs import Proofs
from ca.identity.stepup import NONE, Ask, Second, Step, next_step, slug_to_ask
from ca.keys import Seal
from ca.oauth.approval import Device
from ca.oauth.authorize import Request
from ca.services import Services
from ca.store.engine import reading
from ca.store.sessions import BrowserSession
from ca.store.sso import Provider, find_provider

LIFETIME = 600  # seconds from the question to the answer
HOME = "/security"
_SEALED_FOR = "login"


class Elsewhere(Exception):
    """The login is at another step, whose page is at `location`."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


@dataclass(frozen=True)
class Purpose:
    """What a login is for: a client's request, a device's, or else a page of ours.

    `since` is before when a proof is too old for the page. If the login is to begin anew, a
    session counts that began later than `asked_at`, and is not `not_session`, which was there.
    """

    asked_at: int
    request: Request | None = None
    device: Device | None = None
    page: str = HOME
    since: int = 0
    begin_anew: bool = False
    not_session: str = ""

    @property
    def asker(self) -> Request | Device | None:
        """Who asks for the login, if it is not for a page of ours."""
        return self.request or self.device

    @property
    def ask(self) -> Ask:
        """What the login must show."""
        return self.asker.ask if self.asker else Ask(since=self.since)

    @property
    def earliest(self) -> int:
        """Since when a login at a provider counts for this, whoever it is."""
        return max(self.ask.since, self.asked_at if self.begin_anew else 0)

    def takes(self, session: BrowserSession) -> bool:
        """Whether this session may be used."""
        if not self.begin_anew:
            return True
        return session.created_at >= self.asked_at and session.id != self.not_session


def seal(key: Seal, purpose: Purpose) -> str:
    """`purpose` as a parameter that only we can read or make."""
    sealed = key.seal(json.dumps(asdict(purpose)).encode(), _SEALED_FOR)
    return base64.urlsafe_b64encode(sealed).decode()


def unseal(key: Seal, sealed: str, now: int) -> Purpose:
    """Read back what `seal` made. Without any, somebody just wants to log in.

    Raises:
        InvalidRequest: it is not ours, or too old.
    """
    if not sealed:
        return Purpose(asked_at=now)
    try:
        fields = json.loads(key.open(base64.urlsafe_b64decode(sealed), _SEALED_FOR))
    except (CAError, ValueError) as error:
        raise InvalidRequest("This link is not complete. Start the login again.") from error
    if now - fields["asked_at"] > LIFETIME:
        raise InvalidRequest("This page is older than ten minutes. Start the login again.")
    request, device = fields.pop("request"), fields.pop("device")
    return Purpose(
        **fields,
        request=request and Request(**{**request, "amr": tuple(request["amr"])}),
        device=device and Device(**{**device, "amr": tuple(device["amr"])}),
    )


def step_of(services: Services, purpose: Purpose, session: BrowserSession | None) -> Step:
    """What the login still needs."""
    proofs, second = _shown(services, purpose, session)
    step = next_step(purpose.ask, proofs, second)
    if step is Step.SSO and _provider(services, purpose, proofs, second) is None:
        return Step.UNMET
    return step


def provider_of(
    services: Services, purpose: Purpose, session: BrowserSession | None
) -> Provider | None:
    """The provider that the step SSO leads to, if there is one."""
    return _provider(services, purpose, *_shown(services, purpose, session))


def _shown(
    services: Services, purpose: Purpose, session: BrowserSession | None
) -> tuple[Proofs, Second]:
    """What was proved as far as it counts for this, and what the account has."""
    if session is None or not purpose.takes(session):
        return (), NONE
    return session.proofs, of_user(services.engine, session.user.id).second


def _provider(
    services: Services, purpose: Purpose, proofs: Proofs, second: Second
) -> Provider | None:
    with reading(services.engine) as connection:
        return find_provider(connection, slug_to_ask(purpose.ask, proofs, second))


def arrived(
    services: Services, request: HttpRequest, purpose: Purpose, steps: tuple[Step, ...], now: int
) -> tuple[BrowserSession | None, Step]:
    """The browser's session, if there is one, and at which of `steps` its login is.

    Raises:
        Elsewhere: it is at another.
    """
    session = session_of(services, request, now)
    found = step_of(services, purpose, session)
    if found not in steps:
        raise Elsewhere(page_of(services, purpose, found))
    return session, found


def session_at(
    services: Services, request: HttpRequest, purpose: Purpose, step: Step, now: int
) -> BrowserSession:
    """The session whose login is at `step`.

    Raises:
        Elsewhere: it is at another, or there is none.
    """
    session, found = arrived(services, request, purpose, (step,), now)
    if session is None:
        raise Elsewhere(page_of(services, purpose, found))
    return session


def page_of(services: Services, purpose: Purpose, step: Step) -> str:
    """Where a browser goes for `step`."""
    if step is Step.DONE and purpose.asker is None:
        return purpose.page
    path = {
        Step.PASSWORD: "/login",
        Step.SSO: "/login/sso",
        Step.SECOND: "/login/code",
        Step.ENROL: "/login/missing",
        Step.UNMET: "/login/missing",
        Step.DONE: "/consent" if purpose.request else "/device/confirm",
    }[step]
    return f"{path}?{urlencode({'for': seal(services.keys.seal, purpose)})}"
