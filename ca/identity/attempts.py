"""Guessing is slowed down, then stopped: per account, over all its factors, sessions and addresses.

An attempt is counted before it is checked, in a transaction of its own that is committed by then:
nothing that happens later, be it an exception or a killed process, brings a guess back.
"""

import hashlib
import secrets
from ipaddress import ip_address, ip_network

from sqlalchemy import Engine

from ca import audit
from ca.errors import TooManyAttempts
from ca.store import attempts as store
from ca.store.engine import writing

FREE = 5
"""Attempts in a row without a wait: people mistype."""

MAX_WAIT = 3600  # seconds

MAX_FAILURES = 60
"""In a row, from anywhere. Then nothing is tried until the owner comes in another way."""

KNOWN_FAILURES = 40
"""In a row, from all browsers together in which the account's owner once completed a login, or opened
a mailed link: what others guess does not lock these out, and is not added to. NIST SP 800-63B-4,
section 3.2.2, allows 100 in all."""

WINDOW = 3600
"""Seconds in which is counted what has no account: codes and tokens that are made up."""

RETRIES = 20  # of counting, where others count at the same time
NAME_KEPT = 86400  # seconds that the count of a name that nobody has is kept
FORGET_EVERY = 1000
"""Of attempts with names that nobody has, one in so many looks for what is too old. The more there are
the longer that takes, and on SQLite nobody else writes meanwhile: whoever makes up names, or keys,
for which nothing is hashed, must not make each attempt slower than the last."""

NAME_LENGTH = 64  # characters of SHA-256 in hex; a user's id has 36


def admit(engine: Engine, subject: str, now: int) -> bool:
    """Count one attempt of `subject`; return whether it was the last one that is admitted.

    Raises:
        TooManyAttempts: it is not to be tried now, even if it were right.
    """
    most = most_of(subject)
    for _ in range(RETRIES):
        with writing(engine) as connection:
            seen = store.find_count(connection, subject)
            wait = seconds_to_wait(seen, now, most)
            if wait:
                raise TooManyAttempts(_message(seen, wait, most), wait)
            if len(subject) == NAME_LENGTH and secrets.randbelow(FORGET_EVERY) == 0:
                store.forget_before(connection, now - NAME_KEPT, NAME_LENGTH)
            if store.count_one(connection, subject, seen, now):
                return seen.failures + 1 == most
    raise TooManyAttempts(_message(seen, 1, most), 1)


def take_back(engine: Engine, subject: str) -> None:
    """The attempt was right, but the login is not complete: earlier failures stay counted.

    Otherwise whoever knows the password could guess codes for ever, with the password between.
    """
    with writing(engine) as connection:
        store.take_back(connection, subject)


def forget(engine: Engine, *subjects: str) -> None:
    """A login is complete: begin to count anew."""
    with writing(engine) as connection:
        for subject in subjects:
            store.forget(connection, subject)


def unlock(engine: Engine, user_id: str, actor: str) -> int:
    """Begin to count anew, because an operator says so; return how many attempts are forgotten."""
    both = (user_id, of_known(user_id))
    with writing(engine) as connection:
        failures = sum(store.find_count(connection, one).failures for one in both)
        if failures:
            for one in both:
                store.forget(connection, one)
            audit.append(connection, "attempts:forget", actor, user_id, {"failures": failures})
    return failures


def of_name(name: str) -> str:
    """The subject for a name that nobody has, which must look as if somebody had it."""
    return hashlib.sha256(name.strip().casefold().encode()).hexdigest()


def of_known(user_id: str) -> str:
    """The subject for the browsers that are known to be this user's."""
    return f"known {user_id}"


def of_key(credential_id: bytes, *, known: bool) -> str:
    """The subject for a passkey or security key, in a browser that its owner knows or in others.

    A key chooses its id, so the words before it keep it from being the hash of anything else: no
    name begins with a capital letter here, and nothing that is counted by the hour with these.
    """
    where = b"Key in a known browser " if known else b"Key "
    return hashlib.sha256(where + credential_id).hexdigest()


def in_window(what: str, now: int) -> str:
    """The subject for what is counted by the hour, such as "Device" and an address.

    A success must not end such a count: one can always have one of one's own. No name that
    somebody types at a login has this hash: those are folded to lower case, and `what` is not.
    """
    return hashlib.sha256(f"{what} {now // WINDOW}".encode()).hexdigest()


def network_of(address: str) -> str:
    """What is counted for an address: of IPv6, the 64 bits that one customer has all of."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(found) if found.version == 4 else str(ip_network((found, 64), strict=False))  # noqa: PLR2004


def most_of(subject: str) -> int:
    """How many attempts in a row are admitted for `subject`."""
    return KNOWN_FAILURES if subject.startswith("known ") else MAX_FAILURES


def seconds_to_wait(count: store.Count, now: int, most: int = MAX_FAILURES) -> int:
    """How long from `now` until the next attempt is admitted, if `most` are. Pure."""
    if count.failures >= most:
        return MAX_WAIT
    if count.failures < FREE:
        return 0
    wait = min(1 << (count.failures - FREE), MAX_WAIT)
    return max(0, count.last_at + wait - now)


def _message(count: store.Count, wait: int, most: int) -> str:
    if count.failures >= most:
        return (
            "Too many attempts. Use a passkey or a browser in which you have logged in before, or"
            " ask for a link with “Forgot your password?”; or ask whoever operates this service to"
            " unlock the account."
        )
    unit, length = ("minutes", 60) if wait > 60 else ("seconds", 1)  # noqa: PLR2004 a minute
    return f"Too many attempts. Try again in {-(-wait // length)} {unit}."
