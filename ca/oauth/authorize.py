"""The authorization endpoint: what a client asks, checked; and the code that answers it."""

import re
from dataclasses import dataclass
from urllib.parse import urlencode

from sqlalchemy import Engine

from ca import audit
from ca.errors import CAError, InvalidRequest
from ca.identity.sessions import hash_of, new_secret
from ca.identity.stepup import Ask
from ca.oauth.clients import is_redirect
from ca.settings import Settings
from ca.store import oauth as store
from ca.store.engine import writing
from ca.store.sessions import BrowserSession
from sshd_hook.names import is_slug

CODE_LIFETIME = 60  # seconds
MAX_STATE = 512  # characters
MAX_AGE_DIGITS = 8
SCOPES = ("offline_access",)

# What is asked of a login; the answer of a client that asks for others would never come.
METHODS = frozenset({"pwd", "otp", "hwk", "swk", "mfa", "recovery"})
PROMPTS = frozenset({"none", "login", "consent", "select_account"})
BEGIN_ANEW = frozenset({"login", "select_account"})

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # SHA-256 in base64url (RFC 7636, section 4.2)


class Returned(CAError):
    """A fault that the client is told of, in the browser's way back to it."""

    def __init__(self, location: str, message: str) -> None:
        super().__init__(message)
        self.location = location


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
        """Where to send the browser back to, with whose answer it is (RFC 9207)."""
        state = {"state": self.state} if self.state else {}
        return f"{self.redirect_uri}?{urlencode({**parameters, **state, 'iss': issuer})}"


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
    request = Request(
        client_id=fields["client_id"],
        redirect_uri=redirect_uri,
        state=state,
        code_challenge=fields.get("code_challenge", ""),
        scope=" ".join(one for one in SCOPES if one in fields.get("scope", "").split()),
        amr=tuple(sorted(set(fields.get("amr", "").split()))),
        max_age=_max_age(fields.get("max_age", "")),
        begin_anew=not BEGIN_ANEW.isdisjoint(fields.get("prompt", "").split()),
        asked_at=now,
    )
    fault = _fault(request, fields)
    if fault is not None:
        code, description = fault
        location = request.answer(settings.issuer, error=code, error_description=description)
        raise Returned(location, description)
    return request


def give_code(engine: Engine, request: Request, session: BrowserSession, now: int) -> str:
    """A code for what the person agreed to.

    It rests on the proofs that are recent enough; what was not proved again is not passed on.
    """
    code = new_secret()
    with writing(engine) as connection:
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


def _fault(request: Request, fields: dict[str, str]) -> tuple[str, str] | None:
    """The first fault that the client may be told, as OAuth's code and in words."""
    prompts = frozenset(fields.get("prompt", "").split())
    faults = (
        (
            fields.get("response_type") != "code",
            "unsupported_response_type",
            "Only response_type=code is supported.",
        ),
        (
            fields.get("code_challenge_method") != "S256",
            "invalid_request",
            "PKCE is needed: code_challenge_method must be S256.",
        ),
        (
            not _CHALLENGE.fullmatch(request.code_challenge),
            "invalid_request",
            "PKCE is needed: code_challenge is missing or not a SHA-256.",
        ),
        (
            fields.get("max_age", "") != "" and request.max_age is None,
            "invalid_request",
            "max_age must be a whole number of seconds.",
        ),
        (
            not all(value in METHODS or _is_login(value) for value in request.amr),
            "invalid_request",
            "amr names a way to log in that is not known.",
        ),
        (
            not prompts <= PROMPTS or ("none" in prompts and len(prompts) > 1),
            "invalid_request",
            "prompt must be of login, consent, select_account; or none.",
        ),
        # Any page on the web can send a browser here, and any user of this machine may listen
        # on a loopback port (RFC 8252, section 8.6): only a click gives a code.
        (
            "none" in prompts,
            "interaction_required",
            "A person has to agree to every login of this client.",
        ),
    )
    return next(((code, words) for is_so, code, words in faults if is_so), None)


def _is_login(value: str) -> bool:
    return value.startswith("sso:") and is_slug(value[4:])


def _max_age(text: str) -> int | None:
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_AGE_DIGITS):
        return None
    return int(text)
