"""What pages say in words: methods, ages, what is asked. Pure."""

from collections.abc import Iterable, Mapping

from ca.identity.proofs import LOGIN, Proof
from ca.identity.scopes import in_words

METHODS = {
    "pwd": "password",
    "otp": "code of an app",
    "recovery": "recovery code",
    "hwk": "security key",
    "swk": "passkey",
}


def methods(proofs: Iterable[Proof]) -> str:
    """How somebody logged in."""
    named = [named_by(proof.amr, METHODS) for proof in proofs]
    return " and ".join(named) or "nothing of a person's"


def named_by(value: str, names: Mapping[str, str]) -> str:
    """What people call an `amr` value; `names` has those that are no single sign-on's."""
    if not value.startswith(LOGIN):
        return names.get(value, value)
    slug, _, told = value.removeprefix(LOGIN).partition(":")
    return f"MFA at {slug}" if told else f"single sign-on {slug}"


def may(scope: str) -> str:
    """What a client is let do with a scope, as its person is asked."""
    return in_words(scope) or "use the API and get SSH certificates"


def asked(amr: Iterable[str], max_age: int | None) -> str:
    """What a login is to show; nothing if anything will do."""
    named = [named_by(value, {**METHODS, "mfa": "more than one factor"}) for value in amr]
    by = [f"by {' and '.join(named)}"] if named else []
    return ", ".join(by + ([] if max_age is None else [f"not older than {_length(max_age)}"]))


def _length(seconds: int) -> str:
    """A length of time, in the largest unit that divides it."""
    for length, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds and seconds % length == 0:
            return f"{seconds // length} {unit}{'s' * (seconds > length)}"
    return f"{seconds} seconds"


def age(seconds: int) -> str:
    """How long ago something was, in the largest unit."""
    for length, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length:
            count = seconds // length
            return f"{count} {unit}{'s' * (count > 1)} ago"
    return "just now"
