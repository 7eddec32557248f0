"""The authorization endpoint: what a client asks, checked; and the code that answers it."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from urllib.parse import urlencode

from sqlalchemy import Engine

from ca import audit
from ca.errors import CAError, InvalidRequest
from ca.identity import hourly
from ca.identity.sessions import hash_of, new_secret
from ca.identity.stepup import Ask
from ca.oauth.clients import is_redirect
from ca.oauth.wishes import read_wish
from ca.settings import Settings
from ca.store import oauth as store
from ca.store.engine import writing
from ca.store.sessions import BrowserSession

CODE_LIFETIME = 60  # seconds
MAX_STATE = 512  # characters

PROMPTS = ("none", "login", "consent", "select_account")
BEGIN_ANEW = frozenset({"login", "select_account"})

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # SHA-256 in base64url (RFC 7636, section 4.2)


class Returned(CAError):
    """A fault that the client is told of, in the browser's way back to it."""

    def __init__(self, location: str, message: str) -> None:
        super().__init__(message)
        self.location = location


class UnsupportedResponseType(InvalidRequest):
    """Another way of OAuth than by a code."""

    code = "unsupported_response_type"


class InteractionRequired(InvalidRequest):
    """The client wants no page to be shown, and there has to be one."""

    code = "interaction_required"


@dataclass(frozen=True)
class Request:
    """What a client asks of a person."""

    client_id: str
    redirect_uri: str
    state: str
    code_challenge: str
    scope: str
    amr: tuple[str, ...]
    max_age: int | None
    begin_anew: bool
    asked_at: int

    @property
    def ask(self) -> Ask:
        """What the login must show. Its age is counted from when it was asked."""
        since = 0 if self.max_age is None else self.asked_at - self.max_age
        return Ask(frozenset(self.amr), since)

    def answer(self, issuer: str, **parameters: str) -> str:
        """Where to send the browser back to, with whose answer it is."""
        return _way_back(self.redirect_uri, self.state, issuer, parameters)


def read_request(settings: Settings, fields: dict[str, str], now: int) -> Request:
    """Check what a client asks.

    Raises:
        InvalidRequest: client or address are not to be trusted: told to the person only.
        Returned: something else is wrong, and the client is told.
    """
    if fields.get("client_id", "") not in settings.clients:
        raise InvalidRequest("No client of this name is known here.")
    redirect_uri = fields.get("redirect_uri", "")
    if not is_redirect(redirect_uri):
        raise InvalidRequest(
            "The address to come back to must be http://127.0.0.1 with a port, and no query."
        )
    state = fields.get("state", "")
    if len(state) > MAX_STATE or not state.isascii() or not state.isprintable():
        raise InvalidRequest("The client's state is too long, or not plain text.")
    try:
        _check(fields)
        wish = read_wish(fields)
    except InvalidRequest as fault:
        told = {"error": fault.code, "error_description": fault.message}
        location = _way_back(redirect_uri, state, settings.issuer, told)
        raise Returned(location, fault.message) from fault
    return Request(
        client_id=fields["client_id"],
        redirect_uri=redirect_uri,
        state=state,
        code_challenge=fields["code_challenge"],
        **asdict(wish),
        begin_anew=not BEGIN_ANEW.isdisjoint(fields.get("prompt", "").split()),
        asked_at=now,
    )


def give_code(engine: Engine, request: Request, session: BrowserSession, now: int) -> str:
    """A code for what the person agreed to.

    It rests on the proofs that are recent enough; what was not proved again is not passed on.

    Raises:
        TooManyAttempts: this session gave too many within the hour.
    """
    code = new_secret()
    with writing(engine) as connection:
        hourly.count(connection, hourly.CONSENT, session.id, session.user.id, now)
        store.add_code(
            connection,
            hash_of(code),
            store.Code(
                client_id=request.client_id,
                redirect_uri=request.redirect_uri,
                code_challenge=request.code_challenge,
                scope=request.scope,
                user_id=session.user.id,
                browser_session_id=session.id,
                proofs=request.ask.counted(session.proofs),
                expires_at=now + CODE_LIFETIME,
            ),
        )
        detail = {"client": request.client_id, "redirect": request.redirect_uri}
        audit.append(connection, "consent:give", session.user.id, session.id, detail)
    return code


def _check(fields: Mapping[str, str]) -> None:
    """Check how the client wants to be answered.

    Raises:
        InvalidRequest: the first fault.
    """
    if fields.get("response_type") != "code":
        raise UnsupportedResponseType("Only response_type=code is supported.")
    if fields.get("code_challenge_method") != "S256":
        raise InvalidRequest("PKCE is needed: code_challenge_method must be S256.")
    if not _CHALLENGE.fullmatch(fields.get("code_challenge", "")):
        raise InvalidRequest("PKCE is needed: code_challenge is missing or not a SHA-256.")
    prompts = frozenset(fields.get("prompt", "").split())
    if not prompts <= set(PROMPTS) or ("none" in prompts and len(prompts) > 1):
        raise InvalidRequest("prompt must be of login, consent, select_account; or none.")
    # Any page on the web can send a browser here, and any user of this machine may listen
    # on a loopback port (RFC 8252, section 8.6): only a click gives a code.
    if "none" in prompts:
        raise InteractionRequired("A person has to agree to every login of this client.")


def _way_back(redirect_uri: str, state: str, issuer: str, parameters: Mapping[str, str]) -> str:
    """The client's address with an answer, saying whose it is (RFC 9207)."""
    kept = {"state": state} if state else {}
    return f"{redirect_uri}?{urlencode({**parameters, **kept, 'iss': issuer})}"
