"""What a client may wish for: a scope, and how its person is to log in (RFC 9470)."""

from collections.abc import Mapping
from dataclasses import dataclass

from ca.errors import InvalidRequest
from ca.identity.scopes import LIMITS
from sshd_hook.names import is_slug

SCOPES = ("offline_access", *LIMITS)
MAX_AGE_DIGITS = 8
MAX_METHODS = 16

# What may be asked of a login; the answer of a client that asks for others would never come.
# Not "recovery": nobody asks people to use up what they keep for when all else is lost.
METHODS = frozenset({"pwd", "otp", "hwk", "swk", "mfa"})


@dataclass(frozen=True)
class Wish:
    """A scope of ours, the `amr` values that the login must show, and its age in seconds."""

    scope: str
    amr: tuple[str, ...]
    max_age: int | None


def read_wish(fields: Mapping[str, str]) -> Wish:
    """The wish in a request's parameters `scope`, `amr` and `max_age`. Unknown scopes are left out.

    Raises:
        InvalidRequest: no login can grant it.
    """
    granted = [scope for scope in SCOPES if scope in fields.get("scope", "").split()]
    amr = tuple(sorted(set(fields.get("amr", "").split())))
    if len(amr) > MAX_METHODS or not all(value in METHODS or _is_login(value) for value in amr):
        raise InvalidRequest("amr names a way to log in that is not known.")
    return Wish(" ".join(granted), amr, _max_age(fields.get("max_age", "")))


def _is_login(value: str) -> bool:
    return value.startswith("sso:") and is_slug(value[4:])


def _max_age(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_AGE_DIGITS):
        raise InvalidRequest("max_age must be a whole number of seconds.")
    return int(text)
