"""API tokens: for programs of a person, who makes them, and for service users, who log in no other
way.

A token is the prefix, 30 random digits of base 62 and 6 more that are the CRC-32 of what stands
before: secret scanners know it by its form, and a mistyped one is refused without the database.
"""

import binascii
import secrets
import string
import unicodedata
import uuid
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from ca import audit
from ca.errors import Conflict, InsufficientAuthentication, InvalidRequest, NotFound
from ca.identity.factors import Acting, hold_account
from ca.identity.scopes import LIMITS, limits_in
from ca.identity.sessions import hash_of
from ca.identity.stepup import FRESH, SECOND
from ca.identity.token_ends import end
from ca.store import api_tokens as store
from ca.store import sessions
from ca.store.api_tokens import ApiToken
from ca.store.engine import reading, writing
from ca.store.people import User
from ca.store.revocations import Cause
from ca.words import roughly

PREFIX = "amrgate_"
RANDOM_DIGITS = 30  # of base 62: 178 bits
CHECK_DIGITS = 6
LENGTH = len(PREFIX) + RANDOM_DIGITS + CHECK_DIGITS

MAX_LIFETIME = 90 * 86400  # seconds; also what one gets without asking
MIN_LIFETIME = 300
MAX_NAME = 64  # characters
MAX_TOKENS = 100  # of one user

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase


@dataclass(frozen=True)
class Wish:
    """A token that is asked for: a name, for how many seconds, and what it is limited to."""

    name: str
    lifetime: int = MAX_LIFETIME
    scope: str = ""

    def __post_init__(self) -> None:
        """Check it.

        Raises:
            InvalidRequest: nobody may have such a token.
        """
        if not (0 < len(self.name) <= MAX_NAME and self.name.isprintable()):
            raise InvalidRequest(f"Give the token a name of 1 to {MAX_NAME} characters.")
        if not MIN_LIFETIME <= self.lifetime <= MAX_LIFETIME:
            raise InvalidRequest(
                f"A token lives for {roughly(MIN_LIFETIME)} to {roughly(MAX_LIFETIME)}."
            )
        if not set(self.scope.split()) <= LIMITS.keys():
            raise InvalidRequest(f"A token's scope is of: {', '.join(LIMITS)}.")


@dataclass(frozen=True)
class Made:
    """A new token, and what it is to be used by, which is shown only now."""

    token: ApiToken
    secret: str


def named(text: str) -> str:
    """A name as it was typed, in the form that is kept."""
    return unicodedata.normalize("NFC", text.strip())


def new_secret() -> str:
    """Something that only a token is, and nobody can guess."""
    body = PREFIX + "".join(secrets.choice(_DIGITS) for _ in range(RANDOM_DIGITS))
    return body + _check_digits(body)


def is_well_formed(secret: str) -> bool:
    """Whether it could be a token: its form and its last digits are those of one."""
    if len(secret) != LENGTH or not secret.isascii():
        return False
    body = secret[:-CHECK_DIGITS]
    return body.startswith(PREFIX) and secret == body + _check_digits(body)


def make(engine: Engine, acting: Acting, wish: Wish, now: int) -> Made:
    """A token of a person, which has for ever what their present session proved, and when.

    Raises:
        InsufficientAuthentication: this session may not, or rests on a factor that is gone.
        Conflict: they have one of this name, or too many.
    """
    with writing(engine) as connection:
        # A factor, a password or the session itself may be on its way out: then either its end
        # finds this token, or is seen here. A device's login may make one, which says so for ever.
        kinds = hold_account(connection, acting, now).second.kinds
        gone = (SECOND - kinds) & {proof.amr for proof in acting.proofs}
        if gone or not sessions.is_live(connection, acting.session_id, now):
            amr = ("mfa",) if kinds else ()
            raise InsufficientAuthentication("Log in again to make an API token.", amr, FRESH)
        return _add(connection, acting.user_id, acting, wish, now)


def make_for(connection: Connection, user: User, admin_id: str, wish: Wish, now: int) -> Made:
    """A token of a service user, made by an admin who may: it proves nothing, but says when.

    Raises:
        Conflict: the service user is disabled, has a token of this name, or too many.
    """
    store.lock_owner(connection, user.id)
    if user.disabled:
        raise Conflict(f"{user.username} is disabled. Ask the operator.")
    return _add(connection, user.id, Acting(admin_id, "", ()), wish, now)


def tokens_of(engine: Engine, user_id: str, now: int) -> list[ApiToken]:
    """The user's tokens, the oldest first."""
    with reading(engine) as connection:
        return store.live_tokens(connection, user_id, now)


def find(engine: Engine, user_id: str, token_id: str, now: int) -> ApiToken:
    """One of the user's tokens.

    Raises:
        NotFound: they have none with this id.
    """
    for token in tokens_of(engine, user_id, now):
        if token.id == token_id:
            return token
    raise NotFound("There is no such API token.")


def remove(engine: Engine, user_id: str, token_id: str, actor: str, now: int) -> ApiToken:
    """End a token, the sessions that were begun with it, and their certificates.

    Raises:
        NotFound: the user has none with this id.
    """
    token = find(engine, user_id, token_id, now)
    with writing(engine) as connection:
        store.lock_owner(connection, user_id)
        end(connection, [token], Cause(now, actor, "api_token:remove"))
    return token


def _add(connection: Connection, user_id: str, by: Acting, wish: Wish, now: int) -> Made:
    there = store.live_tokens(connection, user_id, now)
    if len(there) >= MAX_TOKENS:
        raise Conflict(f"There are {MAX_TOKENS} API tokens. Remove one first.")
    if any(token.name == wish.name for token in there):
        raise Conflict("There is an API token of this name. Take another, or remove it first.")
    token = ApiToken(
        id=str(uuid.uuid4()),
        user_id=user_id,
        created_by=by.user_id,
        name=wish.name,
        scope=limits_in(wish.scope.split()),
        proofs=by.proofs,
        via=by.via,
        created_at=now,
        expires_at=now + wish.lifetime,
    )
    secret = new_secret()
    store.add(connection, token, hash_of(secret))
    detail = {
        "token": token.id,
        "name": token.name,
        "expires_at": token.expires_at,
        "scope": token.scope,
    }
    audit.append(connection, "api_token:add", by.user_id, user_id, detail)
    return Made(token, secret)


def _check_digits(body: str) -> str:
    number = binascii.crc32(body.encode())
    digits = ""
    for _ in range(CHECK_DIGITS):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits
