"""The edge of HTTP: whatever happens, the answer is a problem with safe headers."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from ca.app import create_app
from ca.errors import InvalidRequest
from ca.http import SOON, json_object
from ca.store.engine import writing
from ca.store.issuing import Entitlements
from tests.databases import new_sqlite
from tests.directory import log_in
from tests.issuing import DAY, add_session, new_key, token_of
from tests.web import ISSUER, Browser, add_person, new_services

if TYPE_CHECKING:
    from pathlib import Path

    from httpx2 import Response

    from ca.services import Services


def ask(
    services: Services, method: str, path: str, token: str, *, raising: bool = False
) -> Response:
    http = TestClient(create_app(services), base_url=ISSUER, raise_server_exceptions=raising)
    response: Response = http.request(
        method, path, json={"key": new_key()}, headers={"authorization": f"Bearer {token}"}
    )
    return response


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/ssh", 200),
        ("GET", "/ssh", 405),
        ("POST", "/ssh/", 404),
        ("POST", "/users/me", 405),
        ("GET", "/nowhere", 404),
    ],
)
def test_every_answer_has_safe_headers(
    services: Services, method: str, path: str, status: int
) -> None:
    token = token_of(services, add_session(services))
    answer = ask(services, method, path, token)
    assert answer.status_code == status
    check_headers(answer)


@pytest.mark.parametrize(("method", "path"), [("POST", "/ssh"), ("GET", "/users/me")])
def test_a_fault_of_ours_is_a_problem_that_says_nothing_of_it(
    services: Services, method: str, path: str
) -> None:
    """Without keys, say, there is an error that nobody foresaw."""
    token = token_of(services, add_session(services))
    object.__setattr__(services, "keys", None)
    answer = ask(services, method, path, token)
    assert (answer.status_code, answer.json()["error"]) == (500, "server_error")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "NoneType" not in answer.text
    check_headers(answer)
    with pytest.raises(AttributeError):  # which goes to the server's log
        ask(services, method, path, token, raising=True)


def check_headers(answer: Response) -> None:
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers.get_list("content-security-policy")[0].startswith("default-src 'none'")
    assert len(answer.headers.get_list("cache-control")) == 1


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig", "latin-1"])
def test_a_body_is_utf_8(encoding: str) -> None:
    with pytest.raises(InvalidRequest):
        json_object('{"key": "é"}'.encode(encoding))
    assert json_object('{"key": "é"}'.encode()) == {"key": "é"}


def test_those_who_ask_together_are_each_told_of_their_own_session(services: Services) -> None:
    alice, bob, carol = (add_session(services, name) for name in ("alice", "bob", "carol"))
    now = int(time.time())
    asked = [
        (alice.sid, "j", "", now),
        (bob.sid, "revoked", "", now),
        (str(uuid.uuid4()), "j", "", now),
        (carol.sid, "j", "", now + DAY),
        (carol.sid, "j", "", now),
    ]
    with writing(services.engine) as connection:
        connection.execute(
            text("INSERT INTO revoked_access_tokens (jti, expires_at) VALUES ('revoked', :until)"),
            {"until": now + DAY},
        )
    entitlements = Entitlements(services.engine)

    async def together() -> list[str | None]:
        found = await asyncio.gather(*(entitlements.find(*one) for one in asked))
        return [one.session.user.username if one else None for one in found]

    try:
        assert asyncio.run(together()) == ["alice", None, None, None, "carol"]
    finally:
        entitlements.close()


def test_what_fails_for_those_who_ask_together_fails_for_each(services: Services) -> None:
    entitlements = Entitlements(services.engine)
    with writing(services.engine) as connection:
        connection.execute(text("ALTER TABLE grant_sessions RENAME TO elsewhere"))

    async def together() -> list[object]:
        asked = (entitlements.find("s", "j", "", 0) for _ in range(3))
        return await asyncio.gather(*asked, return_exceptions=True)

    try:
        assert [isinstance(one, Exception) for one in asyncio.run(together())] == [True] * 3
        with writing(services.engine) as connection:
            connection.execute(text("ALTER TABLE elsewhere RENAME TO grant_sessions"))
        assert asyncio.run(entitlements.find("s", "j", "", 0)) is None
    finally:
        entitlements.close()


def test_what_the_database_cannot_hold_is_nobodys(services: Services) -> None:
    """PostgreSQL takes no NUL in a text."""
    add_person(services, "alice")
    browser, api = Browser(services), log_in(services, "alice", "pwd").http
    for name in ("a\0b", "no one"):
        told = browser.submit(browser.get("/login"), username=name, password="a guess")
        assert (told.status_code, "do not belong together" in told.text) == (401, True)
        browser.submit(browser.get("/forgot"), username=name)
        browser.get(f"/login/sso/{quote(name)}")
    for path in ("/organizations/a%00b", "/projects/a%00b", "/users/a%00b/api-tokens"):
        assert api.get(path).status_code in {400, 404}


@pytest.mark.parametrize("path", ["/login/", "/users/me/", "/oauth2/token/"])
def test_nobody_is_sent_to_the_host_that_a_request_names(services: Services, path: str) -> None:
    http = TestClient(create_app(services), base_url=ISSUER, follow_redirects=False)
    for method in ("GET", "POST"):
        answer = http.request(method, path, headers={"host": "evil.example"})
        assert (answer.status_code, answer.headers.get("location")) == (404, None)


def test_who_sits_before_a_page_is_told_of_a_fault_on_one(tmp_path: Path) -> None:
    with new_services(new_sqlite(tmp_path), tmp_path) as services:
        browser = Browser(services)
        browser.log_in(browser.get("/login"), add_person(services, "alice"))
        with writing(services.engine) as connection:
            connection.exec_driver_sql("DROP TABLE browser_sessions")
        page = browser.get("/security")
    assert (page.status_code, page.headers["retry-after"]) == (503, SOON)
    assert "<h1>" in page.text
    assert "Try again in a moment" in page.text
    check_headers(page)


BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize("path", ["/nowhere", "/security/nowhere", "/login/"])
def test_who_opens_an_unknown_page_gets_one_with_a_way_on(services: Services, path: str) -> None:
    http = TestClient(create_app(services), base_url=ISSUER)
    page = http.get(path, headers=BROWSER)
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is no such page." in page.text
    assert 'href="/security"' in page.text
    check_headers(page)


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        pytest.param("GET", "/nowhere", {"accept": "*/*"}, id="curl"),
        pytest.param("GET", "/nowhere", {"accept": "application/json"}, id="a program"),
        pytest.param("POST", "/nowhere", BROWSER, id="not opened"),
        pytest.param("GET", "/organizations/nowhere", BROWSER, id="a path of the API"),
    ],
)
def test_who_asks_the_api_gets_a_problem(
    services: Services, method: str, path: str, headers: dict[str, str]
) -> None:
    add_person(services, "alice")
    http = log_in(services, "alice", "pwd").http
    answer = http.request(method, path, headers=headers)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["error"] == "not_found"
