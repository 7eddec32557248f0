"""What a token is limited to: at every route, whoever has it, and whoever asked for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from ca.api.rules import ANYBODY, HOST, RULES
from tests.api_tokens import exchange, http_of, make, somebody
from tests.devices import Machine, type_code
from tests.directory import log_in
from tests.issuing import post
from tests.web import Browser, Client, Person, code_of

if TYPE_CHECKING:
    from ca.services import Services

FOR_SSH = {"POST /ssh", "GET /users/me", "GET /services/{service}/access"}
ROUTES = [name for name, rule in RULES.items() if rule not in (ANYBODY, HOST)]


@pytest.fixture(scope="module")
def alice(one_ca: Services) -> Person:
    return somebody(one_ca, app=True)


@pytest.fixture(scope="module")
def tokens(one_ca: Services, alice: Person) -> dict[str, str]:
    """Access tokens of alice, by the scope of the API token that they are from."""
    api = log_in(one_ca, alice.username, "pwd", "otp")
    made = {
        scope: make(api, f"of {scope}", scope=scope) for scope in ("", "ssh", "read", "ssh read")
    }
    return {
        scope: exchange(one_ca, answer.json()["token"]).json()["access_token"]
        for scope, answer in made.items()
    }


def ask(services: Services, name: str, token: str) -> Any:
    method, _, path = name.partition(" ")
    headers = {"authorization": f"Bearer {token}"}
    return http_of(services).request(method, re.sub(r"{\w+}", "x", path), headers=headers)


@pytest.mark.attack(68, 91)
@pytest.mark.parametrize("name", ROUTES)
def test_a_limited_token_opens_what_its_scope_names(
    one_ca: Services, tokens: dict[str, str], name: str
) -> None:
    enough = {"read"} if name.startswith("GET ") else set()
    enough |= {"ssh"} if name in FOR_SSH else set()

    for scope, token in tokens.items():
        answer = ask(one_ca, name, token)

        shut = bool(scope) and enough.isdisjoint(scope.split())
        is_refused = answer.status_code == 403 and answer.json()["error"] == "insufficient_scope"
        assert is_refused == shut, (scope, answer.status_code, answer.text)


def test_a_refusal_says_what_the_token_is_for_and_what_would_do(
    one_ca: Services, tokens: dict[str, str]
) -> None:
    told = {
        name: ask(one_ca, name, tokens[scope])
        for scope, name in (("ssh", "GET /organizations"), ("read", "POST /ssh"))
    } | {"PATCH": ask(one_ca, "PATCH /users/{user_id}", tokens["ssh read"])}

    assert [
        (one.headers["www-authenticate"], one.json()["error_description"]) for one in told.values()
    ] == [
        (
            'Bearer error="insufficient_scope", scope="read"',
            "This token may only get SSH certificates.",
        ),
        ('Bearer error="insufficient_scope", scope="ssh"', "This token may only read."),
        (
            'Bearer error="insufficient_scope"',
            "This token may only get SSH certificates and read.",
        ),
    ]


def test_a_token_for_certificates_gets_one(one_ca: Services, tokens: dict[str, str]) -> None:
    assert post(one_ca, tokens["ssh"]).status_code == 200
    assert ask(one_ca, "GET /users/me", tokens["ssh"]).status_code == 200


@pytest.mark.parametrize(
    ("asked", "given"), [("", ""), ("read  ssh", "ssh read"), ("ssh ssh", "ssh")]
)
def test_a_scope_is_kept_in_one_order(one_ca: Services, asked: str, given: str) -> None:
    api = log_in(one_ca, somebody(one_ca, app=True).username, "pwd", "otp")

    answer = make(api, scope=asked)

    assert answer.json()["scope"] == given
    (listed,) = api.get(f"/users/{api.user.id}/api-tokens").json()
    assert listed["scope"] == given


@pytest.mark.parametrize("asked", ["admin", "ssh write", "offline_access", "SSH", "read,ssh"])
def test_no_token_has_a_scope_that_there_is_not(
    one_ca: Services, alice: Person, asked: str
) -> None:
    answer = make(log_in(one_ca, alice.username, "pwd", "otp"), "odd", scope=asked)

    assert answer.status_code == 400
    assert answer.json()["error_description"] == "A token's scope is of: ssh, read."


@pytest.mark.attack(68, 107)
def test_a_device_that_asks_to_read_gets_no_certificate(services: Services) -> None:
    bob, machine, browser = somebody(services), Machine(services), Browser(services)
    page = type_code(browser, bob, machine.ask(scope="read"))
    assert "read in your name, until" in page.text
    browser.submit(page, decision="allow")

    given = machine.poll().json()

    assert given["scope"] == "read"
    assert post(services, given["access_token"]).status_code == 403
    renewed = Client(services).refresh(given["refresh_token"], scope="ssh").json()
    assert renewed["scope"] == "read"
    assert post(services, renewed["access_token"]).status_code == 403


def test_a_client_that_asks_for_certificates_gets_no_more(services: Services) -> None:
    client, browser = Client(services), Browser(services)
    page = browser.log_in(browser.get(client.url(scope="ssh offline_access")), somebody(services))
    assert "get SSH certificates in your name, until" in page.text
    assert "use the API" not in page.text

    given = client.exchange(code_of(browser.submit(page, decision="allow"))).json()

    assert given["scope"] == "offline_access ssh"
    assert post(services, given["access_token"]).status_code == 200
    assert client.api("GET", "/organizations", given["access_token"]).status_code == 403
