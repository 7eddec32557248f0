"""The code of a device: who types it, guesses it, or would have somebody else type it."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from ca.identity.sessions import Visitor, hash_of
from ca.oauth import approval
from ca.oauth.device import ALPHABET
from ca.store.engine import reading
from ca.store.sessions import live_browser_session
from tests.devices import Machine, type_code
from tests.directory import records
from tests.oauth import claims_of
from tests.test_totp import at_once
from tests.web import Browser, Client, add_person, pass_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from ca.services import Services
    from ca.store.sessions import BrowserSession


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

    for _ in range(3):
        Browser(services).submit(page, decision="allow")
    events = [event for event, _actor, _subject in records(services.engine)]
    assert events.count("device:refuse") == 5, "with a link to it nobody fills the log"


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
    assert "by more than one factor" in page.text
    assert "not older than 1 minute" in page.text
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
