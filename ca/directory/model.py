"""The directory as items with attributes: the form in which a file and the database are compared.

An item is a kind and a key of names, never of ids, such as `member acme bob`; its attributes are
texts, numbers, Booleans and lists. Two directories are equal if their items are.
"""

from __future__ import annotations

import secrets
import time
from typing import NamedTuple

Value = str | int | bool | None | list[str]
Attributes = dict[str, Value]

KINDS = (
    "user",
    "organization",
    "member",
    "provider",
    "project",
    "environment",
    "host",
    "service",
    "access",
    "requirement",
)
"""Every kind, each after those that it refers to."""

MEMBER_ROLES = ("owner", "admin", "viewer")
ENVIRONMENT_TYPES = ("production", "staging", "development")
ENVIRONMENT_ROLES = ("admin", "contributor", "viewer")
PROJECT_SCOPE = "project"
PROJECT_ROLES = ("admin", "viewer")

MAX_OFFLINE = 86400  # seconds that a host may decide alone
MIN_OFFLINE = 900  # freshness is renewed every few minutes: less would be an outage at a hiccup


class Item(NamedTuple):
    """One thing in the directory."""

    kind: str
    key: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join((self.kind, *self.key))


Directory = dict[Item, Attributes]

_ULID_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID_LENGTH = 26
_ULID_RANDOM_BITS = 80


def new_ulid() -> str:
    """The id of a new organization: clients of this API expect a ULID there."""
    number = time.time_ns() // 1_000_000 << _ULID_RANDOM_BITS | secrets.randbits(_ULID_RANDOM_BITS)
    digits = [_ULID_ALPHABET[number >> 5 * place & 31] for place in range(_ULID_LENGTH)]
    return "".join(reversed(digits))
