"""Guessing is slowed down, then stopped: per account, over all its factors, sessions and addresses.

An attempt is counted before it is checked, in a transaction of its own that is committed by then:
nothing that happens later, be it an exception or a killed process, brings a guess back.
"""

import hashlib
from ipaddress import ip_address, ip_network

from sqlalchemy import Engine

from ca import audit
from ca.errors import TooManyAttempts
from ca.keys import Seal
from ca.store import attempts as store
from ca.store.engine import writing

FREE = 5
"""Attempts in a row without a wait: people mistype."""

MAX_WAIT = 3600  # seconds

REST = 8 * 3600
"""Seconds without a failed attempt after which the waits begin anew. Nothing else shortens them: were it
the owner's login, which nobody's name has, whoever asks again later would learn whose name it is."""

MAX_FAILURES = 60
"""In a row, from anywhere. Then nothing is tried until the owner comes in another way."""

KNOWN_FAILURES = 40
"""In a row, from all browsers together in which the account's owner once completed a login, or opened
a mailed link: what others guess does not lock these out, and is not added to. NIST SP 800-63B-4,
section 3.2.2, allows 100 in all."""

WINDOW = 3600
"""Seconds in which is counted what has no account: codes and tokens that are made up."""

KEY_WINDOW = 86400  # seconds, likewise of keys

WINDOW_HASH = 46  # characters of a window's subject that tell what is counted: 184 bits
RETRIES = 20  # of counting, where others count at the same time


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
            store.forget_between(connection, _ending(0), _ending(now))
            counted = store.Count(seen.failures + 1, _since_rest(seen, now) + 1, now)
            if store.replace(connection, subject, seen, counted):
                return counted.failures == most
    raise TooManyAttempts(_message(seen, 1, most), 1)


def take_back(engine: Engine, subject: str) -> None:
    """The attempt was right, but the login is not complete: earlier failures stay counted.

    Otherwise whoever knows the password could guess codes for ever, with the password between.
    """
    with writing(engine) as connection:
        store.take_back(connection, subject)


def begin_anew(engine: Engine, user_id: str) -> None:
    """The owner came in: from now on attempts in a row are others."""
    with writing(engine) as connection:
        store.end_row(connection, user_id)  # the waits go on: see REST
        store.forget(connection, of_known(user_id))


def forget(engine: Engine, *subjects: str) -> None:
    """Count anew, and wait no longer."""
    with writing(engine) as connection:
        for subject in subjects:
            store.forget(connection, subject)


def unlock(engine: Engine, user_id: str, actor: str) -> int:
    """Begin to count anew, because an operator says so; return how many attempts are forgotten."""
    both = (user_id, of_known(user_id))
    with writing(engine) as connection:
        counts = [store.find_count(connection, one) for one in both]
        forgotten = sum(max(count.failures, count.since_rest) for count in counts)
        if forgotten:
            for one in both:
                store.forget(connection, one)
            audit.append(connection, "attempts:forget", actor, user_id, {"failures": forgotten})
    return forgotten


def of_name(seal: Seal, name: str) -> str:
    """The subject for a name that nobody has, which must look as if somebody had it.

    Under a key, for it is kept: now and then somebody types a password there.
    """
    return seal.derive(f"name {name.strip().casefold()}").hex()


def of_known(user_id: str) -> str:
    """The subject for the browsers that are known to be this user's."""
    return f"known {user_id}"


def of_key(credential_id: bytes, now: int, *, known: bool) -> str:
    """The subject for a passkey or security key, in a browser that its owner knows or in others.

    By the day: nobody guesses a signature, and whoever makes up keys must not fill the table.
    """
    where = "Key in a known browser" if known else "Key"
    return in_window(f"{where} {credential_id.hex()}", now, KEY_WINDOW)


def in_window(what: str, now: int, seconds: int = WINDOW) -> str:
    """The subject for what is counted by the hour, such as "Device" and an address.

    A success must not end such a count: one can always have one of one's own.
    """
    end = now - now % seconds + seconds
    return f"{_ending(end)}{hashlib.sha256(what.encode()).hexdigest()[:WINDOW_HASH]}"


def _ending(moment: int) -> str:
    """How the subject of a window begins: in the order in which windows end, to be forgotten so."""
    return f"until {moment:011} "


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
    since_rest = _since_rest(count, now)
    if since_rest < FREE:
        return 0
    wait = min(1 << (since_rest - FREE), MAX_WAIT)
    return max(0, count.last_at + wait - now)


def _since_rest(count: store.Count, now: int) -> int:
    return count.since_rest if now - count.last_at < REST else 0


def _message(count: store.Count, wait: int, most: int) -> str:
    if count.failures >= most:
        return (
            "Too many attempts. Use a passkey or a browser in which you have logged in before, or"
            " ask for a link with “Forgot your password?”; or ask whoever operates this service to"
            " unlock the account."
        )
    unit, length = ("minute", 60) if wait > 60 else ("second", 1)  # noqa: PLR2004 a minute
    units = -(-wait // length)
    return f"Too many attempts. Try again in {units} {unit}{'s' * (units > 1)}."
