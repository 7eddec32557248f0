"""The authorization server: what a client gets, and what nobody does."""

from __future__ import annotations

import base64
import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ca.errors import NotAuthenticated
from ca.identity.sessions import hash_of, new_secret
from ca.oauth import grants, refresh, token, tokens
from ca.oauth.clients import is_redirect
from ca.store.engine import open_engine, reading
from ca.store.oauth import find_refresh_token
from ca.store.sessions import GrantSession
from tests.test_totp import at_once
from tests.web import BACK, ISSUER, Browser, Client, add_person, keyring, pass_time, user_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ca.services import Services

NOW = 1_800_000_000
KEY = keyring().token


def claims_of(access_token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(access_token, options={"verify_signature": False})
    return claims


def fault_of(location: str) -> dict[str, str]:
    """The parameters with which a browser is sent back to the client."""
    assert location.startswith(f"{BACK}?")
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


def is_good(services: Services, access_token: str) -> bool:
    return Client(services).api("GET", "/users/me", access_token).status_code == 200


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


def test_a_token_is_plain_base64_too() -> None:
    session = GrantSession(
        "sid", "handle", _nobody(), "", "amrgate", "offline_access", (), "device", NOW + 1
    )
    issued = tokens.issue_access_token(KEY, ISSUER, session, NOW)
    base64.b64decode(issued.split(".")[1] + "===", validate=False)
    assert not {"-", "_"} & set(issued.split(".")[1])


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
        ("Bearer x", {"client_id": "amrgate"}),
    ],
)
def test_a_client_with_a_secret_is_none_of_ours(
    services: Services, authorization: str, form: dict[str, str]
) -> None:
    headers = {"authorization": authorization} if authorization else {}
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


@pytest.mark.parametrize(("amr", "shown"), [("mfa", "Set up a second factor"), ("sso:acme", "sso")])
def test_what_cannot_be_shown_is_said(services: Services, amr: str, shown: str) -> None:
    browser, client = Browser(services), Client(services)
    browser.log_in(browser.get("/login"), add_person(services, "alice"))
    page = browser.get(client.url(amr=amr))
    assert shown in page.text
    back = fault_of(browser.submit(page, decision="deny").headers["location"])
    assert back["error"] == "unmet_authentication_requirements"


def test_a_link_that_was_changed_or_is_old_leads_nowhere(services: Services) -> None:
    browser, client = Browser(services), Client(services)
    page = browser.get(client.url())
    assert browser.get("/consent?for=AAAA").status_code == 400
    old = str(page.url)
    assert browser.get(old[:-8] + "AAAAAAA=").status_code == 400
    assert browser.get(old).status_code == 200


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
    from dataclasses import replace

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
            [partial(token.exchange_code, nodes[n % 2], "amrgate", form, now) for n in range(4)]
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
            [partial(refresh.refresh, nodes[n % 2], "amrgate", old, now) for n in range(parallel)]
        )
        assert all(isinstance(one, grants.Tokens) for one in outcomes), outcomes
        successors = {one.refresh_token for one in outcomes if isinstance(one, grants.Tokens)}
        assert len(successors) == 1
        old = successors.pop()
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
    from dataclasses import replace

    two = replace(services, settings=replace(services.settings, clients=("amrgate", "other")))
    client = Client(two)
    mine = client.tokens(add_person(services, "alice"))["refresh_token"]
    assert client.refresh(mine, client_id="other").json()["error"] == "invalid_grant"
    assert client.token(grant_type="password", client_id="amrgate").json()["error"] == (
        "unsupported_grant_type"
    )
    assert client.refresh(mine).status_code == 200, "and not spent by that"


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


def test_what_is_no_token_is_revoked_too(services: Services) -> None:
    for value in ("", "nonsense", "a.b.c", new_secret()):
        assert revoke(services, value) == 200


# --- one kind of token for another ----------------------------------------------------------


@pytest.mark.attack(80)
def test_no_kind_of_token_stands_for_another(services: Services) -> None:
    client, browser = Client(services), Browser(services)
    alice = add_person(services, "alice")
    code = client.log_in(browser, alice)
    given = client.tokens(alice)
    every = {"code": code, "cookie": browser.cookie, **given}
    for name in ("code", "cookie", "refresh_token"):
        assert not is_good(services, every[name]), name
    for name in ("code", "cookie", "access_token"):
        assert client.refresh(every[name]).json()["error"] == "invalid_grant", name
    for name in ("cookie", "access_token", "refresh_token"):
        assert client.exchange(every[name]).json()["error"] == "invalid_grant", name
    for name in ("code", "access_token", "refresh_token"):
        thief = Browser(services)
        thief.http.cookies.set("amrgate", every[name])
        assert 'action="/login"' in thief.get("/security").text, name
    assert client.exchange(code).status_code == 200


@pytest.mark.attack(93)
def test_a_token_in_a_url_opens_nothing(services: Services) -> None:
    client = Client(services)
    given = client.tokens(add_person(services, "alice"))
    http = Browser(services).http
    answer = http.get("/users/me", params={"access_token": given["access_token"]})
    assert answer.status_code == 401
    query = {
        "grant_type": "refresh_token",
        "refresh_token": given["refresh_token"],
        "client_id": "amrgate",
    }
    assert http.post("/oauth2/token", params=query).status_code == 400
    assert http.post("/oauth2/token", params=query, data={"client_id": "amrgate"}).json() != {}
    assert client.refresh(given["refresh_token"]).status_code == 200


@pytest.mark.attack(112)
def test_no_other_site_reads_an_answer(services: Services) -> None:
    http = Browser(services).http
    for origin in ("https://evil.example", "null", ISSUER):
        headers = {"origin": origin, "access-control-request-method": "POST"}
        for answer in (
            http.options("/oauth2/token", headers=headers),
            http.post("/oauth2/token", headers=headers, data={"client_id": "amrgate"}),
            http.get("/users/me", headers=headers),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_answers_with_tokens_are_not_kept(services: Services) -> None:
    client = Client(services)
    code = client.log_in(Browser(services), add_person(services, "alice"))
    assert client.exchange(code).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "multipart/form-data"])
def test_tokens_are_asked_for_by_a_form(services: Services, media_type: str) -> None:
    answer = Browser(services).http.post(
        "/oauth2/token",
        content=b"grant_type=refresh_token&client_id=amrgate",
        headers={"content-type": media_type},
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


# --- forged access tokens -------------------------------------------------------------------

CLAIMS = {
    "iss": ISSUER,
    "aud": ISSUER,
    "sub": "7d2b0000-0000-4000-8000-000000000000",
    "exp": NOW + 900,
    "iat": NOW,
    "jti": "j",
    "client_id": "amrgate",
    "scope": "",
    "sid": "s",
    "amr": ["pwd"],
    "auth_time": NOW,
}
HEADER = {"alg": "EdDSA", "typ": "at+jwt", "kid": tokens.key_id(KEY.private_key.public_key())}


def _nobody() -> Any:
    from ca.store.people import User

    return User(CLAIMS["sub"], "n", "n@acme.example", "N", "person", disabled=False)  # type: ignore[arg-type]  # a text


def segment(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(
    header: object = HEADER, claims: object = CLAIMS, key: Ed25519PrivateKey = KEY.private_key
) -> str:
    text = f"{segment(header)}.{segment(claims)}"
    return f"{text}.{segment(key.sign(text.encode()))}"


def without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


def test_the_forger_could_make_a_good_one() -> None:
    assert tokens.verify_access_token(KEY, ISSUER, signed(), NOW).jti == "j"


def _public_members(key: Ed25519PrivateKey) -> dict[str, str]:
    return {"kty": "OKP", "crv": "Ed25519", "x": segment(key.public_key().public_bytes_raw())}


def _hmac_signed() -> str:
    import hashlib
    import hmac

    text = f"{segment({**HEADER, 'alg': 'HS256'})}.{segment(CLAIMS)}"
    secret = KEY.private_key.public_key().public_bytes_raw()
    return f"{text}.{segment(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


EVIL = Ed25519PrivateKey.generate()
FORGED: dict[str, Callable[[], str]] = {
    "alg none": lambda: f"{segment({**HEADER, 'alg': 'none'})}.{segment(CLAIMS)}.",
    "alg None, signed": lambda: signed({**HEADER, "alg": "None"}),
    "alg nOnE, signed": lambda: signed({**HEADER, "alg": "nOnE"}),
    "alg missing": lambda: signed(without(HEADER, "alg")),
    "signature empty": lambda: signed().rpartition(".")[0] + ".",
    "signature missing": lambda: signed().rpartition(".")[0],
    "HS256 with our public key": _hmac_signed,
    "another key": lambda: signed(key=EVIL),
    "jwk in the header": lambda: signed({**HEADER, "jwk": _public_members(EVIL)}, key=EVIL),
    "jku in the header": lambda: signed({**HEADER, "jku": "http://127.0.0.1:1/k"}, key=EVIL),
    "x5u in the header": lambda: signed({**HEADER, "x5u": "http://127.0.0.1:1/k"}, key=EVIL),
    "x5c in the header": lambda: signed({**HEADER, "x5c": ["AAAA"]}, key=EVIL),
    "another kid": lambda: signed({**HEADER, "kid": "../../dev/null"}),
    "crit unknown": lambda: signed({**HEADER, "crit": ["x"], "x": 1}),
    "b64 false": lambda: signed({**HEADER, "crit": ["b64"], "b64": False}),
    "an ID token's type": lambda: signed({**HEADER, "typ": "JWT"}),
    "JSON serialization": lambda: json.dumps(
        {"payload": segment(CLAIMS), "protected": segment(HEADER), "signature": "AA"}
    ),
    "two signatures": lambda: f"{signed()}.{signed().rpartition('.')[2]}",
    "a token in a token": lambda: signed(claims=signed().encode()),
    "aud missing": lambda: signed(claims=without(CLAIMS, "aud")),
    "aud another": lambda: signed(claims={**CLAIMS, "aud": "https://other"}),
    "aud ours and another": lambda: signed(claims={**CLAIMS, "aud": [ISSUER, "https://other"]}),
    "iss another": lambda: signed(claims={**CLAIMS, "iss": "https://other"}),
    "expired": lambda: signed(claims={**CLAIMS, "exp": NOW}),
    "exp a text": lambda: signed(claims={**CLAIMS, "exp": "tomorrow"}),
    "exp missing": lambda: signed(claims=without(CLAIMS, "exp")),
    "sid missing": lambda: signed(claims=without(CLAIMS, "sid")),
    "jti a number": lambda: signed(claims={**CLAIMS, "jti": 1}),
    "amr a text": lambda: signed(claims={**CLAIMS, "amr": "mfa"}),
    "auth_time a text": lambda: signed(claims={**CLAIMS, "auth_time": "now"}),
    "claims a list": lambda: signed(claims=[CLAIMS]),
    "too long": lambda: signed(claims={**CLAIMS, "x": "x" * 4096}),
    "nothing": lambda: "",
    "not ASCII": lambda: "é.é.é",
}


@pytest.mark.attack(81, 83, 85, 86, 88)
@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_token_is_refused(forged: str) -> None:
    with pytest.raises(NotAuthenticated):
        tokens.verify_access_token(KEY, ISSUER, FORGED[forged](), NOW)


@pytest.mark.attack(86)
def test_claims_that_stand_twice_are_refused() -> None:
    text = json.dumps(CLAIMS)[:-1] + ', "sub": "another"}'
    with pytest.raises(NotAuthenticated):
        tokens.verify_access_token(KEY, ISSUER, signed(claims=text.encode()), NOW)


@pytest.mark.attack(90)
def test_a_disabled_user_loses_everything_at_once(services: Services) -> None:
    from sqlalchemy import update

    from ca.store.engine import writing
    from ca.store.tables import users

    client, browser = Client(services), Browser(services)
    alice = add_person(services, "alice")
    code = client.log_in(browser, alice)
    given = client.tokens(alice)
    with writing(services.engine) as connection:
        connection.execute(update(users).values(disabled_at=1))
    assert user_of(services, alice).disabled
    assert not is_good(services, given["access_token"])
    assert client.refresh(given["refresh_token"]).status_code == 400
    assert client.exchange(code).status_code == 400
    assert 'action="/login"' in browser.get("/security").text
