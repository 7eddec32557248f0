"""Where somebody is logged in: seen on the page and over the API, and ended from either."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from ca.console import words
from ca.identity.proofs import Proof
from ca.store.engine import reading
from ca.store.tables import audit_records
from ca.words import device
from tests.devices import Machine, type_code
from tests.test_sessions import XSS, is_in
from tests.web import Browser, Client, add_person, pass_time

if TYPE_CHECKING:
    from ca.services import Services

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def test_sessions_are_listed_and_ended_on_the_page(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    client = Client(services)
    here, there = Browser(services), Browser(services)
    there.http.headers["user-agent"] = FIREFOX
    there.log_in(there.get("/login"), bob)
    token = client.exchange(client.log_in(there, bob)).json()["access_token"]
    mine = client.exchange(client.log_in(here, bob)).json()["access_token"]

    page = here.get("/security/sessions")
    assert page.text.count("This one") == 1
    assert "Firefox on Linux" in page.text
    assert "192.0.2.7 · with password and code of an app · begun just now" in page.text
    assert "allowed in this browser" in page.text
    # The first form is the other browser's: the present one has none.
    other = page.text.partition('name="id" value="')[2].partition('"')[0]
    ended = here.post("/security/sessions/end", {"id": other})
    assert not is_in(there)
    assert client.api("GET", "/users/me", token).status_code == 401, "it was allowed there"
    assert client.api("GET", "/users/me", mine).status_code == 200
    assert "Firefox" not in ended.text
    assert here.post("/security/sessions/end", {"id": "another's"}).status_code == 404

    here.post("/security/sessions/end-others", {})
    assert is_in(here)
    assert client.api("GET", "/users/me", mine).status_code == 401
    with reading(services.engine) as connection:
        events = list(connection.execute(select(audit_records.c.event)).scalars())
    assert events.count("session:end") == 1
    assert events.count("session:end_others") == 1


def test_sessions_are_listed_and_ended_over_the_api(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    alice = add_person(services, "alice")
    client = Client(services)
    first, second = client.tokens(bob)["access_token"], client.tokens(bob)["access_token"]
    others = client.tokens(alice)["access_token"]
    path = f"/users/{bob.id}/sessions"

    listed = client.api("GET", path, first).json()
    assert [one["kind"] for one in listed] == ["browser"] * 2 + ["grant"] * 2
    (present,) = [one for one in listed if one["current"]]
    assert (present["client_id"], present["amr"]) == ("amrgate", ["mfa", "otp", "pwd"])
    (other,) = [one for one in listed if one["kind"] == "grant" and not one["current"]]

    assert client.api("GET", path, others).status_code == 404
    assert client.api("DELETE", f"{path}/{other['id']}", others).status_code == 404
    foreign = f"/users/{alice.id}/sessions/{other['id']}"
    assert client.api("DELETE", foreign, others).status_code == 404
    assert client.api("GET", "/users/me", second).status_code == 200
    assert client.api("DELETE", f"{path}/{other['id']}", first).status_code == 204
    assert client.api("GET", "/users/me", second).status_code == 401
    assert client.api("DELETE", path, first).status_code == 204
    assert [one["id"] for one in client.api("GET", path, first).json()] == [present["id"]]


@pytest.mark.attack(107)
def test_a_device_is_listed_where_it_was_last_and_not_where_it_was_allowed(
    services: Services,
) -> None:
    bob, machine, browser = add_person(services, "bob"), Machine(services), Browser(services)
    browser.submit(type_code(browser, bob, machine.ask()), decision="allow")
    tokens = machine.poll().json()

    def listed() -> str:
        page = browser.get("/security/sessions").text
        return page.partition('id="clients"')[2]

    assert "amrgate/1 &lt;b&gt;(bold)&lt;/b&gt;, 203.0.113.9 · allowed in this browser" in listed()
    client = Client(services)
    renewed = client.refresh(tokens["refresh_token"]).json()["access_token"]
    assert "testclient, testclient · allowed in this browser" in listed(), "whoever has its token"
    (shown,) = [
        one
        for one in client.api("GET", f"/users/{bob.id}/sessions", renewed).json()
        if one["kind"] == "grant"
    ]
    assert (shown["user_agent"], shown["ip"]) == ("testclient", "testclient")


def test_who_ends_other_sessions_has_just_logged_in(services: Services) -> None:
    """ASVS 5.0.0, 7.5.2: after authenticating again with one factor at least."""
    bob = add_person(services, "bob", app=True)
    client, here, there = Client(services), Browser(services), Browser(services)
    there.log_in(there.get("/login"), bob)
    token, other = (client.exchange(client.log_in(here, bob)).json() for _ in range(2))
    path, access = f"/users/{bob.id}/sessions", token["access_token"]
    pass_time(services, 601)

    for address in (path, f"{path}/{sessions_of(client, bob.id, access)[1]}"):
        answer = client.api("DELETE", address, access)
        assert answer.status_code == 401
        assert (answer.json()["amr"], answer.json()["max_age"]) == ([], 600)
    page = here.post("/security/sessions/end-others", {})
    assert "not recent enough" in page.text
    assert is_in(there)
    # The present one ends at any time.
    (present,) = [one["id"] for one in client.api("GET", path, access).json() if one["current"]]
    assert client.api("DELETE", f"{path}/{present}", access).status_code == 204
    assert client.api("GET", "/users/me", access).status_code == 401

    here.log_in(page, bob)
    here.post("/security/sessions/end-others", {})
    assert (is_in(here), is_in(there)) == (True, False)
    assert client.api("GET", "/users/me", other["access_token"]).status_code == 401


def sessions_of(client: Client, user_id: str, token: str) -> list[str]:
    return [one["id"] for one in client.api("GET", f"/users/{user_id}/sessions", token).json()]


def test_what_is_over_is_not_listed(services: Services) -> None:
    alice = add_person(services, "alice")
    client = Client(services)
    client.tokens(alice)
    pass_time(services, 8 * 86400)
    token = client.tokens(alice)["access_token"]
    assert len(client.api("GET", f"/users/{alice.id}/sessions", token).json()) == 2


@pytest.mark.attack(130)
def test_a_browser_that_calls_itself_a_script_is_shown_as_text(services: Services) -> None:
    alice = add_person(services, "alice")
    browser = Browser(services)
    browser.http.headers["user-agent"] = XSS
    browser.log_in(browser.get("/login"), alice)
    page = browser.get("/security/sessions")
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text


@pytest.mark.parametrize(
    ("user_agent", "said"),
    [
        (FIREFOX, "Firefox on Linux"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.0 Safari/605.1.15", "Safari on macOS"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 15) Chrome/140.0 Mobile Safari/537.36", "Chrome or Chromium on Android"),
        ("Mozilla/5.0 (Plan9)", "Mozilla/5.0 (Plan9)"),
        ("curl/8.5", "curl/8.5"),
        ("", "unknown device"),
    ],
)  # fmt: skip
def test_devices_in_words(user_agent: str, said: str) -> None:
    assert device(user_agent) == said


def test_methods_and_ages_in_words() -> None:
    assert (
        words.methods((Proof("sso:acme", 1), Proof("swk", 1))) == "single sign-on acme and passkey"
    )
    assert words.methods(()) == "nothing of a person's"
    assert words.asked((), None) == ""
    assert words.asked(("mfa", "sso:acme"), 3600) == (
        "by more than one factor and single sign-on acme, not older than 1 hour"
    )
    assert [words.asked((), age).split(" than ")[1] for age in (0, 90, 5400)] == [
        "0 seconds",
        "90 seconds",
        "90 minutes",
    ]
    ages = [words.age(seconds) for seconds in (0, 59, 60, 7200, 86400, 200_000)]
    assert ages == [
        "just now",
        "just now",
        "1 minute ago",
        "2 hours ago",
        "1 day ago",
        "2 days ago",
    ]
