"""Passwords: argon2id with the second recommended parameters of RFC 9106 (section 4).

A password is compared in Unicode's NFC, as a whole, whatever its length up to MAX_LENGTH
(NIST SP 800-63B-4, section 3.1.1.2: either NFC or NFKC, never cut off).
"""

import threading
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ca.errors import InvalidRequest, Unavailable
from ca.identity.guessable import is_guessable

# NIST SP 800-63B-4, section 3.1.1.2: 15 where a password alone logs in, which each does again once
# the second factor is removed. No rules on its characters.
MIN_LENGTH = 15  # characters
MAX_LENGTH = 1024  # characters: hashing must not be a way to keep us busy

AT_ONCE = 2
"""How many hashes a process computes at once, 64 MiB each; some more wait their turn."""
MAX_WAITING = 14
"""Together with those who wait for providers (`sso/turns.py`), fewer than a worker has threads: a
crowd of guesses must not keep whoever wants a certificate waiting."""
MAX_OF_NETWORK = 8
"""Of these, from one network: whoever guesses without a pause from there leaves as many to others."""

_HASHER = PasswordHasher(time_cost=3, memory_cost=65536, parallelism=4, hash_len=32, salt_len=16)
_TURNS = threading.BoundedSemaphore(AT_ONCE)
_taken: Counter[str] = Counter()  # places in the line, by network
_taking = threading.Lock()

# A hash of something random, with the parameters above: who has no password takes as long.
_NOBODYS = (
    "$argon2id$v=19$m=65536,t=3,p=4$k4yVheIN4cPGiyFumUtASA"
    "$eJGFLOVVL6SJg/vM0OPRZcunmAkopJM4OyUB0F7jFes"
)


class Busy(Unavailable):
    """Enough wait for a hash already."""

    def __init__(self) -> None:
        super().__init__(
            "Many people are logging in just now. Nothing was done with your password; try again in a"
            " few seconds."
        )


@contextmanager
def place(network: str = "") -> Iterator[None]:
    """Stand in the line of those who want a hash computed, for as long as the block lasts.

    Raises:
        Busy: it is as long as it may be, or has enough of this network.
    """
    with _taking:
        if _taken.total() >= AT_ONCE + MAX_WAITING or _taken[network] >= MAX_OF_NETWORK:
            raise Busy
        _taken[network] += 1
    try:
        yield
    finally:
        with _taking:
            _taken[network] -= 1
            if not _taken[network]:
                del _taken[network]


def check_new(password: str, names: Iterable[str] = ()) -> None:
    """Raise InvalidRequest if `password` must not become that of somebody with these `names`."""
    if not MIN_LENGTH <= len(_normal(password)) <= MAX_LENGTH:
        raise InvalidRequest(
            f"A password must have {MIN_LENGTH} to {MAX_LENGTH} characters; a few words are fine."
        )

    if is_guessable(password, names):
        raise InvalidRequest(
            "This password is among the first that somebody would guess: it is made of common"
            " words, names or keys in a row. Choose some words that do not belong together."
        )


def make_hash(password: str) -> str:
    """The argon2id hash of `password`.

    Raises:
        Busy: too many want one.
    """
    with place(), _TURNS:
        return _HASHER.hash(_normal(password))


def is_right(password: str, stored: str | None) -> bool:
    """Whether `password` is the one hashed in `stored`, asked by somebody who has a `place`.

    It takes as long where `stored` is None, so that nobody learns from the time who has one.
    """
    if len(password) > MAX_LENGTH:
        password, stored = "", None
    with _TURNS:
        try:
            right = _HASHER.verify(stored or _NOBODYS, _normal(password))
        except (VerificationError, InvalidHashError):
            return False
    return right and stored is not None


def is_outdated(stored: str) -> bool:
    """Whether `stored` was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(stored)


def _normal(password: str) -> str:
    return unicodedata.normalize("NFC", password)
