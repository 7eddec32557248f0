"""Calls to the API as who is logged in: tokens renewed, a step-up offered where one is asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ca.client import session, web
from ca.client.place import Place
from ca.client.session import Session
from ca.client.terminal import login_command, requirement
from ca.errors import InsufficientAuthentication, NotAuthenticated

UNAUTHORIZED = 401
STEP_UP = "insufficient_user_authentication"  # RFC 9470, section 3
MAX_ASKED = 16  # values of amr in one answer

StepUp = Callable[[InsufficientAuthentication], None]
"""Logs in as the error asks; raises it, or another, where that cannot be."""


def refuse(error: InsufficientAuthentication) -> None:
    """The step-up of those who cannot ask a person."""
    raise error


@dataclass(frozen=True)
class Account:
    """Who is logged in."""

    place: Place
    step_up: StepUp

    def session(self) -> Session:
        """The present login, its access token good for a while.

        Raises:
            NotAuthenticated: nobody is logged in, or the login has ended.
        """
        present = session.load(self.place)
        return session.renewed(self.place, present) if session.is_ending(present) else present

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API, and once more after a step-up.

        Returns the JSON of the answer. Raises a CAError for anything but success.
        """
        try:
            return self._call(method, path, body)
        except InsufficientAuthentication as error:
            self.step_up(error)
        return self._call(method, path, body)

    def _call(self, method: str, path: str, body: Any) -> Any:
        present = self.session()
        answer = self._ask(present, method, path, body)
        if answer.status == UNAUTHORIZED and not is_step_up(answer):
            # Revoked, or our clock is wrong: what a new token says holds.
            answer = self._ask(session.renewed(self.place, present), method, path, body)
        if answer.status == UNAUTHORIZED:
            raise step_up_of(answer) if is_step_up(answer) else _unauthorized()
        if answer.status >= 400:  # noqa: PLR2004 HTTP's own
            raise web.error_of(answer)
        return answer.body

    def _ask(self, present: Session, method: str, path: str, body: Any) -> web.Answer:
        return web.request(method, present.ca + path, token=present.access_token, json=body)


def is_step_up(answer: web.Answer) -> bool:
    """Whether this login is good, but not good enough."""
    return STEP_UP in answer.authenticate or answer.text("error") == STEP_UP


def step_up_of(answer: web.Answer) -> InsufficientAuthentication:
    """What the authority asks for; it goes into a command line that people may copy."""
    body = answer.body if isinstance(answer.body, dict) else {}
    amr, max_age = body.get("amr"), body.get("max_age")
    values = amr if isinstance(amr, list) else []
    asked = tuple(value for value in values[:MAX_ASKED] if is_method(value))
    seconds = max_age if type(max_age) is int and max_age > 0 else None
    text = requirement(asked, seconds)
    command = login_command(asked, seconds)
    return InsufficientAuthentication(f"{text} Log in by `{command}`.", asked, seconds)


def is_method(value: object) -> bool:
    """Whether a login can be asked for `value`: "mfa" or "sso:<provider>"."""
    from sshd_hook.names import is_slug

    if not isinstance(value, str):
        return False
    return value == "mfa" or (value.startswith("sso:") and is_slug(value[4:]))


def _unauthorized() -> NotAuthenticated:
    return NotAuthenticated("Your login is not accepted any more: run `amrgate login`.")
