"""What is on its way while a password, a factor or a session ends: it comes too late."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ca.directory import people
from ca.errors import InsufficientAuthentication, NotAuthenticated
from ca.identity import accounts, attempts, factors, passwords, sessions, webauthn
from ca.identity.factors import Acting
from ca.identity.sessions import Visitor
from ca.store import people as store
from ca.store.attempts import find_count
from ca.store.engine import reading, writing
from ca.store.revocations import Cause
from tests.security_keys import acting, authenticator, user
from tests.test_sessions import is_in
from tests.web import PASSWORD, Browser, add_person

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ca.identity.proofs import Proof
    from ca.services import Services
    from tests.security_keys import Desk
    from tests.web import Person

NEW = "thunder lamp orbit fig"


@contextmanager
def nobodys_turn() -> Iterator[None]:
    """Nothing is hashed meanwhile: whoever wants that waits, as where many log in at once."""
    for _ in range(passwords.AT_ONCE):
        passwords._TURNS.acquire()
    try:
        yield
    finally:
        for _ in range(passwords.AT_ONCE):
            passwords._TURNS.release()


def until_counted(services: Services, subject: str) -> None:
    """Wait until an attempt is counted: then the password is about to be hashed."""
    for _ in range(1000):
        with reading(services.engine) as connection:
            if find_count(connection, subject).failures:
                return
        time.sleep(0.01)
    pytest.fail("nobody tried")


def begin(services: Services, person: Person, proof: Proof) -> object:
    """Log in with what was just checked."""
    visitor, now = Visitor("", ""), int(time.time())
    found = user(services, person)
    return sessions.begin(services.engine, found, (proof,), visitor, None, now=now)


@pytest.mark.attack(127)
def test_no_login_in_flight_outlives_the_password(services: Services) -> None:
    """Whoever stole it could send one login after the other: some always wait for their turn."""
    bob, thief = add_person(services, "bob"), Browser(services)
    page, argon2 = thief.get("/login"), passwords.make_hash(NEW)
    cause = Cause(int(time.time()), bob.id, "password:change")
    with ThreadPoolExecutor(1) as pool:
        with nobodys_turn():
            login = pool.submit(thief.submit, page, username="bob", password=PASSWORD)
            until_counted(services, bob.id)
            with writing(services.engine) as connection:
                accounts.store_password(connection, bob.id, argon2, cause)
        refused = login.result(timeout=30)

    assert (refused.status_code, "was changed meanwhile" in refused.text) == (401, True)
    assert not is_in(thief)
    browser = Browser(services)
    browser.log_in(browser.get("/login"), bob, NEW)
    assert is_in(browser)


def code(desk: Desk, alice: Person) -> Proof:
    engine, seal = desk.services.engine, desk.services.keys.seal
    return accounts.check_code(engine, seal, alice.id, alice.code(), desk.now)


def recovery_code(desk: Desk, alice: Person) -> Proof:
    engine, seal = desk.services.engine, desk.services.keys.seal
    codes = factors.renew_recovery_codes(engine, acting(alice, "pwd", "otp"), desk.now)
    return accounts.check_code(engine, seal, alice.id, codes[0], desk.now)


def key(desk: Desk, alice: Person) -> Proof:
    one = authenticator()
    desk.register(acting(alice, "pwd", "otp"), one)
    return desk.use(one).proof


def by_oneself(desk: Desk, alice: Person) -> None:
    me = acting(alice, "pwd", "otp")
    for one in desk.keys(alice):
        webauthn.remove(desk.services.engine, me, one.id, desk.now)
    factors.remove_totp(desk.services.engine, me, desk.now)


def by_the_operator(desk: Desk, _alice: Person) -> None:
    people.forget_factors(desk.services.engine, "alice", "operator", desk.now)


@pytest.mark.attack(127)
@pytest.mark.parametrize("end", [by_oneself, by_the_operator])
@pytest.mark.parametrize("check", [code, recovery_code, key])
def test_no_login_in_flight_outlives_its_factor(
    desk: Desk, check: Callable[[Desk, Person], Proof], end: Callable[[Desk, Person], None]
) -> None:
    alice = add_person(desk.services, "alice", app=True)
    proof = check(desk, alice)
    assert begin(desk.services, alice, proof)

    end(desk, alice)

    with pytest.raises(NotAuthenticated):
        begin(desk.services, alice, proof)


@pytest.mark.attack(127)
def test_a_session_that_was_ended_changes_no_password(services: Services) -> None:
    bob = add_person(services, "bob")
    mine, thief = Browser(services), Browser(services)
    for browser in (mine, thief):
        browser.log_in(browser.get("/login"), bob)
    page, typed = thief.get("/security/password"), {"password": NEW, "again": NEW}
    with ThreadPoolExecutor(1) as pool:
        with nobodys_turn():
            change = pool.submit(thief.submit, page, present=PASSWORD, **typed)
            until_counted(services, attempts.of_known(bob.id))
            mine.post("/security/sessions/end-others", {})
        change.result(timeout=30)

    assert is_in(mine)
    assert accounts.check_password(
        services.engine, services.keys.seal, "bob", PASSWORD, int(time.time())
    )


@pytest.mark.attack(202)
def test_of_two_first_factors_at_once_the_second_needs_the_first(desk: Desk) -> None:
    """Else who stole a password could add one while its owner does."""
    alice, engine = add_person(desk.services, "alice"), desk.services.engine
    me = acting(alice, "pwd")
    offer, one = desk.offer(me), authenticator()
    with ThreadPoolExecutor(1) as pool:
        with writing(engine) as connection:
            factors.begin_change(connection, Acting(alice.id, "hers", me.proofs), desk.now)
            adding = pool.submit(desk.take, me, offer, one.create(offer.options))
            with pytest.raises(TimeoutError):
                adding.result(timeout=0.5)
            store.add_totp(connection, alice.id, b"", 0, desk.now)
        with pytest.raises(InsufficientAuthentication):
            adding.result(timeout=30)
    assert desk.keys(alice) == ()
