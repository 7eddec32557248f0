"""Logging in at a provider: what its word is worth, and whether it answers our question."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

import pytest

from tests.directory import records
from tests.providers import OpenIDProvider, a_provider, go, link, register, sign_on, tokens
from tests.web import Browser, Client, Person, add_person

if TYPE_CHECKING:
    from ca.services import Services


@pytest.mark.attack(140)
def test_a_login_at_the_provider_that_is_asked_for(
    sso_acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    provider.claims = {"amr": ["mfa", "sso:other"], "email": "bob@acme.example"}
    browser, client = Browser(sso_acme), Client(sso_acme)
    page = browser.get(client.url(amr="sso:acme"))
    assert "Log in at <strong>Acme</strong>" in page.text
    said = tokens(client, browser, sign_on(browser, provider, page))
    assert said["amr"] == ["sso:acme"]
    assert said["sub"] == dora.id
    assert ("session:begin", dora.id) in [
        (event, actor) for event, actor, _ in records(sso_acme.engine)
    ]


def test_what_is_mapped_is_written_apart(
    sso_acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    register(sso_acme, provider, mfa_values=("phr", "mfa"))
    provider.claims = {"amr": ["pwd", "mfa"]}
    browser, client = Browser(sso_acme), Client(sso_acme)
    page = sign_on(browser, provider, browser.get(client.url(amr="sso:acme")))
    assert tokens(client, browser, page)["amr"] == ["sso:acme", "sso:acme:mfa"]
    assert "with single sign-on acme and MFA at acme." in browser.get("/security").text
    assert dora


@pytest.mark.attack(143)
def test_who_has_a_second_factor_is_asked_for_it_and_that_is_mfa(
    sso_acme: Services, provider: OpenIDProvider
) -> None:
    register(sso_acme, provider)
    person = add_person(sso_acme, "dora", app=True)
    link(sso_acme, person, provider)
    browser, client = Browser(sso_acme), Client(sso_acme)
    page = sign_on(browser, provider, browser.get(client.url(amr="sso:acme")))
    assert "Enter your code" in page.text
    page = browser.log_in(page, person)
    assert tokens(client, browser, page)["amr"] == ["mfa", "otp", "sso:acme"]


def test_a_step_up_asks_only_for_the_provider(
    sso_acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    browser, client = Browser(sso_acme), Client(sso_acme)
    client.log_in(browser, dora)
    page = sign_on(browser, provider, browser.get(client.url(amr="sso:acme")))
    assert tokens(client, browser, page)["amr"] == ["pwd", "sso:acme"]


def test_an_address_leads_to_its_provider_and_tells_nothing(
    sso_acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    register(sso_acme, provider, domains=("acme.example",))
    browser, client = Browser(sso_acme), Client(sso_acme)
    browser.get(client.url())
    texts = set()
    for typed in ("dora@acme.example", "nobody@ACME.example"):
        page = browser.submit(browser.get("/login/sso"), provider=typed)
        assert page.status_code == 200
        texts.add(page.text.split("<main>")[1].split("?for=")[0])
    assert len(texts) == 1
    unknown = browser.submit(browser.get("/login/sso"), provider="dora@elsewhere.example")
    assert "No single sign-on provider is known" in unknown.text
    page = browser.submit(browser.get("/login/sso"), provider="acme")
    assert sign_on(browser, provider, page).url.path == "/security"
    assert dora


@pytest.mark.attack(144)
def test_an_old_session_at_the_provider_is_no_recent_login(
    sso_acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    provider.logged_in_at = int(time.time()) - 7200
    browser, client = Browser(sso_acme), Client(sso_acme)
    page = sign_on(browser, provider, browser.get(client.url(amr="sso:acme")))
    assert tokens(client, browser, page)["auth_time"] == provider.logged_in_at
    refused = sign_on(browser, provider, browser.get(client.url(amr="sso:acme", max_age="3600")))
    assert 3590 <= int(provider.asked["max_age"]) <= 3600
    assert "does not say that you have just logged in there" in refused.text
    provider.claims = {"auth_time": None}
    refused = sign_on(browser, provider, browser.get(client.url(amr="sso:acme", max_age="3600")))
    assert refused.status_code == 503, "a provider must say when the login was"
    assert "does not say that you have just logged in there" in refused.text
    provider.claims, provider.logged_in_at = {}, None
    page = sign_on(browser, provider, browser.get(client.url(amr="sso:acme", max_age="3600")))
    assert time.time() - tokens(client, browser, page)["auth_time"] < 60
    assert dora


def test_a_login_of_unknown_time_may_be_a_day_old(
    sso_acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    provider.claims = {"auth_time": None}
    browser, client = Browser(sso_acme), Client(sso_acme)
    page = sign_on(browser, provider, browser.get(client.url(amr="sso:acme")))
    assert time.time() - tokens(client, browser, page)["auth_time"] >= 86400
    assert dora


# --- what comes back ------------------------------------------------------------------------


def changed(location: str, **parameters: str | None) -> str:
    address, _, query = location.partition("?")
    fields = dict(parse_qsl(query)) | parameters
    return f"{address}?{urlencode({k: v for k, v in fields.items() if v is not None})}"


@pytest.mark.attack(135)
@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({"state": None}, id="no state"),
        pytest.param({"state": "x" * 43}, id="another state"),
        pytest.param({"iss": None}, id="no iss"),
        pytest.param({"iss": "https://evil.example"}, id="another provider's iss"),
        pytest.param({"code": None}, id="no code"),
        pytest.param({"code": "of-another-provider"}, id="another provider's code"),
        pytest.param({"error": "access_denied"}, id="the provider says no"),
    ],
)
def test_an_answer_that_is_not_to_our_question(
    sso_acme: Services, provider: OpenIDProvider, dora: Person, parameters: dict[str, str | None]
) -> None:
    browser, client = Browser(sso_acme), Client(sso_acme)
    back = provider.authorize(go(browser, browser.get(client.url(amr="sso:acme"))))
    page = browser.get(changed(back, **parameters))
    assert page.status_code in (400, 403, 503), page.text
    assert browser.cookie == ""
    assert dora


@pytest.mark.attack(135)
def test_an_answer_counts_once_and_in_its_own_browser(
    sso_acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    browser, client = Browser(sso_acme), Client(sso_acme)
    back = provider.authorize(go(browser, browser.get(client.url(amr="sso:acme"))))
    stranger = Browser(sso_acme)
    assert stranger.get(back).status_code == 400
    go(stranger, stranger.get(client.url(amr="sso:acme")))
    assert stranger.get(back).status_code == 400, "with a question of its own"
    away = browser.http.cookies.get("amrgate-away")
    assert "Is it you" in browser.get(back).text
    assert browser.get(back).status_code == 400, "its cookie is gone"
    browser.http.cookies.set("amrgate-away", away or "", domain="127.0.0.1")
    assert browser.get(back).status_code == 400, "and the state is spent"
    assert dora


@pytest.mark.attack(135)
def test_two_providers_with_one_client_id_are_not_mixed_up(
    sso_acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    with a_provider() as evil:
        register(sso_acme, evil, "evil")
        browser, client = Browser(sso_acme), Client(sso_acme)
        back = provider.authorize(go(browser, browser.get(client.url(amr="sso:evil"))))
        assert browser.get(back).status_code == 503, "acme's code, brought to evil"
        asked = go(browser, browser.get(client.url(amr="sso:acme")))
        stolen = evil.authorize(asked)
        assert browser.get(stolen).status_code == 503, "evil's answer, brought to acme"
        assert browser.cookie == ""
    assert dora
