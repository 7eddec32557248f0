"""The tokens of a login, kept on disk, renewed by one process at a time, revoked when it ends."""

import json
import time
from base64 import urlsafe_b64decode
from dataclasses import asdict, dataclass, replace
from typing import Any

from ca.client import files, web
from ca.client.place import Place, api_token, read_json
from ca.errors import CAError, NotAuthenticated, Unavailable

CLIENT_ID = "amrgate"
EARLY = 30  # seconds before its end at which an access token is renewed
DEFAULT_LIFETIME = 300  # seconds, where the authority does not say (RFC 6749, section 5.1)


_TYPES = {
    "ca": str,
    "access_token": str,
    "refresh_token": str,
    "expires_at": int,
    "api_token": str,
}


@dataclass(frozen=True)
class Session:
    """One login. `expires_at` is when the access token ends.

    It is renewed by its refresh token or, if a program logged in, by the API token that is kept.
    """

    ca: str
    access_token: str
    refresh_token: str
    expires_at: int
    api_token: str = ""

    def claims(self) -> dict[str, Any]:
        """What the access token says of us. Not verified: it is ours, and for showing only."""
        try:
            payload = self.access_token.split(".")[1]
            value = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (ValueError, IndexError):
            return {}
        return value if isinstance(value, dict) else {}

    def user_id(self) -> str:
        """The id of who logged in; empty if the token does not say."""
        return str(self.claims().get("sub", ""))


def load(place: Place) -> Session:
    """The present login.

    Raises:
        NotAuthenticated: there is none.
    """
    found = {"api_token": "", **read_json(place.session)}
    if {name: type(value) for name, value in found.items()} != _TYPES:
        raise NotAuthenticated("You are not logged in: run `amrgate login`.")
    return Session(**found)


def save(place: Place, session: Session) -> None:
    """Keep a login, and whose authority it is."""
    place.make()
    files.write(place.session, json.dumps(asdict(session)).encode())
    files.write(place.config, json.dumps({"ca": session.ca}).encode())


def from_answer(ca: str, answer: web.Answer, refresh_token: str = "") -> Session:
    """The session in an answer of the token endpoint.

    `refresh_token` is kept where the answer brings no new one.

    Raises:
        Unavailable: there are no tokens in it.
    """
    lifetime = answer.body.get("expires_in") if isinstance(answer.body, dict) else None
    token = answer.text("access_token")
    if not token:
        raise Unavailable("The certificate authority's answer holds no token: tell its operator.")
    return Session(
        ca=ca,
        access_token=token,
        refresh_token=answer.text("refresh_token") or refresh_token,
        expires_at=int(time.time()) + (lifetime if type(lifetime) is int else DEFAULT_LIFETIME),
    )


def renewed(place: Place, old: Session) -> Session:
    """The session with a new access token.

    A refresh token is good once: of two processes, the second finds what the first was given.

    Raises:
        NotAuthenticated: the login has ended. Nothing of it is kept.
    """
    with files.locked(place.lock):
        session = load(place)
        if session.access_token != old.access_token:
            return session
        if token := api_token() or session.api_token:
            return _of_api_token(place, session.ca, token, kept=session.api_token)
        form = {"grant_type": "refresh_token", "refresh_token": session.refresh_token}
        answer = ask_token(session.ca, form)
        if answer.text("error") or not answer.text("access_token"):
            files.remove(place.session)
            raise NotAuthenticated("Your login has ended: run `amrgate login`.")
        session = from_answer(session.ca, answer, session.refresh_token)
        save(place, session)
        return session


def of_environment(place: Place, ca: str) -> Session:
    """The session of the API token in the environment, which is kept nowhere; begun by need.

    Raises:
        NotAuthenticated: the authority does not take the token.
    """
    place.make()
    with files.locked(place.lock):
        try:
            present = load(place)
        except NotAuthenticated:
            return _of_api_token(place, ca, api_token(), kept="")
        return present if present.ca == ca else _of_api_token(place, ca, api_token(), kept="")


def exchange_api_token(ca: str, token: str) -> Session:
    """A session for an API token, which it keeps.

    Raises:
        NotAuthenticated: the authority does not take it.
    """
    answer = ask_token(ca, {"grant_type": "api_token", "api_token": token})
    if answer.text("error"):
        raise NotAuthenticated(f"The API token was not accepted. {answer.describe()}")
    return replace(from_answer(ca, answer), api_token=token)


def _of_api_token(place: Place, ca: str, token: str, *, kept: str) -> Session:
    try:
        session = replace(exchange_api_token(ca, token), api_token=kept)
    except NotAuthenticated:
        files.remove(place.session)
        raise
    save(place, session)
    return session


def is_ending(session: Session) -> bool:
    """Whether the access token has ended, or is about to."""
    return session.expires_at - EARLY <= time.time()


def exchange(ca: str, code: str, verifier: str, redirect_uri: str) -> Session:
    """Redeem an authorization code.

    Raises:
        NotAuthenticated: the authority does not take it.
    """
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "code_verifier": verifier,
        "redirect_uri": redirect_uri,
    }
    answer = ask_token(ca, form)
    if answer.text("error"):
        raise NotAuthenticated(f"The login was not accepted: {answer.describe()}")
    return from_answer(ca, answer)


def revoke(session: Session) -> None:
    """Tell the authority that the tokens are no longer used.

    Raises:
        CAError: it could not be told; they end by themselves.
    """
    failed: CAError | None = None
    # First the one that would make others.
    tokens = {"refresh_token": session.refresh_token, "access_token": session.access_token}
    for hint, token in tokens.items():
        if not token:
            continue
        form = {"client_id": CLIENT_ID, "token": token, "token_type_hint": hint}
        try:
            answer = web.request("POST", f"{session.ca}/oauth2/revoke", form=form)
        except Unavailable as error:
            failed = error
            continue
        if answer.status >= 400:  # noqa: PLR2004 HTTP's own
            failed = web.error_of(answer)
    if failed is not None:
        raise failed


def ask_token(ca: str, form: dict[str, str]) -> web.Answer:
    """What the token endpoint answers.

    Raises:
        CAError: it cannot tell now.
    """
    answer = web.request("POST", f"{ca}/oauth2/token", form={"client_id": CLIENT_ID, **form})
    if answer.status >= web.UNAVAILABLE or answer.status == web.TOO_MANY:
        raise web.error_of(answer)
    return answer
