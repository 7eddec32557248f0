"""Codes of authenticator apps: each time step once, and set up only by whom it belongs to."""

from __future__ import annotations

import base64
import math
import re
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pyotp
import pytest

from ca.errors import Conflict, InsufficientAuthentication, InvalidRequest, NotFound
from ca.identity import accounts, attempts, factors, recovery, totp
from ca.identity.factors import Acting
from ca.identity.proofs import Proof
from ca.store import people
from ca.store.engine import open_engine, reading, writing
from tests.web import Browser, Client, add_person, pass_time, wind_back

if TYPE_CHECKING:
    from collections.abc import Callable

    from ca.services import Services
    from tests.web import Person

# RFC 6238, appendix B, for SHA-1; the last six of its eight digits.
RFC_SECRET = base64.b32encode(b"12345678901234567890").decode()
RFC_CODES = {
    59: "287082",
    1111111109: "081804",
    1111111111: "050471",
    1234567890: "005924",
    2000000000: "279037",
}


@pytest.mark.parametrize(("moment", "code"), RFC_CODES.items())
def test_codes_are_those_of_the_standard(moment: int, code: str) -> None:
    assert totp.matching_step(RFC_SECRET, code, moment) == moment // 30


@pytest.mark.attack(116)
@pytest.mark.parametrize(
    ("off", "taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)]
)
def test_a_clock_may_be_off_by_one_step(off: int, *, taken: bool) -> None:
    now = 1_800_000_010
    code = pyotp.TOTP(RFC_SECRET).at(now, counter_offset=off)
    assert totp.matching_step(RFC_SECRET, code, now) == (now // 30 + off if taken else None)


@pytest.mark.parametrize(
    "typed", ["", "28708", "2870822", "28708a", "٢٨٧٠٨٢", "-28708", "287082\0"]
)
def test_what_is_no_code_is_refused(typed: str) -> None:
    assert totp.matching_step(RFC_SECRET, typed, 59) is None
    assert totp.matching_step(RFC_SECRET, "287 082", 59) == 1


def at_once(uses: list[Callable[[], object]]) -> list[object]:
    """What calls return, or raise, that all begin at the same moment."""
    barrier = threading.Barrier(len(uses))
    outcomes: list[object] = [None] * len(uses)

    def run(place: int) -> None:
        barrier.wait()
        try:
            outcomes[place] = uses[place]()
        except Exception as error:  # noqa: BLE001 it is the outcome
            outcomes[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(uses))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


@pytest.mark.attack(114)
def test_a_code_counts_once_on_two_nodes(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    nodes = [services.engine, open_engine(services.settings.database)]
    for _ in range(10):
        wind_back(services, bob)
        spend = partial(
            accounts.check_code,
            seal=services.keys.seal,
            user_id=bob.id,
            code=bob.code(),
            now=int(time.time()),
        )
        outcomes = at_once([partial(spend, node) for node in nodes])
        attempts.forget(services.engine, bob.id)  # the wrong ones would make the next wait
        assert sum(isinstance(outcome, Proof) for outcome in outcomes) == 1, outcomes
        assert sum(isinstance(outcome, accounts.WrongCode) for outcome in outcomes) == 1, outcomes
    nodes[1].dispose()


@pytest.mark.attack(114)
def test_a_thousand_pairs_spend_a_thousand_steps(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    nodes = [services.engine, open_engine(services.settings.database)]
    spent = [0, 0]

    def spend_all(place: int) -> None:
        for step in range(1, 1001):
            with writing(nodes[place]) as connection:
                spent[place] += people.spend_totp_step(connection, bob.id, step)

    at_once([lambda: spend_all(0), lambda: spend_all(1)])
    nodes[1].dispose()
    # Whoever is behind finds its step spent, or one before the last: never more than one each.
    with reading(services.engine) as connection:
        credential = people.find_totp(connection, bob.id)
    assert credential is not None
    assert credential.last_step == 1000
    assert 1 <= sum(spent) <= 1000


@pytest.mark.attack(116)
def test_no_step_before_the_last_one_counts(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    engine, seal, now = services.engine, services.keys.seal, int(time.time())
    accounts.check_code(engine, seal, bob.id, bob.code(later=1), now)
    for later in (1, 0, -1):
        with pytest.raises(accounts.WrongCode):
            accounts.check_code(engine, seal, bob.id, bob.code(later=later), now)


@pytest.mark.attack(124)
def test_a_recovery_code_logs_in_once_however_it_is_typed(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    code = recovery.new_codes()[0]
    with writing(services.engine) as connection:
        people.put_recovery_codes(connection, bob.id, [recovery.hash_of(bob.id, code)])
    browser = Browser(services)
    client = Client(services)
    page = browser.get(client.url())
    page = browser.submit(page, username="bob", password="correct horse battery staple")
    page = browser.submit(page, code=f" {code.upper().replace('-', ' ')} ")
    assert "Allow" in page.text

    answer = browser.submit(page, decision="allow")
    tokens = client.exchange(answer.headers["location"].split("code=")[1].split("&")[0]).json()
    claims = base64.b64decode(tokens["access_token"].split(".")[1] + "===")
    assert b'"amr":["mfa","pwd","recovery"]' in claims
    with pytest.raises(accounts.WrongCode):
        accounts.check_code(services.engine, services.keys.seal, bob.id, code, int(time.time()))
    mails = [file.read_text() for file in (services.settings.data / "mail").iterdir()]
    assert any("A recovery code was used" in mail for mail in mails)


def test_a_recovery_code_cannot_be_guessed_from_its_hash() -> None:
    """ASVS 5.0.0, 6.5.2: a fast hash is enough from 112 bits on."""
    codes = [recovery.normal(code) for code in recovery.new_codes()]

    assert all(set(code) <= set(recovery.ALPHABET) for code in codes)
    assert all(len(code) * math.log2(len(recovery.ALPHABET)) >= 112 for code in codes)
    assert len({code[:4] for code in codes}) == len(codes) == 10
    assert recovery.hash_of("alice", codes[0]) != recovery.hash_of("bob", codes[0])


def acting(person: Person, *methods: str, ago: int = 0) -> Acting:
    at = int(time.time()) - ago
    return Acting(person.id, "a session", tuple(Proof(method, at) for method in methods))


@pytest.mark.attack(203)
def test_the_first_app_is_set_up_from_a_password_and_lifts_nothing(services: Services) -> None:
    alice = add_person(services, "alice")
    elsewhere, here, terminal = Browser(services), Browser(services), Client(services)
    elsewhere.log_in(elsewhere.get("/login"), alice)
    tokens = terminal.tokens(alice)
    here.log_in(here.get("/login"), alice)
    before = here.cookie
    pass_time(services, 5)

    page = here.get("/security/application")
    secret = re.findall(r'name="secret" value="(\w+)"', page.text)[0]
    assert re.sub(r"\s", "", page.text).count(secret) == 2, "also to be typed"
    wrong = here.submit(page, code="000000")
    assert "This code does not fit" in wrong.text
    saved = here.submit(wrong, code=pyotp.TOTP(secret).now())

    assert len(re.findall(r"<li>[0-9a-z]{4}(?:-[0-9a-z]{4}){5}</li>", saved.text)) == 10
    assert here.cookie != before
    assert "It began before your app" in here.get("/security").text
    assert 'action="/login"' in here.get(terminal.url()).text, "with a password from before"
    assert 'action="/login"' in elsewhere.get("/security").text
    assert terminal.api("GET", "/users/me", tokens["access_token"]).status_code == 401
    assert terminal.refresh(tokens["refresh_token"]).status_code == 400
    mail = next((services.settings.data / "mail").iterdir()).read_text()
    assert "alice@acme.example" in mail
    assert "An authenticator app was set up" in mail


@pytest.mark.attack(202)
def test_a_stolen_password_changes_no_factor(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    engine, now = services.engine, int(time.time())
    for thief in (acting(bob, "pwd"), acting(bob, "pwd", "otp", ago=601), acting(bob, "otp")):
        for change in (
            lambda: factors.offer_totp(engine, services.keys.seal, thief, now),  # noqa: B023
            lambda: factors.remove_totp(engine, thief, now),  # noqa: B023
            lambda: factors.renew_recovery_codes(engine, thief, now),  # noqa: B023
        ):
            with pytest.raises(InsufficientAuthentication) as refused:
                change()
            assert (refused.value.amr, refused.value.max_age) == (("mfa",), 600)
    assert factors.of_user(engine, bob.id).has_second_factor


@pytest.mark.attack(202)
def test_the_api_asks_a_stolen_password_for_more(services: Services) -> None:
    alice = add_person(services, "alice")
    client = Client(services)
    token = client.tokens(alice)["access_token"]
    path = f"/users/{alice.id}/totp"
    offer = client.api("GET", path, token).json()
    assert offer["issuer"] == services.settings.issuer
    assert offer["account_name"] == "alice"
    assert base64.b64decode(offer["qr_code"]).startswith(b"\x89PNG")
    good = {"secret": offer["secret"], "passcode": pyotp.TOTP(offer["secret"]).now()}

    assert client.api("POST", path, token, good | {"passcode": "0"}).status_code == 400
    assert len(client.api("POST", path, token, good).json()["recovery_codes"]) == 10

    for method, where in (("GET", path), ("DELETE", path), ("POST", f"/users/{alice.id}/codes")):
        answer = client.api(method, where, token)
        assert answer.status_code == 401, "the session that set it up has no mfa by that"
        assert 'error="insufficient_user_authentication"' in answer.headers["www-authenticate"]
        assert 'amr_values="mfa", max_age="600"' in answer.headers["www-authenticate"]
        assert answer.json()["amr"] == ["mfa"]
        assert answer.json()["max_age"] == 600
    assert client.api("GET", "/users/me", token).json()["mfa_enabled"] is True


def test_with_both_factors_the_api_changes_them(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    client = Client(services)
    token = client.tokens(bob)["access_token"]
    codes = client.api("POST", f"/users/{bob.id}/codes", token)
    assert codes.status_code == 201
    assert len(set(codes.json()["recovery_codes"])) == 10
    assert client.api("GET", f"/users/{bob.id}/totp", token).status_code == 409
    assert client.api("DELETE", f"/users/{bob.id}/totp", token).status_code == 204
    assert client.api("DELETE", f"/users/{bob.id}/totp", token).status_code == 404
    assert factors.of_user(services.engine, bob.id).recovery_codes == 0


def test_nobody_sees_the_factors_of_another(services: Services) -> None:
    alice, bob = add_person(services, "alice"), add_person(services, "bob")
    client = Client(services)
    token = client.tokens(alice)["access_token"]
    unknown = client.api("GET", "/users/00000000-0000-4000-8000-000000000000/totp", token)
    others = client.api("GET", f"/users/{bob.id}/totp", token)
    assert others.status_code == unknown.status_code == 404
    assert others.json() == unknown.json()


def test_only_the_secret_that_was_offered_last_is_taken(services: Services) -> None:
    alice, mallory = add_person(services, "alice"), add_person(services, "mallory")
    engine, seal, now = services.engine, services.keys.seal, int(time.time())
    me = acting(alice, "pwd")

    def confirm(secret: str) -> list[str]:
        code = pyotp.TOTP(secret).at(now)
        return factors.confirm_totp(engine, seal, me, secret, code, now=now)

    foreign = factors.offer_totp(engine, seal, acting(mallory, "pwd"), now)
    with pytest.raises(InvalidRequest):
        confirm(pyotp.random_base32())
    first = factors.offer_totp(engine, seal, me, now)
    second = factors.offer_totp(engine, seal, me, now)
    for secret in (foreign, first, pyotp.random_base32()):
        with pytest.raises(InvalidRequest):
            confirm(secret)
    pass_time(services, 601)
    with pytest.raises(InvalidRequest, match="older than ten minutes"):
        confirm(second)
    third = factors.offer_totp(engine, seal, me, now)
    assert len(confirm(third)) == 10
    with pytest.raises(InsufficientAuthentication):
        confirm(third)
    me = acting(alice, "pwd", "otp")
    with pytest.raises(Conflict):
        confirm(third)
    with pytest.raises(accounts.WrongCode):  # the code that confirmed it is spent
        accounts.check_code(engine, seal, alice.id, pyotp.TOTP(third).at(now), now)


def test_an_app_is_removed_with_its_recovery_codes(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    now = int(time.time())
    me = acting(bob, "pwd", "otp")
    assert len(factors.renew_recovery_codes(services.engine, me, now)) == 10
    factors.remove_totp(services.engine, me, now)
    assert factors.of_user(services.engine, bob.id) == factors.Overview(None, 0)
    with pytest.raises(NotFound):
        factors.remove_totp(services.engine, me, now)


def test_no_secret_stands_in_the_database_in_clear(services: Services) -> None:
    alice = add_person(services, "alice")
    now = int(time.time())
    secret = factors.offer_totp(services.engine, services.keys.seal, acting(alice, "pwd"), now)
    with reading(services.engine) as connection:
        offered = people.find_enrolment(connection, alice.id)
    assert offered is not None
    assert secret.encode() not in offered.secret_sealed
