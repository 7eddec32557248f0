"""The device grant: a code that is typed elsewhere, and whoever would have somebody else type it."""

from __future__ import annotations

import binascii
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, update
from starlette.testclient import TestClient

from ca.app import create_app
from ca.identity import accounts
from ca.identity.sessions import Visitor, hash_of
from ca.oauth import approval, device, grants
from ca.oauth.device import ALPHABET, GRANT_TYPE, LENGTH, read_user_code
from ca.store import people
from ca.store.engine import open_engine, reading, writing
from ca.store.sessions import live_browser_session
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
from tests.issuing import post
from tests.oauth import claims_of, is_good
from tests.test_totp import at_once
from tests.web import ISSUER, Browser, Client, Person, add_person, pass_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from httpx2 import Response

    from ca.services import Services
    from ca.store.sessions import BrowserSession


@dataclass
class Machine:
    """A device with a client, but without a browser."""

    services: Services
    address: str = "203.0.113.9"

    def __post_init__(self) -> None:
        self.http = TestClient(create_app(self.services), base_url=ISSUER, client=(self.address, 1))
        self.http.headers["user-agent"] = "amrgate/1 <b>(bold)</b>"
        self.asked: dict[str, Any] = {}

    def ask(self, **parameters: str) -> str:
        """Begin a login; returns the code that it shows."""
        form = {"client_id": "amrgate", "scope": "offline_access", **parameters}
        answer = self.http.post("/oauth2/device_authorization", data=form)
        assert answer.status_code == 200, answer.text
        self.asked = answer.json()
        return str(self.asked["user_code"])

    def poll(self, **changed: str) -> Response:
        form = {
            "grant_type": GRANT_TYPE,
            "device_code": self.asked["device_code"],
            "client_id": "amrgate",
            **changed,
        }
        return self.http.post("/oauth2/token", data=form)

    def outcome(self) -> str:
        answer = self.poll()
        body: dict[str, str] = answer.json()
        assert answer.status_code == (200 if "access_token" in body else 400), answer.text
        return body.get("error", "")


def type_code(browser: Browser, person: Person, code: str) -> Response:
    """Open the page, log in if it asks for that, type the code, and whatever is asked then."""
    page = browser.log_in(browser.get("/device"), person)
    assert 'action="/device"' in page.text, page.text
    return browser.log_in(browser.submit(page, user_code=code), person)


def log_in_device(services: Services, person: Person, **parameters: str) -> dict[str, Any]:
    """The tokens of a device that somebody allowed."""
    machine = Machine(services)
    page = type_code(browser := Browser(services), person, machine.ask(**parameters))
    assert "is logged in" in browser.submit(page, decision="allow").text
    tokens: dict[str, Any] = machine.poll().json()
    return tokens


# --- a whole login --------------------------------------------------------------------------


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
    assert "0 seconds ago" in page.text or "1 second ago" in page.text
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
                [partial(redeem, nodes[n % 2], "amrgate", form, now) for n in range(4)]
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


# --- the code, and who types it -------------------------------------------------------------


@pytest.mark.attack(105)
def test_guessing_codes_is_stopped_for_an_account_wherever_it_is(services: Services) -> None:
    code = Machine(services).ask()
    bob = add_person(services, "bob")
    browsers = [Browser(services) for _ in range(3)]
    for number, browser in enumerate(browsers):
        browser.http._transport.client = (f"198.51.100.{number}", 1)  # type: ignore[attr-defined]
    tried = [type_code(browsers[n % 3], bob, f"BBBB-BBB{ALPHABET[n]}") for n in range(14)]
    assert [page.status_code for page in tried] == [401] * 10 + [429] * 4
    assert type_code(browsers[0], bob, code).status_code == 429, "also the right one"
    assert "Allow" in type_code(Browser(services), add_person(services, "alice"), code).text


@pytest.mark.attack(105)
def test_guessing_codes_is_stopped_for_an_address(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approval, "MAX_WRONG_OF_ADDRESS", 6)
    people = [add_person(services, f"user{number}") for number in range(4)]
    browsers = [Browser(services) for _ in people]
    tried = [type_code(browsers[n % 4], people[n % 4], f"BBBB-BBB{ALPHABET[n]}") for n in range(8)]
    assert [page.status_code for page in tried] == [401] * 6 + [429] * 2


@pytest.mark.attack(105)
def test_right_codes_bring_no_guesses_back(services: Services) -> None:
    bob, browser = add_person(services, "bob"), Browser(services)
    for number in range(10):
        assert type_code(browser, bob, f"BBBB-BBB{ALPHABET[number]}").status_code == 401
        if number % 3 == 1:
            page = type_code(browser, bob, Machine(services).ask())
            assert page.status_code == 200
    assert type_code(browser, bob, "BBBB-BBBB").status_code == 429
    client = Client(services)
    assert client.tokens(bob), "whoever guesses codes does not lock the login"


@pytest.mark.attack(105)
def test_a_code_dies_after_five_wrong_approvals(services: Services) -> None:
    machine, browser = Machine(services), Browser(services)
    alice = add_person(services, "alice")
    page = type_code(browser, alice, machine.ask())
    stranger = Browser(services)
    stranger.log_in(stranger.get("/login"), add_person(services, "mallory"))
    for _ in range(4):
        stranger.submit(page, decision="allow")
    assert machine.outcome() == "authorization_pending"
    stranger.submit(page, decision="allow")
    assert machine.outcome() == "access_denied"
    assert browser.submit(page, decision="allow").status_code == 409


@pytest.mark.attack(107)
def test_no_link_fills_the_code_in(services: Services) -> None:
    machine = Machine(services)
    code = machine.ask()
    alice, browser = add_person(services, "alice"), Browser(services)
    browser.log_in(browser.get("/login"), alice)
    for name in ("user_code", "code"):
        page = browser.get(f"/device?{name}={code}")
        assert code not in page.text
        assert 'name="user_code"' in page.text

    # Whoever typed the code of a device of theirs sends the address of the page that came then.
    mallory = Browser(services)
    page = type_code(mallory, add_person(services, "mallory"), code)
    sent = browser.get(str(page.url))
    assert "Allow" not in sent.text
    assert 'name="user_code"' in sent.text, "she has to type a code of hers"
    browser.submit(page, decision="allow")
    assert machine.outcome() == "authorization_pending"


@pytest.mark.attack(108)
def test_an_approval_needs_a_fresh_login_and_what_was_asked(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    machine, browser = Machine(services), Browser(services)
    page = type_code(browser, bob, machine.ask())
    pass_time(services, 601)
    stale = browser.submit(page, decision="allow")
    assert 'name="user_code"' not in stale.text, "the login is too old by now"
    assert "not recent enough" in stale.text

    browser.log_in(browser.get("/device"), bob)
    pass_time(services, 300)
    code = machine.ask(amr="mfa", max_age="60")
    page = browser.submit(browser.get("/device"), user_code=code)
    assert 'action="/login"' in page.text, "fresh enough for the page, not for the device"
    assert "to continue to <strong>amrgate" in page.text
    page = browser.log_in(page, bob)
    assert "Wants a login" in page.text
    assert "by mfa" in page.text
    assert "not older than 60 seconds" in page.text
    browser.submit(page, decision="allow")
    assert time.time() - claims_of(machine.poll().json()["access_token"])["auth_time"] < 60


def test_what_a_device_asks_and_cannot_be_shown_is_said(services: Services) -> None:
    machine, browser = Machine(services), Browser(services)
    page = type_code(browser, add_person(services, "alice"), machine.ask(amr="mfa"))
    assert "Set up a second factor first" in page.text
    assert "was refused" in browser.submit(page, decision="deny").text
    assert machine.outcome() == "access_denied"


@pytest.mark.attack(108)
def test_no_other_site_approves(services: Services) -> None:
    machine, browser = Machine(services), Browser(services)
    page = type_code(browser, add_person(services, "alice"), code := machine.ask())
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-frame-options"] == "DENY"
    form = {"for": str(page.url).partition("for=")[2], "decision": "allow"}
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {}):
        for path in ("/device/confirm", "/device"):
            answer = browser.http.post(path, data={**form, "user_code": code}, headers=headers)
            assert answer.status_code == 403
    assert machine.outcome() == "authorization_pending"


@pytest.mark.attack(108)
def test_two_who_decide_at_once_have_one_outcome(services: Services) -> None:
    people = [add_person(services, name) for name in ("alice", "bob")]
    browsers = [Browser(services) for _ in people]
    for _ in range(5):
        machine = Machine(services)
        code = machine.ask()
        typed = []
        for person, browser in zip(people, browsers, strict=True):
            type_code(browser, person, code)
            session = session_of(services, browser)
            visitor = Visitor("", "192.0.2.7")
            taken = approval.take_user_code(
                services.engine, session, visitor, code, int(time.time())
            )
            typed.append((taken, session))
        now, engine = int(time.time()), services.engine
        deciding: list[Callable[[], object]] = [
            partial(decision, engine, taken, session, now)
            for decision in (approval.allow, approval.deny)
            for taken, session in typed
        ]
        outcomes = at_once(deciding)
        decided = [one for one in outcomes if one is None]
        assert len(decided) == 1, outcomes
        assert machine.outcome() in ("", "access_denied")


def session_of(services: Services, browser: Browser) -> BrowserSession:
    with reading(services.engine) as connection:
        found = live_browser_session(connection, hash_of(browser.cookie), int(time.time()))
    assert found
    return found


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
