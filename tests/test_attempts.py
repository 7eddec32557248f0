"""Guessing: counted before it is checked, over everything that one can guess."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ca.errors import CAError, TooManyAttempts
from ca.identity import accounts, attempts, mailbox, passwords
from ca.identity.proofs import Proof
from ca.keys import Seal
from ca.store import attempts as store
from ca.store.attempts import Count
from ca.store.engine import open_engine, reading
from tests.test_totp import at_once
from tests.web import PASSWORD, Browser, add_person, pass_time

if TYPE_CHECKING:
    from ca.services import Services


@pytest.mark.parametrize(
    ("failures", "ago", "wait"),
    [
        (0, 0, 0),
        (4, 0, 0),
        (5, 0, 1),
        (5, 1, 0),
        (8, 3, 5),
        (16, 0, 2048),
        (59, 0, 3600),
        (59, 3600, 0),
        (60, 10**6, 3600),
    ],
)
def test_waits_grow_and_sixty_are_the_end(failures: int, ago: int, wait: int) -> None:
    assert attempts.seconds_to_wait(Count(failures, failures, 10**9 - ago), 10**9) == wait


def count(services: Services, subject: str) -> int:
    with reading(services.engine) as connection:
        return store.find_count(connection, subject).failures


DIES = """
import os, signal, sys
from ca.identity import accounts, passwords
from ca.keys import Seal
from ca.store.engine import open_engine
passwords.is_right = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
engine, seal = open_engine(sys.argv[1]), Seal(bytes(32))
accounts.check_password(engine, seal, "bob", "a guess", int(sys.argv[2]))
"""


@pytest.mark.attack(117)
def test_a_process_that_is_killed_while_it_checks_has_counted(services: Services) -> None:
    bob = add_person(services, "bob")
    url, now = services.settings.database, str(int(time.time()))
    killed = subprocess.run(
        [sys.executable, "-c", DIES, url, now], check=False, timeout=60, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert count(services, bob.id) == 1


@pytest.mark.attack(117)
def test_an_error_while_it_checks_has_counted(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = add_person(services, "bob")

    def fail(*_: object) -> bool:
        raise MemoryError

    monkeypatch.setattr(passwords, "is_right", fail)
    with pytest.raises(MemoryError):
        accounts.check_password(
            services.engine, services.keys.seal, "bob", "a guess", int(time.time())
        )
    assert count(services, bob.id) == 1


@pytest.mark.attack(117)
def test_attempts_at_once_on_two_nodes_are_all_counted(services: Services) -> None:
    bob = add_person(services, "bob")
    nodes = [services.engine, open_engine(services.settings.database)]
    now = int(time.time())
    outcomes = at_once([partial(attempts.admit, nodes[n % 2], bob.id, now) for n in range(8)])
    nodes[1].dispose()
    admitted = outcomes.count(False)
    assert admitted == count(services, bob.id) == attempts.FREE
    told = {str(one) for one in outcomes if isinstance(one, TooManyAttempts)}
    assert told == {"Too many attempts. Try again in 1 second."}, outcomes


@pytest.mark.attack(118)
def test_guesses_of_every_kind_share_one_budget(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    seal = services.keys.seal
    nodes = [services.engine, open_engine(services.settings.database)]
    now = int(time.time())
    admitted = 0
    for guess in range(300):
        now += attempts.MAX_WAIT  # nobody is more patient
        node = nodes[guess % 2]
        try:
            if guess % 50 == 0:
                accounts.check_password(node, seal, "BOB@acme.example", "a guess", now)
            elif guess % 2:
                accounts.check_code(node, seal, bob.id, "a0b1c2d3e4f5g6h7", now)
            else:
                accounts.check_code(node, seal, bob.id, f"{guess:06}"[:5], now)
        except TooManyAttempts:
            continue
        except CAError:
            admitted += 1
    nodes[1].dispose()
    assert admitted == attempts.MAX_FAILURES
    with pytest.raises(TooManyAttempts):
        accounts.check_password(services.engine, seal, "bob", PASSWORD, now + attempts.MAX_WAIT)


@pytest.mark.attack(118)
def test_the_right_password_between_wrong_codes_forgets_nothing(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    for guessed in range(1, 4):
        browser = Browser(services)  # each guess in a session of its own
        page = browser.submit(browser.get("/login"), username="bob", password=PASSWORD)
        assert "That is not" not in browser.submit(page, code="000000").text
        assert count(services, bob.id) == guessed
    browser.log_in(page, bob)
    assert count(services, bob.id) == 0, "a whole login"


def test_a_person_is_told_how_long_to_wait(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    now = int(time.time())
    for guess in range(8):
        attempts.admit(services.engine, bob.id, now - 1000 + 100 * guess)
    attempts.admit(services.engine, bob.id, now)
    browser = Browser(services)
    page = browser.submit(browser.get("/login"), username="bob", password=PASSWORD)
    assert page.status_code == 429
    assert "Too many attempts. Try again in" in page.text
    pass_time(services, 3600)
    assert "Enter your code" in browser.submit(page, username="bob", password=PASSWORD).text


def test_what_is_counted_by_the_hour_or_day_does_not_pile_up(services: Services) -> None:
    now = int(time.time())
    bob = add_person(services, "bob")
    made_up = [attempts.of_key(b"none", now, known=False), attempts.in_window("Device 1", now)]
    lasting = [bob.id, attempts.of_name(services.keys.seal, "nobody")]
    for subject in (*made_up, *lasting):
        attempts.admit(services.engine, subject, now)
    attempts.admit(services.engine, bob.id, now + 2 * attempts.KEY_WINDOW)
    assert [count(services, subject) for subject in (*made_up, *lasting)] == [0, 0, 2, 1]


def test_a_name_that_nobody_has_may_be_a_password_and_cannot_be_guessed_from_the_count() -> None:
    here, elsewhere = (attempts.of_name(Seal(bytes([n]) * 32), PASSWORD) for n in (1, 2))
    assert len(here) == len(elsewhere) == 64
    assert here != elsewhere


@pytest.mark.attack(121)
@pytest.mark.parametrize("owner_at", [None, "known", "a new one"])
@pytest.mark.parametrize("rest", [600, 2 * attempts.REST, 100 * attempts.REST])
def test_who_asks_again_later_does_not_learn_whose_name_it_is(
    services: Services, owner_at: str | None, rest: int
) -> None:
    engine, seal = services.engine, services.keys.seal
    bob, now = add_person(services, "bob"), int(time.time())
    accounts.know_browser(engine, bob.id, "known", "", now)

    def heard(name: str, times: int, now: int) -> list[int]:
        """The seconds of each answer's Retry-After; 0 where it was looked at."""
        said = []
        for _ in range(times):
            try:
                accounts.check_password(engine, seal, name, "a guess", now)
            except TooManyAttempts as error:
                said.append(error.retry_after)
            except accounts.WrongPassword:
                said.append(0)
        return said

    said = {name: heard(name, 7, now) for name in ("bob", "nobody")}
    for name in said:
        said[name] += heard(name, 8, now + 3600)
    now += 3600 + rest
    if owner_at:
        _user, proof = accounts.check_password(
            engine, seal, "bob", PASSWORD, now - 60, browser=owner_at
        )
        accounts.settle(engine, bob.id, proof, complete=True, browser=owner_at)
    for name in said:
        said[name] += heard(name, 8, now)
    assert said["bob"] == said["nobody"]
    assert said["bob"][-8:] == ([0] + [4] * 7 if rest == 600 else [0] * 5 + [1] * 3)


def test_what_is_typed_rightly_is_no_reason_to_wait(services: Services) -> None:
    """Waits outlast logins: whoever mistypes now and then, always in a new browser, has none."""
    bob, now = add_person(services, "bob", app=True), int(time.time()) - 100 * attempts.REST
    engine, seal = services.engine, services.keys.seal
    for _ in range(20):
        now += 86400
        with pytest.raises(accounts.WrongCode):
            accounts.check_code(engine, seal, bob.id, "12345", now)
        for later in range(60, 86400, attempts.REST // 2):  # more often than one rests
            _user, proof = accounts.check_password(engine, seal, "bob", PASSWORD, now + later)
            accounts.settle(engine, bob.id, proof, complete=False)
            attempts.admit(engine, bob.id, now + later)
            accounts.settle(engine, bob.id, Proof("otp", now + later), complete=True)


def test_after_many_guesses_a_right_password_may_be_followed_by_a_code_at_once(
    services: Services,
) -> None:
    bob, now = add_person(services, "bob"), int(time.time())
    engine, seal = services.engine, services.keys.seal
    for guess in range(30):
        attempts.admit(engine, bob.id, now - attempts.MAX_WAIT * (30 - guess))
    with pytest.raises(TooManyAttempts):
        attempts.admit(engine, bob.id, now - 1)
    _user, proof = accounts.check_password(engine, seal, "bob", PASSWORD, now)
    accounts.settle(engine, bob.id, proof, complete=False)
    with pytest.raises(accounts.WrongCode):
        accounts.check_code(engine, seal, bob.id, "12345", now + 1)
    with pytest.raises(TooManyAttempts):
        accounts.check_code(engine, seal, bob.id, "12345", now + 2)


@pytest.mark.attack(120)
def test_whoever_guesses_does_not_lock_the_owner_out(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    known, guesser = Browser(services), Browser(services)
    known.log_in(known.get("/login"), bob)
    now = int(time.time())
    for guess in range(attempts.MAX_FAILURES - 1):
        attempts.admit(services.engine, bob.id, now - 3600 * (attempts.MAX_FAILURES - guess))
    wrong = guesser.submit(guesser.get("/login"), username="bob", password="the last guess")
    assert "do not belong together" in wrong.text
    locked = guesser.submit(wrong, username="bob", password=PASSWORD)
    assert (locked.status_code, "a browser in which you have" in locked.text) == (429, True)
    files = list(services.settings.data.glob("mail/*.eml"))
    assert [b"too many attempts to log in" in file.read_bytes() for file in files] == [True]
    pass_time(services, 10**6)
    assert guesser.submit(locked, username="bob", password=PASSWORD).status_code == 429

    known.http.cookies.delete("amrgate")
    page = known.log_in(known.get("/login"), bob)
    assert "Authenticator app" in page.text, "bob's own browser is let in"
    assert count(services, bob.id) == 0, "and then all of them are"
    assert "Enter your code" in guesser.submit(locked, username="bob", password=PASSWORD).text


@pytest.mark.attack(118, 120)
def test_known_browsers_have_a_budget_of_their_own_and_a_hundred_is_the_end(
    services: Services,
) -> None:
    bob = add_person(services, "bob")
    mine = [Browser(services), Browser(services)]
    for browser in mine:
        browser.log_in(browser.get("/login"), bob)
    cookies = [browser.http.cookies["amrgate-browser"] for browser in mine]
    seal, now = services.keys.seal, int(time.time())
    admitted = 0
    for guess in range(220):
        now += attempts.MAX_WAIT
        cookie = ["", *cookies, "stolen from nobody"][guess % 4]
        try:
            accounts.check_password(services.engine, seal, "bob", "a guess", now, browser=cookie)
        except TooManyAttempts:
            continue
        except CAError:
            admitted += 1
    assert admitted == attempts.MAX_FAILURES + attempts.KNOWN_FAILURES == 100


@pytest.mark.attack(120)
def test_a_mailed_link_lets_a_locked_owner_in_and_gives_no_more_guesses(
    services: Services,
) -> None:
    bob = add_person(services, "bob", app=True)
    now = int(time.time())
    for guess in range(attempts.MAX_FAILURES):
        attempts.admit(services.engine, bob.id, now - 3600 * (attempts.MAX_FAILURES - guess))
    asked = mailbox.ask_reset(services.engine, "bob", now)
    assert asked
    browser = Browser(services)
    page = browser.get(f"/reset?token={asked[1]}")
    new = "thunder lamp orbit fig"
    browser.submit(page, password=new, again=new)
    assert count(services, bob.id) == attempts.MAX_FAILURES
    assert "Authenticator app" in browser.log_in(browser.get("/login"), bob, new).text


@pytest.mark.attack(122)
def test_where_attempts_cannot_be_counted_nobody_logs_in(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    with services.engine.begin() as connection:
        connection.execute(text("DROP TABLE attempts"))
    for check in (
        partial(accounts.check_password, services.engine, services.keys.seal, "bob", PASSWORD),
        partial(accounts.check_code, services.engine, services.keys.seal, bob.id, bob.code()),
    ):
        with pytest.raises(DBAPIError):
            check(int(time.time()))
