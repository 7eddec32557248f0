"""Attack 105: the codes that devices show, guessed by many people from many addresses."""

from __future__ import annotations

import secrets
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ca.errors import TooManyAttempts
from ca.identity.sessions import Visitor, hash_of, new_secret
from ca.oauth import approval, device
from ca.oauth.approval import MAX_WRONG_OF_ADDRESS, MAX_WRONG_OF_USER, WrongUserCode
from ca.store import device_codes
from ca.store.engine import writing
from ca.store.sessions import BrowserSession
from tests.drills.drill import Drill, Finding
from tests.drills.people import newcomer
from tests.web import user_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ca.services import Services
    from tests.drills.nodes import Stage

TARGET = "0 found; in an hour at most 10 let through of a person, 100 of an address"
WAITING = 200  # devices with a code that nobody has typed yet
TRIES = 5 * MAX_WRONG_OF_USER  # of each person
PEOPLE = MAX_WRONG_OF_ADDRESS // MAX_WRONG_OF_USER + 2  # at each address
AT_ONCE = 4  # people who guess at the same moment


def guessing(stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """About `count` guesses at random: of each person, and at each address, more than are let
    through. An event is a device that was found, or a guess beyond these limits.
    """
    services, now = stage.nodes.services, int(time.time())
    _let_wait(services, now)
    found = let_through = beyond = tried = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while tried < count:
            visitor = Visitor("drill", f"10.{tried >> 16 & 255}.{tried >> 8 & 255}.{tried & 255}")
            work = [pool.submit(_guess, services, visitor, now) for _ in range(PEOPLE)]
            outcomes = [one.result() for one in work]
            at_address = sum(admitted for admitted, _hits in outcomes)
            found += sum(hits for _admitted, hits in outcomes)
            beyond += max(0, at_address - MAX_WRONG_OF_ADDRESS)
            beyond += sum(max(0, one - MAX_WRONG_OF_USER) for one, _hits in outcomes)
            let_through += at_address
            tried += PEOPLE * TRIES
            tell(min(tried, count))
    share = WAITING / len(device.ALPHABET) ** device.LENGTH
    figures = {
        "let through": str(let_through),
        "devices waiting": str(WAITING),
        "chance that one of all these hits": f"{let_through * share:.1e}",
    }
    return Finding(tried, found + beyond, figures)


DRILLS = (Drill("device-guesses", "105", TARGET, 100_000, 200, guessing),)


def _guess(services: Services, visitor: Visitor, now: int) -> tuple[int, int]:
    """How many guesses of a new person were let through, and how many found a device."""
    user = user_of(services, newcomer(services))
    session = BrowserSession(str(uuid.uuid4()), user, (), now, now)
    admitted = hits = 0
    for _ in range(TRIES):
        typed = "".join(secrets.choice(device.ALPHABET) for _ in range(device.LENGTH))
        try:
            approval.take_user_code(services.engine, session, visitor, typed, now)
        except TooManyAttempts:
            continue
        except WrongUserCode:
            admitted += 1
        else:
            admitted, hits = admitted + 1, hits + 1
    return admitted, hits


def _let_wait(services: Services, now: int) -> None:
    """Devices whose codes could be hit."""
    with writing(services.engine) as connection:
        for _ in range(WAITING):
            user_code = "".join(secrets.choice(device.ALPHABET) for _ in range(device.LENGTH))
            asked = device_codes.DeviceAuthorization(
                code_hash=hash_of(new_secret()),
                client_id="amrgate",
                scope="",
                amr=(),
                max_age=None,
                address="192.0.2.9",
                user_agent="drill",
                created_at=now,
                expires_at=now + device.LIFETIME,
            )
            device_codes.add(connection, asked, hash_of(user_code), device.INTERVAL)
