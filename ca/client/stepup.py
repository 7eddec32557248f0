"""Where a login is not enough: what is asked for, read from an answer or a refusal, and in words."""

import json
import re

from ca import words
from ca.client import web
from ca.errors import InsufficientAuthentication
from sshd_hook.names import is_slug

ERROR = "insufficient_user_authentication"  # RFC 9470, section 3
MAX_ASKED = 16  # values of amr in one answer
MAX_REFUSAL = 1 << 16  # bytes of what ssh shows that are looked at

_DENIED = "Error: Access denied"
_PARAMETERS = re.compile(r"^Parameters: (\{.+)\r?$", re.MULTILINE)


def is_asked(answer: web.Answer) -> bool:
    """Whether this login is good, but not good enough."""
    return ERROR in answer.authenticate or answer.text("error") == ERROR


def of_answer(answer: web.Answer) -> InsufficientAuthentication:
    """What the authority asks for (RFC 9470)."""
    return _asking(answer.body)


def of_refusal(shown: str) -> InsufficientAuthentication | None:
    """What a host asks for that refused a connection with the text in `shown`; None if it did not.

    Whoever wrote the text may not be the host: all that it can do is to have a login offered, at
    our own authority.
    """
    found = _PARAMETERS.search(shown) if _DENIED in shown else None
    if found is None:
        return None
    try:
        parameters = json.loads(found[1])
    except (ValueError, RecursionError):
        return None
    asked = _asking(parameters)
    return asked if asked.amr or asked.max_age else None


def is_method(value: object) -> bool:
    """Whether a login can be asked for `value`: "mfa" or "sso:<provider>"."""
    if not isinstance(value, str):
        return False
    return value == "mfa" or (value.startswith("sso:") and is_slug(value[4:]))


def sentence(amr: tuple[str, ...], max_age: int | None) -> str:
    """What is asked for."""
    if len(amr) == 1 and max_age is None:
        if amr[0] == "mfa":
            return "Multi-factor authentication (MFA) is required."
        return f"Single sign-on (SSO) is required, provider: {amr[0].removeprefix('sso:')}."
    if not amr and max_age is not None:
        return "More recent authentication is required."
    return "Re-authentication is required."


def _asking(parameters: object) -> InsufficientAuthentication:
    """The error for `amr` and `max_age`. Only what is sound is taken: people copy the command."""
    fields = parameters if isinstance(parameters, dict) else {}
    amr, max_age = fields.get("amr"), fields.get("max_age")
    values = amr if isinstance(amr, list) else []
    asked = tuple(value for value in values[:MAX_ASKED] if is_method(value))
    seconds = max_age if type(max_age) is int and 0 < max_age <= words.MAX_SECONDS else None
    text = f"{sentence(asked, seconds)} Log in by `{words.login_command(asked, seconds)}`."
    return InsufficientAuthentication(text, asked, seconds)
