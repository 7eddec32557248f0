"""Passkeys and security keys on the pages and in the API: what their person sees of them."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING

import pytest

from ca.identity import webauthn
from tests.authenticator import ELIGIBLE, PRESENT, VERIFIED
from tests.databases import new_sqlite
from tests.directory import records
from tests.oauth import claims_of
from tests.security_keys import SITE, added, answered, authenticator, mails
from tests.web import PASSWORD, Browser, Client, add_person, code_of, new_services, pass_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ca.services import Services


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Services]:
    """A service with a host name."""
    with new_services(new_sqlite(tmp_path), tmp_path, SITE.origin) as new:
        yield new


@pytest.mark.attack(203)
def test_the_first_key_is_added_from_a_password_and_lifts_nothing(site: Services) -> None:
    alice = add_person(site, "alice")
    elsewhere, terminal = Browser(site), Client(site)
    elsewhere.log_in(elsewhere.get("/login"), alice)
    token = terminal.tokens(alice)["access_token"]
    here = Browser(site)
    here.log_in(here.get("/login"), alice)
    before = here.cookie
    pass_time(site, 5)

    page = answered(here, here.get("/security/key"), authenticator(), name="laptop")

    assert len(re.findall(r"<li>[0-9a-z]{4}(?:-[0-9a-z]{4}){5}</li>", page.text)) == 10
    assert here.cookie != before
    pass_time(site, 5)
    assert "It began before your key" in here.get("/security").text
    assert 'action="/login"' in elsewhere.get("/security").text
    assert terminal.api("GET", "/users/me", token).status_code == 401
    assert "A passkey or security key was added" in mails(site)[0]
    assert 'action="/login"' in here.get("/security/key").text, "with a password from before"


@pytest.mark.attack(126)
@pytest.mark.attack(133)
def test_a_passkey_is_a_whole_login_without_a_name(site: Services) -> None:
    alice = add_person(site, "alice")
    key = authenticator(PRESENT | VERIFIED | ELIGIBLE)
    added(site, alice, key)
    browser, client = Browser(site), Client(site)
    page = answered(browser, browser.get(client.url(amr="mfa")), key)
    answer = browser.submit(page, decision="allow")
    token = client.exchange(code_of(answer)).json()["access_token"]
    assert claims_of(token)["amr"] == ["mfa", "swk"]
    assert "You logged in with a passkey" in browser.get("/security").text
    cookie = browser.cookie
    browser.get(client.url(max_age="0"))
    pass_time(site, 5)
    page = answered(browser, browser.get(client.url(max_age="1")), key)
    assert "Allow" in page.text
    assert browser.cookie != cookie


@pytest.mark.attack(133)
def test_a_touch_alone_is_asked_for_the_password(site: Services) -> None:
    alice = add_person(site, "alice")
    key = authenticator(PRESENT)
    added(site, alice, key)
    browser, client = Browser(site), Client(site)
    page = answered(browser, browser.get(client.url(amr="mfa")), key)
    assert 'name="password"' in page.text
    page = browser.submit(page, username="alice", password=PASSWORD)
    token = client.exchange(code_of(browser.submit(page, decision="allow"))).json()
    assert claims_of(token["access_token"])["amr"] == ["hwk", "mfa", "pwd"]


def test_a_key_is_the_second_factor_after_the_password(site: Services) -> None:
    alice = add_person(site, "alice")
    key = authenticator(PRESENT, count=1)
    added(site, alice, key)
    key.handle = None  # it does not know its person, and need not
    browser, client = Browser(site), Client(site)
    page = browser.submit(browser.get(client.url()), username="alice", password=PASSWORD)
    assert "Use your key" in page.text
    wrong = answered(browser, page, authenticator())
    assert wrong.status_code == 401
    assert "This key is not known here" in wrong.text
    key.count = 1
    page = answered(browser, wrong, key)
    token = client.exchange(code_of(browser.submit(page, decision="allow"))).json()
    assert claims_of(token["access_token"])["amr"] == ["hwk", "mfa", "pwd"]
    assert any("may have been copied" in mail for mail in mails(site))
    assert "May be copied" in browser.get("/security").text


@pytest.mark.attack(124)
def test_who_has_lost_the_key_uses_a_recovery_code(site: Services) -> None:
    alice = add_person(site, "alice")
    browser = Browser(site)
    browser.log_in(browser.get("/login"), alice)
    page = answered(browser, browser.get("/security/key"), authenticator(), name="lost")
    code = re.findall(r"<li>([0-9a-z-]{29})</li>", page.text)[0]
    pass_time(site, 5)
    later = Browser(site)
    page = later.submit(later.get("/login"), username="alice", password=PASSWORD)
    assert "Authenticator app" in later.post("/login/code", {"code": code}).text


def test_a_client_that_asks_for_hardware_gets_it_or_is_told(site: Services) -> None:
    bob = add_person(site, "bob", app=True)
    browser, client = Browser(site), Client(site)
    browser.log_in(browser.get("/login"), bob)
    page = browser.get(client.url(amr="hwk"))
    assert "has no second factor yet that will do" in page.text
    answered(browser, browser.get("/security/key"), authenticator(PRESENT), name="a key")
    page = browser.get(client.url(amr="hwk"))
    assert "Use your key" in page.text
    assert 'name="code" class="code" inputmode' not in page.text


@pytest.mark.attack(132)
def test_a_question_of_one_browser_is_not_answered_in_another(site: Services) -> None:
    alice = add_person(site, "alice")
    key = authenticator()
    added(site, alice, key)
    one, other = Browser(site), Browser(site)
    page = one.get("/login")
    other.get("/login")
    refused = answered(other, page, key)
    assert refused.status_code == 400
    assert "This page is not complete" in refused.text
    assert "Authenticator app" in answered(one, page, key).text


@pytest.mark.attack(121)
def test_the_login_page_tells_nothing_of_who_has_a_key(site: Services) -> None:
    alice = add_person(site, "alice")
    added(site, alice, authenticator())
    pages = []
    for name in ("alice", "nobody"):
        browser = Browser(site)
        page = browser.submit(browser.get("/login"), username=name, password="a guess of mine")
        options = re.findall(r'data-options="([^"]+)"', page.text)
        asked = [json.loads(html.unescape(one)) | {"challenge": ""} for one in options]
        pages.append((page.status_code, asked))
        assert asked[0]["allowCredentials"] == []
    assert pages[0] == pages[1]


def test_the_address_that_makes_up_keys_is_the_one_that_asks(
    site: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webauthn, "MAX_FAILED", 1)
    browser = Browser(site)
    for _ in range(2):
        assert answered(browser, browser.get("/login"), authenticator()).status_code == 401
    failed = [one for one in records(site.engine) if one[0].startswith("login:")]
    assert failed == [("login:fail", "", ""), ("login:flood", "", "192.0.2.7")]


@pytest.mark.attack(128)
@pytest.mark.parametrize("path", ["/login/passkey", "/login/key", "/security/key"])
def test_only_a_form_of_ours_is_taken(site: Services, path: str) -> None:
    headers = {"origin": SITE.origin, "content-type": "application/json"}
    assert Browser(site).http.post(path, content=b"{}", headers=headers).status_code == 400
    evil = {"origin": "https://evil.example"}
    assert Browser(site).http.post(path, data={}, headers=evil).status_code == 403


def test_a_key_is_removed_on_the_page(site: Services) -> None:
    alice = add_person(site, "alice")
    key = authenticator()
    browser = added(site, alice, key)
    pass_time(site, 700)
    page = answered(browser, browser.get("/security/key"), key)
    assert "Add a passkey" in page.text, "back to where one was sent away"
    page = browser.get("/security")
    key_id = re.findall(r'name="id" value="([^"]+)"', page.text)[0]
    page = browser.post("/security/key/remove", {"id": key_id})
    assert 'name="id"' not in page.text
    assert any("A passkey or security key was removed" in mail for mail in mails(site))


def test_under_an_address_there_are_no_keys(services: Services) -> None:
    alice = add_person(services, "alice")
    browser = Browser(services)
    assert "data-webauthn" not in browser.get("/login").text
    browser.log_in(browser.get("/login"), alice)
    assert "security keys" not in browser.get("/security").text
    assert browser.get("/security/key").status_code == 404


@pytest.mark.attack(130)
def test_the_only_script_is_our_own_file(site: Services) -> None:
    browser = Browser(site)
    page = browser.get("/login")
    assert re.findall(r"<script.*?>", page.text) == ['<script src="/static/webauthn.js" defer>']
    policy = page.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    script = browser.get("/static/webauthn.js")
    assert script.headers["content-type"].startswith("text/javascript")


# --- by the API -----------------------------------------------------------------------------


def test_the_api_lists_and_removes_keys(site: Services) -> None:
    alice, bob = add_person(site, "alice"), add_person(site, "bob")
    key = authenticator(PRESENT | VERIFIED | ELIGIBLE)
    added(site, alice, key)
    browser, client = Browser(site), Client(site)
    page = answered(browser, browser.get(client.url()), key)
    token = client.exchange(code_of(browser.submit(page, decision="allow"))).json()["access_token"]

    [one] = client.api("GET", f"/users/{alice.id}/webauthn", token).json()

    assert (one["name"], one["amr"], one["backed_up"]) == ("a key", "swk", False)
    assert one["last_used_at"].endswith("Z")
    assert client.api("GET", "/users/me", token).json()["mfa_enabled"] is True
    assert client.api("GET", f"/users/{bob.id}/webauthn", token).status_code == 404
    path = f"/users/{alice.id}/webauthn/{one['id']}"
    assert client.api("DELETE", path, token).status_code == 204
    assert client.api("DELETE", path, token).status_code == 404
