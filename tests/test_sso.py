"""Logging in at a provider: honest ones, and every lie that one can tell."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc.jwk import RSAKey

from ca.identity.sso import id_token
from ca.identity.sso.client import discover
from ca.identity.sso.fetch import Networks, NotReached, Refused, get_json, post_form
from ca.identity.sso.id_token import Expected, Login
from ca.store import sso as store
from ca.store.engine import reading
from tests.databases import new_sqlite
from tests.directory import ACME, apply_text, log_in, records
from tests.oauth import claims_of
from tests.providers import (
    NETWORKS,
    SECRET,
    OpenIDProvider,
    a_provider,
    link,
    reaching,
    register,
    signing_key,
)
from tests.web import (
    ISSUER,
    PASSWORD,
    Browser,
    Client,
    Person,
    add_person,
    code_of,
    new_services,
    pass_time,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from httpx2 import Response

    from ca.services import Services


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[Services]:
    with new_services(new_sqlite(tmp_path), tmp_path) as services:
        apply_text(services.engine, ACME)
        yield reaching(services)


@pytest.fixture
def provider() -> Iterator[OpenIDProvider]:
    with a_provider() as one:
        yield one


@pytest.fixture
def dora(acme: Services, provider: OpenIDProvider) -> Person:
    """Somebody with a password, whose account at acme's provider is linked."""
    register(acme, provider)
    person = add_person(acme, "dora")
    link(acme, person, provider)
    return person


def go(browser: Browser, page: Response) -> str:
    """Follow the page's link to the provider: its URL."""
    href = page.text.split('class="button" href="')[1].split('"')[0].replace("&amp;", "&")
    sent = browser.http.get(href)
    assert sent.status_code == 303, sent.text
    return str(sent.headers["location"])


def sign_on(browser: Browser, provider: OpenIDProvider, page: Response) -> Response:
    """From the page that leads to the provider, over it, to the page after."""
    return browser.get(provider.authorize(go(browser, page)))


def tokens(client: Client, browser: Browser, page: Response) -> dict[str, Any]:
    """The access token's claims of a login whose consent is asked for."""
    answer = client.exchange(code_of(browser.submit(page, decision="allow")))
    assert answer.status_code == 200, answer.text
    return claims_of(answer.json()["access_token"])


@pytest.mark.attack(140)
def test_a_login_at_the_provider_that_is_asked_for(
    acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    provider.claims = {"amr": ["mfa", "sso:other"], "email": "bob@acme.example"}
    browser, client = Browser(acme), Client(acme)
    page = browser.get(client.url(amr="sso:acme"))
    assert "Log in at <strong>Acme</strong>" in page.text
    said = tokens(client, browser, sign_on(browser, provider, page))
    assert said["amr"] == ["sso:acme"]
    assert said["sub"] == dora.id
    assert ("session:begin", dora.id) in [
        (event, actor) for event, actor, _ in records(acme.engine)
    ]


def test_what_is_mapped_is_written_apart(
    acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    register(acme, provider, mfa_values=("phr", "mfa"))
    provider.claims = {"amr": ["pwd", "mfa"]}
    browser, client = Browser(acme), Client(acme)
    page = sign_on(browser, provider, browser.get(client.url(amr="sso:acme")))
    assert tokens(client, browser, page)["amr"] == ["sso:acme", "sso:acme:mfa"]
    assert dora


@pytest.mark.attack(143)
def test_who_has_a_second_factor_is_asked_for_it_and_that_is_mfa(
    acme: Services, provider: OpenIDProvider
) -> None:
    register(acme, provider)
    person = add_person(acme, "dora", app=True)
    link(acme, person, provider)
    browser, client = Browser(acme), Client(acme)
    page = sign_on(browser, provider, browser.get(client.url(amr="sso:acme")))
    assert "Enter your code" in page.text
    page = browser.log_in(page, person)
    assert tokens(client, browser, page)["amr"] == ["mfa", "otp", "sso:acme"]


def test_a_step_up_asks_only_for_the_provider(
    acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    browser, client = Browser(acme), Client(acme)
    client.log_in(browser, dora)
    page = sign_on(browser, provider, browser.get(client.url(amr="sso:acme")))
    assert tokens(client, browser, page)["amr"] == ["pwd", "sso:acme"]


def test_an_address_leads_to_its_provider_and_tells_nothing(
    acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    register(acme, provider, domains=("acme.example",))
    browser, client = Browser(acme), Client(acme)
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
    acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    provider.logged_in_at = int(time.time()) - 7200
    browser, client = Browser(acme), Client(acme)
    page = sign_on(browser, provider, browser.get(client.url(amr="sso:acme")))
    assert tokens(client, browser, page)["auth_time"] == provider.logged_in_at
    refused = sign_on(browser, provider, browser.get(client.url(amr="sso:acme", max_age="3600")))
    assert 3590 <= int(provider.asked["max_age"]) <= 3600
    assert "does not answer as it should" in refused.text
    provider.claims = {"auth_time": None}
    refused = sign_on(browser, provider, browser.get(client.url(amr="sso:acme", max_age="3600")))
    assert refused.status_code == 503, "a provider must say when the login was"
    provider.claims, provider.logged_in_at = {}, None
    page = sign_on(browser, provider, browser.get(client.url(amr="sso:acme", max_age="3600")))
    assert time.time() - tokens(client, browser, page)["auth_time"] < 60
    assert dora


def test_a_login_of_unknown_time_may_be_a_day_old(
    acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    provider.claims = {"auth_time": None}
    browser, client = Browser(acme), Client(acme)
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
    acme: Services, provider: OpenIDProvider, dora: Person, parameters: dict[str, str | None]
) -> None:
    browser, client = Browser(acme), Client(acme)
    back = provider.authorize(go(browser, browser.get(client.url(amr="sso:acme"))))
    page = browser.get(changed(back, **parameters))
    assert page.status_code in (400, 403, 503), page.text
    assert browser.cookie == ""
    assert dora


@pytest.mark.attack(135)
def test_an_answer_counts_once_and_in_its_own_browser(
    acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    browser, client = Browser(acme), Client(acme)
    back = provider.authorize(go(browser, browser.get(client.url(amr="sso:acme"))))
    stranger = Browser(acme)
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
    acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    with a_provider() as evil:
        register(acme, evil, "evil")
        browser, client = Browser(acme), Client(acme)
        back = provider.authorize(go(browser, browser.get(client.url(amr="sso:evil"))))
        assert browser.get(back).status_code == 503, "acme's code, brought to evil"
        asked = go(browser, browser.get(client.url(amr="sso:acme")))
        stolen = evil.authorize(asked)
        assert browser.get(stolen).status_code == 503, "evil's answer, brought to acme"
        assert browser.cookie == ""
    assert dora


# --- the ID token ---------------------------------------------------------------------------

NOW = int(time.time())
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "key-1"})


@pytest.mark.attack(135, 136)
@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"iss": "https://evil.example"}, id="iss"),
        pytest.param({"iss": f"{ISSUER}/other-tenant"}, id="another tenant"),
        pytest.param({"iss": None}, id="no iss"),
        pytest.param({"aud": "other"}, id="aud"),
        pytest.param({"aud": None}, id="no aud"),
        pytest.param({"aud": ["amrgate", "other"]}, id="others, no azp"),
        pytest.param({"aud": ["amrgate", "other"], "azp": "other"}, id="azp"),
        pytest.param({"azp": "other"}, id="azp alone"),
        pytest.param({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, id="at_hash"),
        pytest.param({"exp": NOW - 1}, id="expired"),
        pytest.param({"exp": None}, id="no exp"),
        pytest.param({"exp": "9999999999"}, id="exp is a text"),
        pytest.param({"iat": NOW - 3600}, id="old"),
        pytest.param({"iat": NOW + 3600}, id="from the future"),
        pytest.param({"nbf": NOW + 3600}, id="not valid yet"),
        pytest.param({"nonce": None}, id="no nonce"),
        pytest.param({"nonce": "other"}, id="nonce"),
        pytest.param({"sub": None}, id="no sub"),
        pytest.param({"sub": ""}, id="empty sub"),
        pytest.param({"sub": 7}, id="sub is a number"),
        pytest.param({"sub": "x" * 256}, id="long sub"),
        pytest.param({"auth_time": NOW + 3600}, id="a login in the future"),
        pytest.param({"auth_time": True}, id="auth_time is no time"),
        pytest.param({"amr": "mfa"}, id="amr is a text"),
    ],
)
def test_a_claim_that_is_not_right(claims: dict[str, Any]) -> None:
    provider = OpenIDProvider("https://login.acme.example")
    assert read(provider).subject == "alice-at-acme"
    provider.claims = claims
    with pytest.raises(Refused):
        read(provider)


def read(provider: OpenIDProvider) -> Login:
    """Who logs in, by a token of the provider's."""
    challenge = create_s256_code_challenge("a verifier")
    back = "https://ca.example/back"
    provider.codes["code"] = {"code_challenge": challenge, "redirect_uri": back, "nonce": "nonce"}
    form = {"code": "code", "code_verifier": "a verifier", "redirect_uri": back}
    _status, said = provider.token(form)
    now = int(time.time())
    expected = Expected(
        provider.url, "amrgate", "nonce", said["access_token"], since=now - 86400, undated=True
    )
    return id_token.read(said["id_token"], provider.jwks(), expected, now)


@pytest.mark.attack(136)
def test_a_token_that_does_not_count_logs_nobody_in(
    acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    provider.claims = {"aud": "other"}
    refused(acme, provider)
    assert dora


def refused(services: Services, provider: OpenIDProvider) -> None:
    browser, client = Browser(services), Client(services)
    page = sign_on(browser, provider, browser.get(client.url(amr="sso:acme")))
    assert page.status_code == 503, page.text
    assert "Log in another way" in page.text
    assert browser.cookie == ""


@pytest.mark.attack(136)
@pytest.mark.parametrize(
    ("header", "key"),
    [
        pytest.param({"alg": "none"}, None, id="none"),
        pytest.param({"alg": "HS256"}, SECRET.encode(), id="our secret"),
        pytest.param(
            {"alg": "HS256", "kid": "key-1"},
            signing_key().as_pem(private=False),
            id="its public key as a secret",
        ),
        pytest.param({"alg": "RS256", "kid": "key-1"}, OTHER_KEY, id="another key"),
        pytest.param({"alg": "RS256", "kid": "key-2"}, OTHER_KEY, id="an unknown kid"),
        pytest.param(
            {"alg": "RS256", "kid": "key-1", "jwk": OTHER_KEY.as_dict(private=False)},
            OTHER_KEY,
            id="a key of its own in the header",
        ),
        pytest.param(
            {"alg": "RS256", "kid": "key-1", "b64": True, "crit": ["b64"]}, None, id="crit"
        ),
    ],
)
def test_a_signature_that_is_not_the_providers(header: dict[str, Any], key: Any) -> None:
    provider = OpenIDProvider("https://login.acme.example", header=header, key=key)
    with pytest.raises(Refused, match=r"signature|critical"):
        read(provider)


# --- the provider's own endpoints -----------------------------------------------------------


@pytest.mark.attack(137)
@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"issuer": "https://evil.example"}, id="another issuer"),
        pytest.param({"issuer": None}, id="no issuer"),
        pytest.param({"jwks_uri": "https://evil.example/keys"}, id="keys elsewhere"),
        pytest.param({"token_endpoint": "https://evil.example/token"}, id="tokens elsewhere"),
        pytest.param({"jwks_uri": "file:///etc/passwd"}, id="a file"),
        pytest.param({"jwks_uri": "http://169.254.169.254/keys"}, id="the cloud's metadata"),
        pytest.param({"jwks_uri": "http://localhost:1/keys"}, id="localhost"),
        pytest.param({"jwks_uri": 7}, id="no URL"),
    ],
)
def test_metadata_that_lead_elsewhere(provider: OpenIDProvider, metadata: dict[str, Any]) -> None:
    assert discover(Networks(NETWORKS), provider.url).jwks_uri == f"{provider.url}/keys"
    provider.metadata = metadata
    with pytest.raises(NotReached):
        discover(Networks(NETWORKS), provider.url)


@pytest.mark.attack(137)
def test_a_provider_that_cannot_be_asked_leaves_other_ways(
    acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    provider.metadata = {"issuer": "https://evil.example"}
    page = Browser(acme).get("/login/sso/acme")
    assert page.status_code == 503
    assert "Log in another way" in page.text
    assert dora


def _redirect() -> tuple[int, dict[str, str], bytes]:
    return 302, {"location": "/.well-known/elsewhere"}, b""


@pytest.mark.attack(137)
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(_redirect, id="a redirect"),
        pytest.param(lambda: (200, {}, b"x" * (10 << 20)), id="10 MB"),
        pytest.param(lambda: (200, {}, b"not JSON"), id="not JSON"),
        pytest.param(lambda: (200, {}, b"[]"), id="a list"),
        pytest.param(lambda: (200, {}, b'{"keys":[],"keys":[]}'), id="a name twice"),
        pytest.param(lambda: (500, {}, b"{}"), id="a fault"),
    ],
)
def test_an_answer_that_is_none(provider: OpenIDProvider, answer: Any) -> None:
    networks = Networks(NETWORKS)
    assert get_json(networks, f"{provider.url}/keys") == provider.jwks()
    provider.answers = {"/keys": answer, "/token": answer}
    with pytest.raises(NotReached):
        get_json(networks, f"{provider.url}/keys")
    with pytest.raises(NotReached):
        post_form(networks, f"{provider.url}/token", {"code": "x"})
    assert "/.well-known/elsewhere" not in provider.seen


@pytest.mark.attack(137)
def test_a_provider_that_hangs_is_given_up(
    provider: OpenIDProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ca.identity.sso.fetch.TIMEOUT", 0.2)
    go_on = threading.Event()

    def hang() -> tuple[int, dict[str, str], bytes]:
        go_on.wait(20)
        return 200, {}, b"{}"

    provider.answers = {"/keys": hang}
    with pytest.raises(NotReached):
        get_json(Networks(NETWORKS), f"{provider.url}/keys")
    go_on.set()


@pytest.mark.attack(137)
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "169.254.169.254",
        "10.1.2.3",
        "192.168.0.1",
        "100.64.0.1",
        "224.0.0.1",
        "0.0.0.0",
        "::1",
        "fd00::1",
        "fe80::1%eth0",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
def test_no_provider_is_on_our_own_networks(address: str) -> None:
    assert not Networks().allow(address)


def test_providers_are_on_public_addresses_and_where_the_operator_says() -> None:
    assert Networks().allow("93.184.215.14")
    assert Networks(("10.1.0.0/16",)).allow("10.1.2.3")
    assert not Networks(("10.1.0.0/16",)).allow("10.2.2.3")


@pytest.mark.parametrize(
    "url",
    [
        "http://acme.example",
        "http://127.0.0.1:1",
        "file:///etc/passwd",
        "gopher://a",
        "//a",
        "https://",
        "https://a@b",
        "https://a#b",
        "https://[",
        "https://a:99999",
        "https://a\n",
    ],
)
def test_no_request_goes_to_such_a_url(url: str) -> None:
    with pytest.raises(Refused):
        Networks().check_url(url)


@pytest.mark.attack(137)
def test_a_name_with_two_addresses_is_asked_at_neither(
    acme: Services, provider: OpenIDProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address that was checked is the one that is connected to: it is looked up once."""
    asked = []

    def rebinding(host: str, port: int, **_more: Any) -> Any:
        asked.append(host)
        good = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", port))
        return [good, (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    provider.url = "https://rebinding.example"
    register(acme, provider)
    assert Browser(acme).get("/login/sso/acme").status_code == 503
    assert asked == ["rebinding.example"]


# --- linking --------------------------------------------------------------------------------


def linking(browser: Browser, provider: OpenIDProvider, slug: str = "acme") -> Response:
    """From the form of one's own page, over the provider, and back."""
    page = browser.post("/security/sso/link", {"provider": slug})
    if 'class="button" href="' not in page.text or "Link Acme" not in page.text:
        return page
    href = page.text.split('class="button" href="')[1].split('"')[0].replace("&amp;", "&")
    return browser.get(provider.authorize(href))


def linked(services: Services, person: Person) -> list[str]:
    with reading(services.engine) as connection:
        return [one.subject for one in store.identities_of(connection, person.id)]


def test_linking_and_unlinking(acme: Services, provider: OpenIDProvider) -> None:
    register(acme, provider)
    person = add_person(acme, "dora")
    browser, other = Browser(acme), Browser(acme)
    for one in (browser, other):
        one.log_in(one.get("/security"), person)
    page = linking(browser, provider)
    assert page.url.path == "/security/sso"
    assert "alice-at-acme" in page.text
    assert linked(acme, person) == ["alice-at-acme"]
    assert "Log in" in other.get("/security").text, "other sessions end"
    mails = [path.read_text() for path in sorted((acme.settings.data / "mail").iterdir())]
    assert "A single sign-on was linked" in mails[-1]
    page = browser.submit(browser.get("/security/sso"))
    assert linked(acme, person) == []
    assert page.url.path == "/security", "this session does not rest on it"


@pytest.mark.attack(138)
@pytest.mark.parametrize("verified", [True, False, None, "true", 1])
def test_an_address_links_nothing(
    acme: Services, provider: OpenIDProvider, *, verified: object
) -> None:
    register(acme, provider)
    person = add_person(acme, "dora")
    provider.claims = {"email": "dora@acme.example", "email_verified": verified}
    browser, client = Browser(acme), Client(acme)
    page = sign_on(browser, provider, browser.get(client.url(amr="sso:acme")))
    assert page.status_code == 401
    assert "is not linked to an account here" in page.text
    assert linked(acme, person) == []


@pytest.mark.attack(202)
def test_a_stolen_password_links_nothing(acme: Services, provider: OpenIDProvider) -> None:
    register(acme, provider)
    person = add_person(acme, "dora", app=True)
    browser = Browser(acme)
    browser.submit(browser.get("/security"), username="dora", password=PASSWORD)
    linking(browser, provider)
    assert linked(acme, person) == []
    browser.log_in(browser.get("/security"), person)
    pass_time(acme, 601)
    assert "Log in again" in linking(browser, provider).text, "nor an old login"
    assert linked(acme, person) == []


def test_a_link_counts_in_the_session_that_asked_for_it(
    acme: Services, provider: OpenIDProvider
) -> None:
    register(acme, provider)
    person, other = add_person(acme, "dora"), add_person(acme, "emil")
    browser = Browser(acme)
    browser.log_in(browser.get("/security"), person)
    page = browser.post("/security/sso/link", {"provider": "acme"})
    href = page.text.split('class="button" href="')[1].split('"')[0].replace("&amp;", "&")
    back = provider.authorize(href)
    browser.http.cookies.delete("amrgate")
    browser.log_in(browser.get("/security"), other)
    browser.get(back)
    assert linked(acme, person) == linked(acme, other) == []


def test_another_site_cannot_begin_a_link(acme: Services, provider: OpenIDProvider) -> None:
    register(acme, provider)
    person = add_person(acme, "dora")
    browser = Browser(acme)
    browser.log_in(browser.get("/security"), person)
    for origin in ("https://evil.example", "null"):
        sent = browser.http.post(
            "/security/sso/link", data={"provider": "acme"}, headers={"origin": origin}
        )
        assert sent.status_code == 403
    back = provider.authorize(go(browser, page_of(browser)))
    assert browser.get(back).status_code == 401, "a login links nothing"
    assert linked(acme, person) == []


def page_of(browser: Browser) -> Response:
    return browser.submit(browser.get("/login/sso"), provider="acme")


def test_an_identity_is_one_persons_and_one_providers(
    acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    other = add_person(acme, "emil")
    browser = Browser(acme)
    browser.log_in(browser.get("/security"), other)
    assert "linked to somebody else" in linking(browser, provider).text
    assert linked(acme, other) == []
    register(acme, provider, "acme2")
    fresh = Browser(acme)
    page = fresh.submit(fresh.get("/login/sso"), provider="acme2")
    assert sign_on(fresh, provider, page).status_code == 401, "it was linked through acme"
    # Two organizations may use the same provider: a member of both links both.
    link(acme, dora, provider, "acme2")
    fresh = Browser(acme)
    page = fresh.submit(fresh.get("/login/sso"), provider="acme2")
    assert sign_on(fresh, provider, page).status_code == 200
    assert "linked to somebody else" in linking(browser, provider, "acme2").text
    assert linked(acme, dora) == [provider.subject] * 2


def test_the_last_way_to_log_in_stays(
    acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    from sqlalchemy import delete

    from ca.store.engine import writing
    from ca.store.tables import passwords

    with writing(acme.engine) as connection:
        connection.execute(delete(passwords).where(passwords.c.user_id == dora.id))
    browser = Browser(acme)
    sign_on(browser, provider, page_of(browser))
    page = browser.submit(browser.get("/security/sso"))
    assert "your only way to log in" in page.text
    assert linked(acme, dora) == ["alice-at-acme"]


def test_what_rests_on_an_identity_ends_with_it(
    acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    browser = Browser(acme)
    browser.log_in(browser.get("/security"), dora)
    sign_on(browser, provider, page_of(browser))
    page = browser.submit(browser.get("/security/sso"))
    assert 'action="/login"' in page.text, "the present session as well"
    assert linked(acme, dora) == []


def test_an_admin_who_comes_back_has_tested_the_provider(
    acme: Services, provider: OpenIDProvider
) -> None:
    register(acme, provider)
    api = log_in(acme, "bob", "pwd")
    person = Person(api.user.id, "bob")

    def tested() -> bool:
        with reading(acme.engine) as connection:
            found = store.find_provider(connection, "acme")
        assert found
        return found.tested_at is not None

    dora = add_person(acme, "dora")
    link(acme, dora, provider)
    browser = Browser(acme)
    sign_on(browser, provider, page_of(browser))
    assert not tested(), "she is no admin"
    provider.subject = "bob-at-acme"
    link(acme, person, provider)
    browser = Browser(acme)
    sign_on(browser, provider, page_of(browser))
    assert tested()
