"""Codes and refresh tokens: each is spent once, whoever asks how often."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from ca.identity.sessions import hash_of, new_secret
from ca.oauth import grants, refresh, token
from ca.store import oauth as store
from ca.store.engine import open_engine, reading, writing
from ca.store.oauth import find_refresh_token
from tests.directory import records
from tests.oauth import AMRGATE, claims_of, is_good
from tests.test_totp import at_once
from tests.web import BACK, Browser, Client, add_person, pass_time

if TYPE_CHECKING:
    from ca.services import Services


# --- codes ----------------------------------------------------------------------------------


@pytest.mark.attack(97)
@pytest.mark.parametrize("verifier", ["-", "", "short", "x" * 43, "x" * 129, "ü" * 43])
def test_a_wrong_verifier_spends_the_code(services: Services, verifier: str) -> None:
    client = Client(services)
    code = client.log_in(Browser(services), add_person(services, "alice"))
    for changed in ({"code_verifier": verifier}, {}):
        answer = client.exchange(code, **changed)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


@pytest.mark.attack(99)
def test_a_code_is_its_clients_for_a_minute(services: Services) -> None:
    two = replace(services, settings=replace(services.settings, clients=("amrgate", "other")))
    browser, client = Browser(two), Client(two)
    alice = add_person(services, "alice")
    for changed in (
        {"client_id": "other"},
        {"redirect_uri": "http://127.0.0.1:5001"},
        {"redirect_uri": f"{BACK}/"},
        {"code": "guess"},
    ):
        code = client.log_in(browser, alice)
        answer = client.exchange(changed.pop("code", code), **changed)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    code = client.log_in(browser, alice)
    pass_time(services, 60)
    assert client.exchange(code).status_code == 400


@pytest.mark.attack(98)
def test_a_code_used_twice_ends_what_it_began(services: Services) -> None:
    client = Client(services)
    alice = add_person(services, "alice")
    earlier = client.tokens(alice)
    code = client.log_in(Browser(services), alice)
    given = client.exchange(code).json()
    assert is_good(services, given["access_token"])
    assert client.exchange(code).json()["error"] == "invalid_grant"
    assert not is_good(services, given["access_token"])
    assert client.refresh(given["refresh_token"]).status_code == 400
    assert is_good(services, earlier["access_token"]), "another login is left alone"


def two_nodes(services: Services) -> list[grants.Server]:
    engines = [services.engine, open_engine(services.settings.database)]
    return [grants.Server(services.settings, one, services.keys.token) for one in engines]


@pytest.mark.attack(98)
def test_two_uses_at_once_redeem_a_code_at_most_once(services: Services) -> None:
    client, browser = Client(services), Browser(services)
    alice = add_person(services, "alice")
    nodes = two_nodes(services)
    now = int(time.time())
    for _ in range(8):
        form = {
            "code": client.log_in(browser, alice),
            "redirect_uri": BACK,
            "code_verifier": client.verifier,
        }
        outcomes = at_once(
            [partial(token.exchange_code, nodes[n % 2], AMRGATE, form, now) for n in range(4)]
        )
        assert sum(isinstance(one, grants.Tokens) for one in outcomes) == 1, outcomes
        assert sum(isinstance(one, grants.InvalidGrant) for one in outcomes) == 3, outcomes
    nodes[1].engine.dispose()


def test_a_code_of_a_session_that_ended_is_void(services: Services) -> None:
    client, browser = Client(services), Browser(services)
    code = client.log_in(browser, add_person(services, "alice"))
    browser.post("/logout", {})
    assert client.exchange(code).json()["error"] == "invalid_grant"


# --- refresh tokens -------------------------------------------------------------------------


@pytest.mark.attack(103)
def test_a_lost_answer_is_given_again_for_a_while(services: Services) -> None:
    client = Client(services)
    first = client.tokens(add_person(services, "alice"))["refresh_token"]
    second = client.refresh(first).json()["refresh_token"]
    pass_time(services, 25)
    assert client.refresh(first).json()["refresh_token"] == second
    assert client.refresh(second).status_code == 200


@pytest.mark.attack(102)
def test_a_token_used_after_that_ends_its_session_and_tells(services: Services) -> None:
    client = Client(services)
    given = client.tokens(add_person(services, "alice"))
    second = client.refresh(given["refresh_token"]).json()
    pass_time(services, 31)
    assert client.refresh(given["refresh_token"]).json()["error"] == "invalid_grant"
    assert client.refresh(second["refresh_token"]).status_code == 400
    assert not is_good(services, second["access_token"])
    mails = [file.read_text() for file in (services.settings.data / "mail").iterdir()]
    assert any("used twice" in mail for mail in mails)


@pytest.mark.attack(103)
@pytest.mark.parametrize("parallel", [2, 12])
def test_refreshes_at_once_have_one_successor(services: Services, parallel: int) -> None:
    nodes = two_nodes(services)
    old = Client(services).tokens(add_person(services, "alice"))["refresh_token"]
    now = int(time.time())
    for _ in range(5):
        outcomes = at_once(
            [partial(refresh.refresh, nodes[n % 2], AMRGATE, old, now) for n in range(parallel)]
        )
        assert all(isinstance(one, grants.Tokens) for one in outcomes), outcomes
        successors = {one.refresh_token for one in outcomes if isinstance(one, grants.Tokens)}
        assert len(successors) == 1
        old = str(successors.pop())
    nodes[1].engine.dispose()


def test_a_successor_is_readable_only_with_its_predecessor(services: Services) -> None:
    client = Client(services)
    first = client.tokens(add_person(services, "alice"))["refresh_token"]
    second = client.refresh(first).json()["refresh_token"]
    with reading(services.engine) as connection:
        stored = find_refresh_token(connection, hash_of(first))
    assert stored is not None
    assert stored.successor_sealed is not None
    assert second.encode() not in stored.successor_sealed


def test_a_refresh_token_is_its_clients(services: Services) -> None:
    two = replace(services, settings=replace(services.settings, clients=("amrgate", "other")))
    client = Client(two)
    mine = client.tokens(add_person(services, "alice"))["refresh_token"]
    assert client.refresh(mine, client_id="other").json()["error"] == "invalid_grant"
    assert client.token(grant_type="password", client_id="amrgate").json()["error"] == (
        "unsupported_grant_type"
    )
    assert client.refresh(mine).status_code == 200, "and not spent by that"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),  # RFC 6749, section 3.2: as if it were not there
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_no_grant_is_another_fault_than_an_unknown_one(
    services: Services, form: dict[str, str], error: str
) -> None:
    answer = Client(services).token(client_id="amrgate", **form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


@pytest.mark.attack(131)
@pytest.mark.parametrize(("idle", "times"), [(7 * 86400, 1), (6 * 86400, 5)])
def test_a_grant_ends_when_idle_or_old(services: Services, idle: int, times: int) -> None:
    client = Client(services)
    refresh_token = client.tokens(add_person(services, "alice"))["refresh_token"]
    for _ in range(times - 1):
        pass_time(services, idle)
        refresh_token = client.refresh(refresh_token).json()["refresh_token"]
    pass_time(services, idle)
    assert client.refresh(refresh_token).json()["error"] == "invalid_grant"


# --- revocation -----------------------------------------------------------------------------


def revoke(services: Services, value: str, **changed: str) -> int:
    form = {"client_id": "amrgate", "client_secret": "", "token": value, **changed}
    answer = Browser(services).http.post("/oauth2/revoke", data=form)
    status: int = answer.status_code
    return status


def test_a_refresh_token_revokes_its_login_and_no_other(services: Services) -> None:
    client = Client(services)
    alice = add_person(services, "alice")
    old, new = client.tokens(alice), client.tokens(alice)
    assert revoke(services, old["refresh_token"], token_type_hint="refresh_token") == 200
    assert revoke(services, old["access_token"], token_type_hint="access_token") == 200
    assert not is_good(services, old["access_token"])
    assert is_good(services, new["access_token"])
    assert client.refresh(old["refresh_token"]).status_code == 400
    assert client.refresh(new["refresh_token"]).status_code == 200


def test_an_access_token_is_revoked_alone(services: Services) -> None:
    client = Client(services)
    given = client.tokens(add_person(services, "alice"))
    assert revoke(services, given["access_token"], token_type_hint="nonsense") == 200
    assert revoke(services, given["access_token"]) == 200
    assert not is_good(services, given["access_token"])
    assert is_good(services, client.refresh(given["refresh_token"]).json()["access_token"])

    assert revoke(services, given["access_token"]) == 200
    events = [event for event, _actor, _subject in records(services.engine)]
    assert events.count("token:revoke") == 1, "whoever holds it does not fill the log with its end"


def test_a_token_is_revoked_twice_at_once(services: Services) -> None:
    given = Client(services).tokens(add_person(services, "alice"))["access_token"]
    now = int(time.time())
    with ThreadPoolExecutor(1) as pool:
        with writing(services.engine) as connection:
            jti = claims_of(given)["jti"]
            store.revoke_access_token(connection, jti, now + 900, now)
            again = pool.submit(revoke, services, given)
            with pytest.raises(TimeoutError):
                again.result(timeout=0.5)
        assert again.result(timeout=30) == 200
    assert not is_good(services, given)


def test_what_is_no_token_is_revoked_too(services: Services) -> None:
    for value in ("", "nonsense", "a.b.c", new_secret()):
        assert revoke(services, value) == 200
