"""The device grant (RFC 8628), as the person sees it: they type a code, log in, and decide.

Whoever has someone else type or approve a code gets a session of theirs. So the code is typed
after the login, in the very session that then decides; it is never in an address.
"""

from dataclasses import dataclass

from sqlalchemy import Engine

from ca import audit
from ca.errors import Conflict, NotAuthenticated, TooManyAttempts
from ca.identity import hourly
from ca.identity.attempts import WINDOW, in_window, network_of
from ca.identity.sessions import Visitor, hash_of
from ca.identity.stepup import FRESH, Ask
from ca.oauth.device import read_user_code
from ca.store import attempts
from ca.store import device_codes as store
from ca.store.device_codes import DeviceAuthorization
from ca.store.engine import reading, writing
from ca.store.sessions import BrowserSession

MAX_WRONG_OF_USER = 10
MAX_WRONG_OF_ADDRESS = 100
"""Wrong codes in an hour. Behind one address there may be a whole company."""


class WrongUserCode(NotAuthenticated):
    """No device waits with this code."""

    code = "wrong_code"

    def __init__(self) -> None:
        super().__init__(
            "No device waits with this code. Compare it with what your device shows; after ten"
            " minutes it needs a new one."
        )


@dataclass(frozen=True)
class Device:
    """A device whose code was typed, and the browser session in which it was.

    `since` is before when a proof is too old for it.
    """

    code_hash: str
    user_code: str
    client_id: str
    amr: tuple[str, ...]
    since: int
    session_id: str

    @property
    def ask(self) -> Ask:
        """What the login must show."""
        return Ask(frozenset(self.amr), self.since)


def take_user_code(
    engine: Engine, session: BrowserSession, visitor: Visitor, typed: str, now: int
) -> Device:
    """The device that waits with the code that was typed.

    Raises:
        WrongUserCode: there is none.
        TooManyAttempts: too many wrong codes were typed by this person, or from this address.
    """
    user_code = read_user_code(typed)
    counted = _subjects(session.user.id, visitor.address, now)
    with writing(engine) as connection:  # committed before anything is looked at
        for subject, most in counted:
            if not attempts.count_below(connection, subject, most, now):
                raise TooManyAttempts("Too many wrong codes. Try again in an hour.", WINDOW)
    with writing(engine) as connection:
        asked = store.find_typed(connection, hash_of(user_code), now)
        if asked is not None:
            for subject, _most in counted:
                attempts.take_back(connection, subject)
        else:
            audit.append(connection, "device:guess", session.user.id, session.id, {})
    if asked is None:
        raise WrongUserCode
    since = now - FRESH
    if asked.max_age is not None:  # counted from when it was asked
        since = max(since, asked.created_at - asked.max_age)
    return Device(
        code_hash=asked.code_hash,
        user_code=user_code,
        client_id=asked.client_id,
        amr=asked.amr,
        since=since,
        session_id=session.id,
    )


def find(engine: Engine, device: Device, now: int) -> DeviceAuthorization:
    """What the device asks.

    Raises:
        Conflict: it does not wait for a decision any more.
    """
    with reading(engine) as connection:
        asked = store.find_open(connection, device.code_hash, now)
    if asked is None:
        raise _no_longer_open()
    return asked


def allow(engine: Engine, device: Device, session: BrowserSession, now: int) -> None:
    """Let the device have tokens, which rest on what was proved recently enough.

    Raises:
        Conflict: it does not wait for a decision any more.
        TooManyAttempts: this session let too many within the hour.
    """
    with writing(engine) as connection:
        asked = store.find_open(connection, device.code_hash, now)
        if asked is None:
            raise _no_longer_open()
        approval = store.Approval(
            user_id=session.user.id,
            browser_session_id=session.id,
            client_id=asked.client_id,
            scope=asked.scope,
            proofs=device.ask.counted(session.proofs),
        )
        if not store.allow(connection, device.code_hash, approval, now):
            raise _no_longer_open()
        hourly.count(connection, hourly.CONSENT, session.id, session.user.id, now)
        detail = {"client": asked.client_id, "address": asked.address}
        audit.append(connection, "device:allow", session.user.id, session.id, detail)


def deny(engine: Engine, device: Device, session: BrowserSession, now: int) -> None:
    """Refuse the device.

    Raises:
        Conflict: it does not wait for a decision any more.
    """
    with writing(engine) as connection:
        if not store.deny(connection, device.code_hash, session.user.id, now):
            raise _no_longer_open()
        detail = {"client": device.client_id}
        audit.append(connection, "device:deny", session.user.id, session.id, detail)


def count_refused(engine: Engine, device: Device, actor: str, now: int) -> None:
    """Somebody wanted to allow it and may not: after some of these it is dead, and they say no more."""
    with writing(engine) as connection:
        if store.count_failure(connection, device.code_hash, now):
            detail = {"client": device.client_id}
            audit.append(connection, "device:refuse", actor, device.session_id, detail)


def _subjects(user_id: str, address: str, now: int) -> list[tuple[str, int]]:
    """What wrong codes are counted for, and how many of them are let through."""
    counted = {user_id: MAX_WRONG_OF_USER, network_of(address): MAX_WRONG_OF_ADDRESS}
    return [(in_window(f"Device {one}", now), most) for one, most in counted.items()]


def _no_longer_open() -> Conflict:
    return Conflict("This login was decided about or has expired. Start it again on your device.")
