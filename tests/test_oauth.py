"""The authorization server: what a client gets, and what nobody does."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import jwt
import pytest

from ca.oauth.clients import is_redirect
from tests.oauth import claims_of, fault_of, is_good
from tests.web import BACK, ISSUER, Browser, Client, add_person, code_of, keyring, pass_time

if TYPE_CHECKING:
    from ca.services import Services

NOW = 1_800_000_000
KEY = keyring().token


# --- a whole login --------------------------------------------------------------------------


def test_a_login_from_password_to_refresh(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    client = Client(services)
    given = client.tokens(bob)
    claims = claims_of(given["access_token"])

    assert given["token_type"] == "Bearer"
    assert str(given["expires_in"]) == "900"
    assert given["scope"] == "offline_access"
    assert claims["sub"] == bob.id
    assert claims["amr"] == ["mfa", "otp", "pwd"]
    assert claims["exp"] - claims["iat"] == 900
    assert abs(claims["auth_time"] - time.time()) < 60
    assert is_good(services, given["access_token"])

    again = client.refresh(given["refresh_token"]).json()
    kept = ("sub", "sid", "amr", "auth_time", "client_id", "scope")
    renewed = claims_of(again["access_token"])
    assert [renewed[name] for name in kept] == [claims[name] for name in kept]
    assert renewed["jti"] != claims["jti"]
    assert again["refresh_token"] != given["refresh_token"]


@pytest.mark.attack(111)
def test_a_refresh_makes_no_login_younger(services: Services) -> None:
    client = Client(services)
    given = client.tokens(add_person(services, "alice"))
    pass_time(services, 7200)
    renewed = claims_of(client.refresh(given["refresh_token"]).json()["access_token"])
    assert renewed["auth_time"] == claims_of(given["access_token"])["auth_time"] - 7200


def test_the_answer_names_who_gave_it_and_the_state(services: Services) -> None:
    browser, client = Browser(services), Client(services)
    page = browser.log_in(browser.get(client.url()), add_person(services, "alice"))
    back = fault_of(browser.submit(page, decision="allow").headers["location"])
    assert back["iss"] == services.settings.issuer
    assert back["state"] == "s" * 43


def test_what_clients_may_know_of_the_server(services: Services) -> None:
    http = Browser(services).http
    document = http.get("/.well-known/oauth-authorization-server").json()
    assert document["issuer"] == ISSUER
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["amr_values_supported"] == ["hwk", "mfa", "otp", "pwd", "swk"]
    key = http.get(urlsplit(document["jwks_uri"]).path).json()["keys"][0]
    given = Client(services).tokens(add_person(services, "alice"))
    jwt.decode(
        given["access_token"], jwt.PyJWK(key), algorithms=["EdDSA"], audience=ISSUER, issuer=ISSUER
    )


# --- clients --------------------------------------------------------------------------------


@pytest.mark.attack(95)
@pytest.mark.parametrize(
    "uri", [BACK, f"{BACK}/", "http://127.0.0.1:1/cb", "http://127.0.0.1:65535/a/b-c_d/"]
)
def test_any_loopback_port_is_an_address(uri: str) -> None:
    assert is_redirect(uri)


@pytest.mark.attack(95)
@pytest.mark.parametrize(
    "uri",
    [
        "",
        "http://127.0.0.1",
        "http://127.0.0.1:0",
        "http://127.0.0.1:65536",
        "http://127.0.0.1:05000",
        "http://localhost:5000",
        "http://[::1]:5000",
        "https://127.0.0.1:5000",
        "HTTP://127.0.0.1:5000",
        "http://127.0.0.1.evil:5000",
        "http://127.0.0.1:5000@evil",
        "http://user@127.0.0.1:5000",
        "http://127.1:5000",
        "http://0x7f000001:5000",
        "http://127.0.0.1:5000#here",
        "http://127.0.0.1:5000?a=b",
        "http://127.0.0.1:5000/cb?a=b",
        "http://127.0.0.1:5000/..;/cb",
        "http://127.0.0.1:5000/../cb",
        "http://127.0.0.1:5000/%2e/cb",
        "http://127.0.0.1:5000//evil",
        "http://127.0.0.1:5000/CB",
        "http://127.0.0.1:5000/cb\n",
        "http://127.0.0.1:5000\\@evil",
        "http://127.0.0.1:5000/" + "a" * 255,
    ],
)
def test_nothing_else_is_an_address(uri: str) -> None:
    assert not is_redirect(uri)


@pytest.mark.attack(95)
def test_nobody_is_sent_to_an_address_that_is_none(services: Services) -> None:
    browser = Browser(services)
    for client in (Client(services, redirect_uri="http://evil"), Client(services, client_id="x")):
        answer = browser.get(client.url())
        assert answer.status_code == 400
        assert "location" not in answer.headers


def test_a_public_client_names_itself_in_three_ways(services: Services) -> None:
    alice = add_person(services, "alice")
    browser = Browser(services)
    header = {"authorization": "Basic " + base64.b64encode(b"amrgate:").decode()}
    for headers, form in (
        (header, {}),
        ({}, {"client_id": "amrgate", "client_secret": ""}),
        ({}, {"client_id": "amrgate"}),
    ):
        client = Client(services)
        code = client.log_in(browser, alice)
        answer = browser.http.post(
            "/oauth2/token",
            headers=headers,
            data={
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": client.redirect_uri,
                "code_verifier": client.verifier,
                **form,
            },
        )
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("authorization", "form"),
    [
        ("", {}),
        ("", {"client_id": "nobody"}),
        ("", {"client_id": "amrgate", "client_secret": "guess"}),
        ("Basic YW1yZ2F0ZTpndWVzcw==", {}),  # amrgate:guess
        ("Basic YW1yZ2F0ZTo=", {"client_secret": "guess"}),
        ("Basic YW1yZ2F0ZQ==", {}),  # amrgate, without a colon
        ("Basic ===", {}),
        ("Basic \xe9", {}),
        ("Bearer x", {"client_id": "amrgate"}),
    ],
)
def test_a_client_with_a_secret_is_none_of_ours(
    services: Services, authorization: str, form: dict[str, str]
) -> None:
    headers = {b"authorization": authorization.encode("latin-1")} if authorization else {}
    for path in ("/oauth2/token", "/oauth2/revoke"):
        answer = Browser(services).http.post(path, headers=headers, data={"token": "x", **form})
        assert answer.status_code == 401
        assert answer.json()["error"] == "invalid_client"
        assert answer.headers["www-authenticate"].startswith("Basic")


# --- the authorization endpoint -------------------------------------------------------------


@pytest.mark.attack(97)
@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"code_challenge": "-"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": "-"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "1e9"}, "invalid_request"),
        ({"amr": "mfa magic"}, "invalid_request"),
        ({"amr": "recovery"}, "invalid_request"),
        ({"amr": "sso:Acme"}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "shout"}, "invalid_request"),
        ({"prompt": "none"}, "interaction_required"),
    ],
)
def test_the_client_is_told_what_is_wrong(
    services: Services, changed: dict[str, str], error: str
) -> None:
    back = fault_of(Browser(services).get(Client(services).url(**changed)).headers["location"])
    assert back["error"] == error
    assert back["iss"] == ISSUER
    assert back["state"] == "s" * 43


@pytest.mark.parametrize(
    ("asked", "given"),
    [("-", ""), ("openid admin", ""), ("admin offline_access", "offline_access")],
)
def test_a_scope_is_given_if_it_is_asked_for_and_ours(
    services: Services, asked: str, given: str
) -> None:
    client, alice = Client(services), add_person(services, "alice")
    browser = Browser(services)
    page = browser.log_in(browser.get(client.url(scope=asked)), alice)
    assert "until you log out; for 30 days at most" in page.text, "so long a login may be renewed"
    answer = client.exchange(code_of(browser.submit(page, decision="allow"))).json()
    assert "refresh_token" in answer
    assert answer["scope"] == claims_of(answer["access_token"])["scope"] == given


def test_a_parameter_stands_once(services: Services) -> None:
    answer = Browser(services).get(Client(services).url() + "&client_id=amrgate")
    assert answer.status_code == 400
    assert "stands twice" in answer.text


@pytest.mark.attack(204)
def test_no_code_without_a_click(services: Services) -> None:
    browser, client = Browser(services), Client(services)
    browser.log_in(browser.get("/login"), add_person(services, "alice"))
    foreign = Client(services, redirect_uri="http://127.0.0.1:31337")
    for _ in range(2):  # consent is not remembered
        page = browser.get(foreign.url())
        assert page.status_code == 200
        for shown in ("amrgate", "http://127.0.0.1:31337", "UTC", "SSH certificates", "Alice"):
            assert shown in page.text
        browser.submit(page, decision="allow")
    refused = fault_of(browser.get(client.url(prompt="none")).headers["location"])
    assert refused["error"] == "interaction_required"
    denied = browser.submit(browser.get(client.url()), decision="deny")
    assert fault_of(denied.headers["location"])["error"] == "access_denied"


@pytest.mark.parametrize("prompt", ["login", "select_account", "consent select_account"])
def test_a_new_login_asks_for_everything_again(services: Services, prompt: str) -> None:
    bob = add_person(services, "bob", app=True)
    browser, client = Browser(services), Client(services)
    browser.log_in(browser.get("/login"), bob)
    before = browser.cookie
    page = browser.get(client.url(prompt=prompt))
    assert 'action="/login"' in page.text
    assert "Authenticator app" in browser.get("/security").text, "the old session lives until then"
    page = browser.log_in(page, bob)
    assert "Allow" in page.text
    old = Browser(services)
    old.http.cookies.set("amrgate", before)
    assert 'action="/login"' in old.get("/security").text


def amr_after(browser: Browser, page: Any, client: Client) -> list[str]:
    answer = browser.submit(page, decision="allow")
    code = fault_of(answer.headers["location"])["code"]
    amr: list[str] = claims_of(client.exchange(code).json()["access_token"])["amr"]
    return amr


def test_a_step_up_asks_only_for_what_is_too_old(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    browser, client = Browser(services), Client(services)
    browser.log_in(browser.get("/login"), bob)
    pass_time(services, 900)

    page = browser.get(client.url(amr="mfa"))
    assert "Allow" in page.text, "without max_age what was proved stays proved"
    page = browser.get(client.url(amr="mfa", max_age="1000"))
    assert "Allow" in page.text
    page = browser.get(client.url(amr="mfa", max_age="600"))
    assert "not recent enough" in page.text
    page = browser.submit(page, username="bob", password="correct horse battery staple")
    assert "Enter your code" in page.text, "the code is as old"
    page = browser.log_in(page, bob)
    assert amr_after(browser, page, client) == ["mfa", "otp", "pwd"]
    page = browser.get(client.url(amr="mfa", max_age="600"))
    assert "Allow" in page.text


def test_what_was_not_proved_again_leaves_the_amr(services: Services) -> None:
    alice = add_person(services, "alice")
    browser, client = Browser(services), Client(services)
    browser.log_in(browser.get("/login"), alice)
    pass_time(services, 900)
    page = browser.log_in(browser.get(client.url(max_age="0")), alice)
    code = fault_of(browser.submit(page, decision="allow").headers["location"])["code"]
    claims = claims_of(client.exchange(code).json()["access_token"])
    assert claims["amr"] == ["pwd"]
    assert time.time() - claims["auth_time"] < 60


@pytest.mark.parametrize(
    ("amr", "shown", "told"),
    [
        ("mfa", "Set up a second factor", "your account has no second factor that will do"),
        ("sso:acme", "sso", "what is asked for cannot be shown here"),
    ],
)
def test_what_cannot_be_shown_is_said(services: Services, amr: str, shown: str, told: str) -> None:
    browser, client = Browser(services), Client(services)
    browser.log_in(browser.get("/login"), add_person(services, "alice"))
    page = browser.get(client.url(amr=amr))
    assert shown in page.text
    back = fault_of(browser.submit(page, decision="deny").headers["location"])
    assert back["error"] == "unmet_authentication_requirements"
    assert told in back["error_description"]


def test_a_link_that_was_changed_or_is_old_leads_nowhere(services: Services) -> None:
    browser, client = Browser(services), Client(services)
    page = browser.get(client.url())
    assert browser.get("/consent?for=AAAA").status_code == 400
    old = str(page.url)
    assert browser.get(old[:-8] + "AAAAAAA=").status_code == 400
    assert browser.get(old).status_code == 200
