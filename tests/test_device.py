"""The device grant: a whole login, its polls, and what it opens."""

from __future__ import annotations

import binascii
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, update

from ca.identity import accounts
from ca.oauth import device, grants
from ca.oauth.device import ALPHABET, LENGTH, read_user_code
from ca.store import people
from ca.store.engine import open_engine, reading, writing
from ca.store.tables import members, organizations, requirements
from sshd_hook import certificate
from sshd_hook.policy import (
    ALLOWED,
    CONTRIBUTOR,
    MORE_AUTHENTICATION,
    Access,
    Claims,
    Requirement,
    decide,
)
from tests.devices import Machine, log_in_device, type_code
from tests.issuing import post
from tests.oauth import AMRGATE, claims_of, is_good
from tests.test_totp import at_once
from tests.web import ISSUER, Browser, Client, Person, add_person, pass_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ca.services import Services


@pytest.mark.attack(106, 110)
def test_a_device_gets_its_approvers_login(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    machine, browser = Machine(services), Browser(services)
    code = machine.ask()
    assert machine.asked["verification_uri"] == f"{ISSUER}/device"
    assert "verification_uri_complete" not in machine.asked
    assert (machine.asked["expires_in"], machine.asked["interval"]) == (600, 5)
    assert machine.outcome() == "authorization_pending"

    page = type_code(browser, bob, code.lower().replace("-", " "))
    for shown in (code, "amrgate", "203.0.113.9", "&lt;b&gt;(bold)", "until you log out", "Bob"):
        assert shown in page.text
    assert " UTC, just now" in page.text
    done = browser.submit(page, decision="allow")
    assert "Your device is logged in" in done.text

    given = machine.poll().json()
    claims = claims_of(given["access_token"])
    assert claims["sub"] == bob.id
    assert claims["amr"] == ["mfa", "otp", "pwd"]
    assert claims["via"] == "device"
    assert abs(claims["auth_time"] - time.time()) < 60
    assert is_good(services, given["access_token"])

    renewed = claims_of(Client(services).refresh(given["refresh_token"]).json()["access_token"])
    assert [renewed[name] for name in ("via", "amr", "auth_time", "sid")] == [
        claims[name] for name in ("via", "amr", "auth_time", "sid")
    ]

    assert machine.outcome() == "invalid_grant"
    assert not is_good(services, given["access_token"]), "a second use ends what the first began"


def test_user_codes_are_long_and_easy_to_read() -> None:
    assert len(set(ALPHABET)) ** LENGTH >= 2**34
    assert not set(ALPHABET) & set("AEIOU01")
    for typed in ("WDJB-MJHT", "wdjbmjht", " wdjb mjht ", "WDJB\u2013MJHT"):
        assert read_user_code(typed) == "WDJBMJHT"


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"client_id": "amrgate", "client_secret": "guess"}, 401, "invalid_client"),
        ({"client_id": "amrgate", "amr": "magic"}, 400, "invalid_request"),
        ({"client_id": "amrgate", "max_age": "-1"}, 400, "invalid_request"),
    ],
)
def test_a_device_is_told_what_is_wrong(
    services: Services, form: dict[str, str], status: int, error: str
) -> None:
    answer = Machine(services).http.post("/oauth2/device_authorization", data=form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_nobody_fills_the_table(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "MAX_OPEN", 3)
    machine = Machine(services)
    for _ in range(3):
        machine.ask()
    form = {"client_id": "amrgate"}
    assert machine.http.post("/oauth2/device_authorization", data=form).status_code == 429
    Machine(services, address="203.0.113.10").ask()
    pass_time(services, 600)
    machine.ask()


def test_a_network_of_ipv6_fills_no_table_with_all_its_addresses(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "MAX_ASKED", 3)
    for number in range(3):
        Machine(services, address=f"2001:db8::{number}").ask()
    form = {"client_id": "amrgate"}
    another = Machine(services, address="2001:db8:0:0:1::").http
    assert another.post("/oauth2/device_authorization", data=form).status_code == 429
    Machine(services, address="2001:db8:0:1::").ask()
    for _ in range(4):
        Machine(services).ask()


# --- polling --------------------------------------------------------------------------------


@pytest.mark.attack(106)
def test_who_polls_too_fast_has_to_wait_longer(services: Services) -> None:
    machine = Machine(services)
    machine.ask()
    assert machine.outcome() == "authorization_pending"
    assert machine.outcome() == "slow_down"
    pass_time(services, 6)
    assert machine.outcome() == "slow_down", "ten seconds by now"
    pass_time(services, 15)
    assert machine.outcome() == "authorization_pending"
    pass_time(services, 600)
    assert machine.outcome() == "expired_token"


@pytest.mark.attack(106)
def test_a_refused_device_gets_nothing(services: Services) -> None:
    machine, browser = Machine(services), Browser(services)
    page = type_code(browser, add_person(services, "alice"), machine.ask())
    assert "was refused" in browser.submit(page, decision="deny").text
    for _ in range(2):
        assert machine.outcome() == "access_denied"
    assert browser.submit(page, decision="allow").status_code == 409
    assert machine.outcome() == "access_denied"


@pytest.mark.attack(99, 106)
def test_a_device_code_is_its_clients_and_ends(services: Services) -> None:
    two = replace(services, settings=replace(services.settings, clients=("amrgate", "other")))
    alice = add_person(services, "alice")
    machine, browser = Machine(two), Browser(two)
    page = type_code(browser, alice, machine.ask())
    browser.submit(page, decision="allow")
    for changed in ({"client_id": "other"}, {"device_code": "guess"}):
        assert machine.poll(**changed).json()["error"] == "invalid_grant"
    pass_time(services, 601)  # the approver logs in anew as well
    assert machine.outcome() == "expired_token", "allowed, but fetched too late"

    page = type_code(browser, alice, machine.ask())
    browser.submit(page, decision="allow")
    browser.post("/logout", {})
    assert machine.outcome() == "invalid_grant", "the approver logged out before"


@pytest.mark.attack(106)
def test_polls_at_once_redeem_a_device_code_at_most_once(services: Services) -> None:
    machine, browser = Machine(services), Browser(services)
    alice = add_person(services, "alice")
    with two_nodes(services) as nodes:
        for _ in range(6):
            browser.submit(type_code(browser, alice, machine.ask()), decision="allow")
            form, now = {"device_code": machine.asked["device_code"]}, int(time.time())
            redeem = device.redeem_device_code
            outcomes = at_once(
                [partial(redeem, nodes[n % 2], AMRGATE, form, now) for n in range(4)]
            )
            assert sum(isinstance(one, grants.Tokens) for one in outcomes) == 1, outcomes
            assert sum(isinstance(one, grants.InvalidGrant) for one in outcomes) == 3, outcomes


@contextmanager
def two_nodes(services: Services) -> Iterator[list[grants.Server]]:
    """Two servers on one database, each with connections of its own."""
    other = open_engine(services.settings.database)
    key = services.keys.token
    yield [grants.Server(services.settings, engine, key) for engine in (services.engine, other)]
    other.dispose()


# --- what it opens --------------------------------------------------------------------------


@pytest.fixture
def two_organizations(services: Services) -> Services:
    """Both require MFA; "strict" takes no device logins, "easy" does. Bob is a member of both."""
    bob = add_person(services, "bob", app=True)
    for name in ("strict", "easy"):
        with writing(services.engine) as connection:
            organization = {"id": name, "name": name, "label": name, "created_at": 1}
            connection.execute(insert(organizations).values(organization))
            member = {"organization_id": name, "user_id": bob.id, "role": "owner"}
            connection.execute(insert(members).values(member))
            asks = {"subject": name, "amr": ["mfa"], "device": name == "easy"}
            connection.execute(insert(requirements).values(asks))
    return services


def bob_of(services: Services) -> Person:
    with reading(services.engine) as connection:
        user = people.find_user_by_name(connection, "bob")
        assert user
        totp = people.find_totp(connection, user.id)
        assert totp
    secret = services.keys.seal.open(totp.secret_sealed, accounts.totp_purpose(user.id)).decode()
    return Person(user.id, "bob", secret)


def claims_at_hosts(services: Services, token: str) -> Claims:
    """What hosts read in a certificate that is issued for this access token."""
    line = post(services, token).json()["certificate"]
    found, _signed, _signature = certificate.parse(binascii.a2b_base64(line.split()[1]))
    return certificate.claims_of(found)


@pytest.mark.attack(111)
def test_an_old_login_has_certificates_but_opens_nothing_that_asks_for_a_younger_one(
    two_organizations: Services,
) -> None:
    services, client = two_organizations, Client(two_organizations)
    with writing(services.engine) as connection:
        strict = requirements.c.subject == "strict"
        connection.execute(update(requirements).where(strict).values(max_age=3600))
    given = client.tokens(bob_of(services))
    assert client.api("GET", "/organizations/strict", given["access_token"]).status_code == 200
    pass_time(services, 7200)
    token = client.refresh(given["refresh_token"]).json()["access_token"]
    refused = client.api("GET", "/organizations/strict", token)
    assert (refused.status_code, refused.json()["max_age"]) == (401, 3600)
    assert client.api("GET", "/organizations/easy", token).status_code == 200
    claims, access = claims_at_hosts(services, token), Access(CONTRIBUTOR, CONTRIBUTOR)
    asks = Requirement(frozenset({"mfa"}), 3600)
    decision = decide(asks, access, claims, None, int(time.time()))
    assert (decision.outcome, decision.missing) == (MORE_AUTHENTICATION, ("max_age",))


@pytest.mark.attack(109, 110)
def test_an_organization_that_takes_no_device_logins(two_organizations: Services) -> None:
    services, client = two_organizations, Client(two_organizations)
    given = log_in_device(services, bob_of(services))
    for _ in range(2):  # a refresh changes nothing of it
        token = given["access_token"]
        refused = client.api("GET", "/organizations/strict", token)
        assert refused.status_code == 401
        assert refused.json()["error"] == "insufficient_user_authentication"
        assert refused.json()["amr"] == ["mfa"]
        assert client.api("GET", "/organizations/easy", token).status_code == 200

        claims, now = claims_at_hosts(services, token), int(time.time())
        assert (claims.via, sorted(claims.amr)) == ("device", ["mfa", "otp", "pwd"])
        access, mfa = Access(CONTRIBUTOR, CONTRIBUTOR), frozenset({"mfa"})
        at_hosts = decide(Requirement(mfa), access, claims, None, now)
        assert (at_hosts.outcome, at_hosts.missing) == (MORE_AUTHENTICATION, ("device",))
        assert decide(Requirement(mfa, device=True), access, claims, None, now).outcome == ALLOWED
        assert decide(Requirement(), access, claims, None, now).outcome == ALLOWED
        given = client.refresh(given["refresh_token"]).json()


@pytest.mark.attack(110, 202)
@pytest.mark.parametrize("app", [True, False])
def test_a_device_makes_no_login_of_its_own(services: Services, *, app: bool) -> None:
    """Whoever had bob allow it could otherwise log in with another app, address and password."""
    bob, client = add_person(services, "bob", app=app), Client(services)
    token, here = log_in_device(services, bob)["access_token"], f"/users/{bob.id}"
    address = {"email": "mallory@evil.example"}
    for method, path, body in (
        ("DELETE", f"{here}/totp", None),
        ("GET", f"{here}/totp", None),
        ("POST", f"{here}/totp", {"secret": "A" * 32, "passcode": "000000"}),
        ("POST", f"{here}/codes", None),
        ("DELETE", f"{here}/webauthn/any", None),
        ("DELETE", f"{here}/identities/any", None),
        ("PATCH", here, address),
    ):
        answer = client.api(method, path, token, json=body)
        assert (answer.status_code, "in a browser" in answer.text) == (403, True), path
    assert list(services.settings.data.glob("mail/*.eml")) == []

    made = client.api("POST", f"{here}/api-tokens", token, json={"name": "of the device"})
    by_token = client.token(
        grant_type="api_token", api_token=made.json()["token"], client_id="amrgate"
    )
    assert claims_of(by_token.json()["access_token"])["via"] == "device"
