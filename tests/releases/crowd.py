"""Many at the host's door at the same moment, half of whom lack the factor that is asked for."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from tests.hosts import wait_for
from tests.releases.office import PATIENCE, REQUIREMENT
from tests.releases.traffic import SOON, Login, Traffic, timed

if TYPE_CHECKING:
    from machine.private import Result
    from tests.releases.life import Life
    from tests.releases.office import Office

PEOPLE = 50
FACTORS = {"alice": ("pwd", "otp"), "carol": ("pwd",)}
DENIED = "Error: Access denied\n"


def crowd(life: Life) -> None:
    """Let all of them come until sshd has answered them; what it answers must be right."""
    office = life.office
    keys = {person: office.make_key(person, "ed25519", "256") for person in FACTORS}
    for person, factors in FACTORS.items():
        office.certify(person, [f"{keys[person]}.pub"], *factors)
    office.require(REQUIREMENT)
    wait_for(lambda: is_denied(office.come("carol", keys["carol"])), SOON)
    tries, administrator = _all_at_once(office, keys)
    answered = [login for login in tries if not login.is_shut_out]
    assert len(answered) == PEOPLE
    wrong = [login for login in answered if not is_right(login)]
    wrong += [login for login in administrator if login.is_wrong]
    assert not wrong, wrong
    came_in = [login for login in administrator if login.is_right]
    assert came_in, administrator
    print(
        f"          {len(tries)} tries of {PEOPLE} people, {len(tries) - PEOPLE} not answered;"
        f" the administrator was in {len(came_in)} times of {len(administrator)},"
        f" the longest in {max(login.seconds for login in came_in):.1f} s",
        flush=True,
    )
    office.require("")
    wait_for(life.lets_in, SOON)


def is_right(login: Login) -> bool:
    """Whether alice got in, and carol the whole reason why not."""
    return login.ran.out == "in\n" if login.name == "alice" else is_denied(login.ran)


def is_denied(ran: Result) -> bool:
    """Whether somebody was told what is missing, and nothing else was done."""
    return ran.out == "" and DENIED in ran.err


def _all_at_once(office: Office, keys: dict[str, str]) -> tuple[list[Login], list[Login]]:
    """Everybody's tries, and the administrator's logins meanwhile."""
    people = [*FACTORS] * (PEOPLE // len(FACTORS))
    with Traffic(office, ("admin",)) as traffic, ThreadPoolExecutor(PEOPLE) as pool:
        traffic.wait_for_more()
        before = len(traffic.logins)
        tries = pool.map(lambda person: _come(office, person, keys[person]), people)
        return [one for some in tries for one in some], traffic.logins[before:]


def _come(office: Office, person: str, key: str) -> list[Login]:
    """One person's tries, up to that which sshd answers."""
    deadline = time.monotonic() + PATIENCE
    come = partial(office.come, person, key)
    tries = [timed(person, come)]
    while tries[-1].is_shut_out and time.monotonic() < deadline:
        tries.append(timed(person, come))
    return tries
