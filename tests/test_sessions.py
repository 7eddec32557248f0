"""Browser sessions: what raises, ends and protects them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from ca.api.rules import PAGE, rules_of
from ca.app import bare_app, create_app
from ca.store.engine import open_engine, writing
from ca.store.sessions import BROWSER_IDLE, BROWSER_LIFETIME
from ca.store.tables import users
from tests.web import ISSUER, PASSWORD, Browser, Client, add_person, pass_time

if TYPE_CHECKING:
    from ca.services import Services

LOGIN_FORM = 'action="/login"'


def is_in(browser: Browser) -> bool:
    return "Authenticator app" in browser.get("/security").text


@pytest.mark.attack(126)
def test_the_cookie_changes_with_each_step_up(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    browser = Browser(services)
    cookies = ["planted"]
    browser.http.cookies.set("amrgate", "planted", domain="127.0.0.1", path="/")

    page = browser.submit(browser.get("/login"), username="bob", password=PASSWORD)
    cookies.append(browser.cookie)
    browser.log_in(page, bob)
    cookies.append(browser.cookie)
    pass_time(services, 700)
    page = browser.submit(browser.get("/security/application"), username="bob", password=PASSWORD)
    cookies.append(browser.cookie)
    browser.log_in(page, bob)
    cookies.append(browser.cookie)
    browser.post("/security/codes", {})
    cookies.append(browser.cookie)

    assert len(set(cookies)) == 6
    for old in cookies[:-1]:
        thief = Browser(services)
        thief.http.cookies.set("amrgate", old)
        assert not is_in(thief), "an old cookie opens nothing"
    assert is_in(browser)


@pytest.mark.attack(126)
def test_with_https_the_cookie_is_bound_to_the_host(services: Services) -> None:
    secure = replace(services, settings=replace(services.settings, issuer="https://ca.example"))
    add_person(services, "alice")
    http = TestClient(create_app(secure), base_url="https://ca.example", follow_redirects=False)
    http.cookies.set("amrgate", "planted")
    answer = http.post(
        "/login",
        data={"username": "alice", "password": PASSWORD},
        headers={"origin": "https://ca.example"},
    )
    cookie = answer.headers.get_list("set-cookie")[0]
    assert cookie.startswith("__Host-amrgate=")
    assert {"HttpOnly", "Path=/", "SameSite=lax", "Secure"} == set(cookie.split("; ")[1:])
    assert "strict-transport-security" in answer.headers


@pytest.mark.attack(127)
def test_logging_out_ends_the_session_and_all_grants(services: Services) -> None:
    alice = add_person(services, "alice")
    browser, client = Browser(services), Client(services)
    token = client.exchange(client.log_in(browser, alice)).json()["access_token"]
    elsewhere = Browser(services)
    elsewhere.log_in(elsewhere.get("/login"), alice)
    cookie = browser.cookie

    assert "You are logged out" in browser.post("/logout", {}).text

    thief = Browser(services)
    thief.http.cookies.set("amrgate", cookie)
    assert not is_in(browser)
    assert not is_in(thief)
    assert client.api("GET", "/users/me", token).status_code == 401
    assert is_in(elsewhere)


@pytest.mark.attack(127)
def test_a_disabled_user_is_out_at_the_next_request(services: Services) -> None:
    browser = Browser(services)
    browser.log_in(browser.get("/login"), add_person(services, "alice"))
    assert is_in(browser)
    with writing(services.engine) as connection:
        connection.execute(update(users).values(disabled_at=1))
    assert not is_in(browser)


@pytest.mark.attack(131)
def test_an_idle_session_ends(services: Services) -> None:
    browser = Browser(services)
    browser.log_in(browser.get("/login"), add_person(services, "alice"))
    pass_time(services, BROWSER_IDLE - 60)
    assert is_in(browser)
    pass_time(services, BROWSER_IDLE - 60)
    assert is_in(browser), "it was used"
    pass_time(services, BROWSER_IDLE + 1)
    assert not is_in(browser)


@pytest.mark.attack(131)
def test_a_session_ends_after_a_day_however_much_it_is_used(services: Services) -> None:
    browser = Browser(services)
    browser.log_in(browser.get("/login"), add_person(services, "alice"))
    hop = BROWSER_IDLE - 60
    for _ in range(BROWSER_LIFETIME // hop):
        pass_time(services, hop)
        assert is_in(browser)
    pass_time(services, hop)
    assert not is_in(browser)


def posts() -> list[str]:
    """Every page that changes something, as the application has them."""
    found = rules_of(bare_app().routes)
    names = (name for name, rule in found if rule is PAGE and not name.startswith(("GET", "HEAD")))
    return sorted(name.removeprefix("POST ") for name in names)


def test_what_changes_something_is_found_wherever_it_is() -> None:
    assert {"/consent", "/forgot", "/reset", "/email", "/login"} <= set(posts())
    assert {f"/security/{one}" for one in ("key", "password", "sessions/end")} <= set(posts())
    assert all(path.startswith("/") for path in posts()), "no method but POST"


@pytest.mark.attack(127)
def test_what_ends_others_on_one_node_has_ended_them_on_the_other(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    other = replace(services, engine=open_engine(services.settings.database))
    here, there = Browser(services), Browser(other)
    new = "thunder lamp orbit fig"
    for path, form in {
        "/security/codes": {},
        "/security/application/remove": {},
        "/security/password": {"present": PASSWORD, "password": new, "again": new},
    }.items():
        for browser in (here, there):
            browser.log_in(browser.get("/login"), bob)
        assert is_in(there)
        cookie = here.cookie
        here.post(path, form)
        assert here.cookie != cookie, path
        assert is_in(here), path
        # New recovery codes are none of a session's factors: others live on.
        assert is_in(there) is (path == "/security/codes"), path
    other.engine.dispose()


@pytest.mark.attack(128)
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no word on where it comes from"),
        pytest.param({"origin": "https://evil.example"}, id="another site"),
        pytest.param({"origin": "null"}, id="a frame without an origin"),
        pytest.param({"origin": ISSUER + ".evil.example"}, id="a name that begins like ours"),
        pytest.param({"origin": ISSUER, "sec-fetch-site": "same-site"}, id="a neighbour"),
        pytest.param({"sec-fetch-site": "cross-site"}, id="the browser says so"),
        pytest.param({"sec-fetch-site": "none"}, id="a bookmark"),
    ],
)
def test_no_other_site_changes_anything(services: Services, headers: dict[str, str]) -> None:
    bob = add_person(services, "bob", app=True)
    browser = Browser(services)
    browser.log_in(browser.get("/login"), bob)
    sealed = re.findall(r'name="for" value="([^"]+)"', browser.get(Client(services).url()).text)[0]
    for path in posts():
        form = {"for": sealed, "decision": "allow", "username": "bob", "password": PASSWORD}
        answer = browser.http.post(path, data=form, headers=headers)
        assert answer.status_code == 403, path
        assert "set-cookie" not in answer.headers, path
    assert is_in(browser)
    assert '<span class="good">On</span>' in browser.get("/security").text


@pytest.mark.attack(128)
@pytest.mark.parametrize("media_type", ["text/plain", "multipart/form-data", "application/json"])
def test_only_a_form_is_a_form(services: Services, media_type: str) -> None:
    for path in ("/login", "/login/code", "/consent", "/security/application"):
        headers = {"origin": ISSUER, "content-type": media_type}
        answer = Browser(services).http.post(path, content=b"username=a", headers=headers)
        assert answer.status_code == 400, path


@pytest.mark.attack(130)
def test_every_page_is_under_a_strict_policy(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    browser, client = Browser(services), Client(services)
    pages = [browser.get("/login"), browser.get("/nowhere"), browser.get("/consent?for=x")]
    pages.append(browser.log_in(browser.get(client.url()), bob))
    pages.append(browser.get("/security"))
    for page in pages:
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "same-origin"
        assert not re.search(r"<script|\son\w+=|\sstyle=|javascript:", page.text)
    consent = pages[3].headers["content-security-policy"]
    assert "form-action 'self' http://127.0.0.1:5000;" in consent


XSS = "\"><script>alert(1)</script>'"


@pytest.mark.attack(130)
def test_what_people_typed_is_shown_as_text(services: Services) -> None:
    alice = add_person(services, "alice")
    with writing(services.engine) as connection:
        connection.execute(update(users).values(name=XSS))
    browser = Browser(services)
    browser.http.headers["user-agent"] = XSS
    wrong = browser.submit(browser.get("/login"), username=XSS, password="guess")
    inside = browser.log_in(browser.get(Client(services).url()), alice)
    for page in (wrong, inside, browser.get("/security"), browser.get("/logout")):
        assert "<script>" not in page.text
        assert "&lt;script&gt;" in page.text


def test_pages_that_need_a_login_lead_to_one_and_back(services: Services) -> None:
    alice = add_person(services, "alice")
    browser = Browser(services)
    page = browser.get("/security/application")
    assert LOGIN_FORM in page.text
    assert "Verify &amp; save" in browser.log_in(page, alice).text
    pass_time(services, 601)
    page = browser.get("/security/application")
    assert "not recent enough" in page.text
    assert "Verify &amp; save" in browser.log_in(page, alice).text


def test_a_half_login_sees_nothing(services: Services) -> None:
    add_person(services, "bob", app=True)
    browser = Browser(services)
    browser.submit(browser.get("/login"), username="bob", password=PASSWORD)
    for path in ("/security", "/security/application"):
        page = browser.get(path)
        assert "bob@acme.example" not in page.text
        assert "Enter your code" in page.text or LOGIN_FORM in page.text
    assert browser.get(Client(services).url()).text.count("Allow") == 0
