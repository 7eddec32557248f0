"""Calls to the API as who is logged in: tokens renewed, a step-up offered where one is asked for."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ca.client import session, stepup, web
from ca.client.place import Place, api_token, read_json
from ca.client.session import Session
from ca.errors import InsufficientAuthentication, InvalidRequest, NotAuthenticated
from ca.words import safe

UNAUTHORIZED = 401
AUTHORITY = "AMRGATE_CA"

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
        if api_token():
            present = session.of_environment(self.place, authority_of(self.place))
        else:
            present = session.load(self.place)
        return session.renewed(self.place, present) if session.is_ending(present) else present

    def check_login(self) -> None:
        """See that there is a login, without asking the authority: it may be away.

        Raises:
            NotAuthenticated: nobody is logged in.
        """
        if not api_token():
            session.load(self.place)

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
        if answer.status == UNAUTHORIZED and not stepup.is_asked(answer):
            # Revoked, or our clock is wrong: what a new token says holds.
            answer = self._ask(session.renewed(self.place, present), method, path, body)
        if answer.status == UNAUTHORIZED:
            raise stepup.of_answer(answer) if stepup.is_asked(answer) else _unauthorized()
        if answer.status >= 400:  # noqa: PLR2004 HTTP's own
            raise web.error_of(answer)
        return answer.body

    def _ask(self, present: Session, method: str, path: str, body: Any) -> web.Answer:
        return web.request(method, present.ca + path, token=present.access_token, json=body)


def authority_of(place: Place) -> str:
    """The authority that the environment names, or that of the last login.

    Raises:
        InvalidRequest: none is known.
    """
    ca = os.environ.get(AUTHORITY) or read_json(place.config).get("ca")
    if not isinstance(ca, str):
        raise InvalidRequest(
            f"No authority is known: say `amrgate login --ca https://…` once, or set {AUTHORITY}."
        )
    try:
        return web.check_url(ca)
    except InvalidRequest as error:
        raise InvalidRequest(f"The authority {safe(ca)} {error.message}") from error


def _unauthorized() -> NotAuthenticated:
    return NotAuthenticated("Your login is not accepted any more: run `amrgate login`.")
