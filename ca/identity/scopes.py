"""Scopes that limit what a token may be used for (RFC 6749, section 3.3).

A token without any of them may do whatever its user may: roles and requirements say what that is.
One with some may do what these name, and nothing else, whatever the role.
"""

from collections.abc import Iterable

from ca.errors import InsufficientScope

READ, SSH = "read", "ssh"

LIMITS = {SSH: "get SSH certificates", READ: "read"}
"""Each with what it lets its holder do, as people are told."""


def limits_in(words: Iterable[str]) -> str:
    """Those of `words` that are limits, as a scope is written."""
    found = set(words)
    return " ".join(one for one in LIMITS if one in found)


def in_words(scope: str) -> str:
    """What a scope limits a token to, nothing if it does not."""
    return " and ".join(LIMITS[one] for one in limits_in(scope.split()).split())


def check(scope: str, *enough: str) -> None:
    """See that a token of this scope may be used for what one of these limits suffices for.

    Raises:
        InsufficientScope: it may not.
    """
    limits = limits_in(scope.split()).split()
    if limits and not any(one in limits for one in enough):
        raise InsufficientScope(f"This token may only {in_words(scope)}.", " ".join(enough))
