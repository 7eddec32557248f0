"""Providers of organizations: who makes and requires them, and what another's never opens."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from ca import settings
from ca.directory.apply.document import InvalidFile
from ca.hosts.content import content_of
from ca.identity.proofs import Proof, amr_of
from ca.identity.sessions import hash_of
from ca.identity.sso import providers
from ca.ops.main import main
from ca.store import hosts, known_browsers, people
from ca.store import sso as store
from ca.store.engine import reading, writing
from sshd_hook.policy import ALLOWED, CONTRIBUTOR, MORE_AUTHENTICATION, Access, Claims, decide
from tests.databases import new_sqlite
from tests.directory import ACME, SERVICE, apply_text, log_in, records
from tests.providers import (
    SECRET,
    OpenIDProvider,
    a_provider,
    link,
    reaching,
    register,
    sign_on,
    tokens,
)
from tests.web import Browser, Client, Person, add_person, new_services, password_hash

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ca.services import Services

EVIL = """
[organizations.evil]
members = { mallory = "owner", alice = "viewer" }

[organizations.evil.sso.acme-]
"""
REQUIRES = """
[organizations.acme.requirement]
amr = [{}]
"""
GITHUB = {"slug": "work", "issuer": "https://login.example", "client_id": "us"}


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[Services]:
    with new_services(new_sqlite(tmp_path), tmp_path) as services:
        apply_text(services.engine, ACME + EVIL)
        yield reaching(services)


def test_a_provider_from_its_making_to_its_end(acme: Services) -> None:
    bob = log_in(acme, "bob", "pwd", "otp")
    made = bob.post("/organizations/acme/sso", GITHUB | {"client_secret": SECRET})
    assert made.status_code == 201, made.text
    assert SECRET not in made.text
    assert made.json()["has_client_secret"] is True
    assert made.json()["tested_at"] is None
    assert bob.get("/organizations/acme/sso").json() == [made.json()]
    with reading(acme.engine) as connection:
        stored = store.find_provider(connection, "work")
    assert stored
    assert SECRET.encode() not in (stored.client_secret_sealed or b"")

    path = "/organizations/acme/sso/work"
    moved = bob.http.patch(path, json={"issuer": "https://elsewhere.example"})
    assert moved.status_code == 400, "nobody sends a secret elsewhere who does not know it"
    mapped = bob.http.patch(path, json={"mfa_values": ["mfa"]})
    assert mapped.json()["mfa_values"] == ["mfa"]
    assert bob.http.delete(path).status_code == 204
    assert bob.get("/organizations/acme/sso").json() == []
    again = bob.post("/organizations/acme/sso", GITHUB)
    assert again.status_code == 409, "a slug is never used again"
    events = [event for event, _, subject in records(acme.engine) if subject == "work"]
    assert events == ["provider:add", "provider:change", "provider:end", "provider:remove"]


@pytest.mark.attack(142, 150)
@pytest.mark.parametrize(
    ("changes", "status"),
    [
        pytest.param({"slug": "acme "}, 400, id="a slug that is none"),
        pytest.param({"slug": "acme-"}, 409, id="another organization's slug"),
        pytest.param({"issuer": "http://login.example"}, 400, id="plain http"),
        pytest.param({"issuer": "http://169.254.169.254"}, 400, id="the cloud's metadata"),
        pytest.param({"issuer": "https://u@login.example"}, 400, id="userinfo"),
        pytest.param({"scopes": ["email"]}, 400, id="no openid"),
        pytest.param({"mfa_values": ["two words"]}, 400, id="two words"),
        pytest.param({"domains": ["acme.example"]}, 400, id="domains are the operator's"),
        pytest.param({"tested_at": "now"}, 400, id="tested"),
        pytest.param({"label": "\u202egnihsihp"}, 400, id="a label to trick with"),
    ],
)
def test_a_provider_that_is_refused(acme: Services, changes: dict[str, Any], status: int) -> None:
    bob = log_in(acme, "bob", "pwd", "otp")
    assert bob.post("/organizations/acme/sso", GITHUB | changes).status_code == status
    assert bob.get("/organizations/acme/sso").json() == []


@pytest.mark.attack(150)
def test_who_makes_a_provider_needs_a_fresh_login_with_mfa(acme: Services) -> None:
    for name, amr, ago, status in (
        ("bob", ("pwd",), 0, 401),
        ("bob", ("pwd", "otp"), 3600, 401),
        ("alice", ("pwd", "otp"), 0, 403),
        ("mallory", ("pwd", "otp"), 0, 404),
    ):
        api = log_in(acme, name, *amr, ago=ago)
        assert api.post("/organizations/acme/sso", GITHUB).status_code == status, name


@pytest.mark.attack(151)
def test_a_provider_is_required_once_an_admin_has_come_back(
    acme: Services, provider: OpenIDProvider
) -> None:
    register(acme, provider)
    bob = log_in(acme, "bob", "pwd", "otp", "sso:acme")
    enable = "/organizations/acme/sso/acme/enable"
    refused = bob.post(enable)
    assert refused.status_code == 409
    assert "No owner or admin has logged in with this provider yet" in refused.text

    note_tested(acme)
    weak = log_in(acme, "bob", "pwd", "otp")
    assert weak.post(enable).status_code == 401, "their own login must be one"
    assert bob.post(enable).status_code == 204
    assert weak.get("/organizations/acme").json()["amr"] == ["sso:acme"]
    assert bob.http.delete("/organizations/acme/sso/acme").status_code == 409, "it is required"
    moved = {"client_id": "another"}
    assert bob.http.patch("/organizations/acme/sso/acme", json=moved).status_code == 409
    assert bob.post("/organizations/acme/sso/acme/disable").status_code == 204
    after = bob.http.patch("/organizations/acme/sso/acme", json=moved)
    assert after.json()["tested_at"] is None, "another client must be tested again"


@pytest.mark.attack(145)
def test_where_single_sign_on_is_required_nothing_else_opens(
    acme: Services, provider: OpenIDProvider
) -> None:
    register(acme, provider)
    note_tested(acme)
    bob = log_in(acme, "bob", "pwd", "otp", "sso:acme")
    before = log_in(acme, "alice", "pwd", "otp")
    assert before.get("/organizations/acme").status_code == 200
    assert bob.post("/organizations/acme/sso/acme/enable").status_code == 204
    for api in (before, log_in(acme, "alice", "pwd"), log_in(acme, "alice", "pwd", "recovery")):
        answer = api.get("/organizations/acme")
        assert answer.status_code == 401
        assert answer.json()["amr"] == ["sso:acme"]
    assert log_in(acme, "alice", "sso:acme").get("/organizations/acme").status_code == 200
    # The operator's file lifts it when the provider is broken: see docs/sso.md.
    apply_text(acme.engine, f"{ACME}{EVIL}[organizations.acme.requirement]\n")
    assert before.get("/organizations/acme").status_code == 200
    assert ("requirement:remove", "operator test", "organization acme") in records(acme.engine)


def note_tested(services: Services) -> None:
    with writing(services.engine) as connection:
        found = store.find_provider(connection, "acme")
        assert found
        store.note_tested(connection, found, int(time.time()))


# --- what organization evil tries -----------------------------------------------------------

WAYS = {
    "its provider": ("sso:acme-",),
    "its provider, which says mfa": ("sso:acme-", "sso:acme-:mfa"),
    "its provider, and a code": ("sso:acme-", "otp"),
    "its provider, which says mfa, and a code": ("sso:acme-", "sso:acme-:mfa", "otp"),
    "its provider, and a touched key": ("sso:acme-", "hwk"),
}


def proved(amr: tuple[str, ...]) -> frozenset[str]:
    return amr_of(Proof(one, int(time.time())) for one in amr)


@pytest.mark.attack(201)
@pytest.mark.parametrize("amr", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("required", ['"mfa"', '"sso:acme"', '"mfa", "sso:acme"'])
def test_another_organizations_provider_opens_nothing_of_acme(
    acme: Services, amr: tuple[str, ...], required: str
) -> None:
    apply_text(acme.engine, ACME + REQUIRES.format(required) + EVIL)
    alice = log_in(acme, "alice", *amr)
    for path in ("/organizations/acme", "/projects/abcdefg123456"):
        assert alice.get(path).status_code == 401, path
    assert at_host(acme, proved(amr)) == MORE_AUTHENTICATION
    assert alice.get("/organizations/evil").status_code == 200, "in its own it may"


@pytest.mark.attack(201)
def test_where_acme_asks_nothing_evils_word_alone_is_not_enough(acme: Services) -> None:
    for amr in (("sso:acme-",), ("sso:acme-", "sso:acme-:mfa")):
        assert log_in(acme, "alice", *amr).get("/organizations/acme").status_code == 401
        assert at_host(acme, proved(amr)) == MORE_AUTHENTICATION
    assert at_host(acme, proved(("pwd",))) == ALLOWED


def at_host(services: Services, amr: frozenset[str]) -> str:
    """What acme's host decides, from the bundle that it is given."""
    with reading(services.engine) as connection:
        host = next(one for one in hosts.all_hosts(connection) if one.name == "ssh.acme.example")
        content = content_of(connection, host, ())
    record = next(one for one in content.services if one.name == SERVICE)
    now = int(time.time())
    access = Access(CONTRIBUTOR, CONTRIBUTOR)
    return decide(record.requirement, access, Claims(amr, now), None, now).outcome


@pytest.mark.attack(201)
def test_evil_cannot_name_acmes_provider_nor_take_its_place(
    acme: Services, provider: OpenIDProvider
) -> None:
    mallory = log_in(acme, "mallory", "pwd", "otp")
    evil = "/organizations/evil/sso"
    body = {"issuer": provider.url, "client_id": provider.client_id}
    assert mallory.post(evil, body | {"slug": "acme"}).status_code == 409
    assert mallory.http.patch(f"{evil}/acme", json=body).status_code == 404
    assert mallory.http.delete(f"{evil}/acme").status_code == 404
    assert mallory.post(f"{evil}/acme/enable").status_code == 404
    for wanted in ('"sso:acme"', '"sso:acme:mfa"', '"sso:acme-:mfa"'):
        text = ACME + EVIL + f"\n[organizations.evil.requirement]\namr = [{wanted}]\n"
        with pytest.raises(InvalidFile, match="provider of the organization"):
            apply_text(acme.engine, text)


@pytest.mark.attack(138, 201)
def test_evils_provider_that_says_it_is_acmes_is_not_believed(
    acme: Services, provider: OpenIDProvider
) -> None:
    """The victim is linked at acme's; evil's own provider, and acme's issuer under evil's slug."""
    register(acme, provider)
    victim = add_person(acme, "dora")
    link(acme, victim, provider)
    with a_provider() as evil:
        evil.subject = provider.subject
        register(acme, evil, "acme-", "evil", mfa_values=("mfa",))
        for claims in ({}, {"iss": provider.url}):
            evil.claims = claims
            assert not reaches(acme, evil, "acme-"), claims
        browser = Browser(acme)
        page = browser.submit(browser.get("/login/sso"), provider="acme-")
        evil.metadata = {"issuer": provider.url}
        assert sign_on(browser, evil, page).status_code == 503, "asked again where one comes back"
    with a_provider() as another:
        another.metadata = {"issuer": provider.url}
        register(acme, another, "acme--", "evil")
        assert Browser(acme).get("/login/sso/acme--").status_code == 503
    register(acme, provider, "acme-", "evil")
    assert not reaches(acme, provider, "acme-"), "acme's issuer, known under evil's slug"
    assert reaches(acme, provider, "acme")


def reaches(services: Services, provider: OpenIDProvider, slug: str) -> bool:
    browser = Browser(services)
    page = browser.submit(browser.get("/login/sso"), provider=slug)
    sign_on(browser, provider, page)
    return browser.cookie != ""


@pytest.mark.attack(201)
def test_a_shared_member_linked_at_evil_gets_evils_word_and_no_more(
    acme: Services, provider: OpenIDProvider
) -> None:
    register(acme, provider, "acme-", "evil", mfa_values=("mfa",))
    provider.claims = {"amr": ["mfa"]}
    alice = Person(log_in(acme, "alice", "pwd").user.id, "alice")
    link(acme, alice, provider, "acme-")
    with writing(acme.engine) as connection:
        people.put_password(connection, alice.id, password_hash(), int(time.time()))
    browser, client = Browser(acme), Client(acme)
    page = sign_on(browser, provider, browser.get(client.url(amr="sso:acme-")))
    said = tokens(client, browser, page)
    assert said["amr"] == ["sso:acme-", "sso:acme-:mfa"]
    page = browser.get(client.url(amr="sso:acme"))
    assert "not available" in page.text, "there is no such provider to ask"

    # Nor does evil's word plant a factor that would count at acme as alice's own.
    for path in ("/security/application", "/security/key"):
        refused = browser.get(path)
        assert refused.status_code in (403, 404), path
    assert "A single sign-on in the place" in browser.get("/security/application").text


@pytest.mark.attack(120, 201)
def test_evils_browser_is_none_that_the_account_knows(
    acme: Services, provider: OpenIDProvider
) -> None:
    register(acme, provider, "acme-", "evil")
    dora = add_person(acme, "dora")
    link(acme, dora, provider, "acme-")
    browsers = []
    for way in ("provider", "password"):
        browser = Browser(acme)
        page = browser.get("/login")
        if way == "provider":
            page = browser.submit(browser.get("/login/sso"), provider="acme-")
            assert "Authenticator app" in sign_on(browser, provider, page).text
        else:
            assert "Authenticator app" in browser.log_in(page, dora).text
        browsers.append(hash_of(browser.http.cookies.get("amrgate-browser") or ""))
    with reading(acme.engine) as connection:
        now = int(time.time())
        known = [known_browsers.is_known(connection, dora.id, one, now) for one in browsers]
    assert known == [False, True]


@pytest.mark.attack(201, 202)
def test_evils_word_with_a_code_changes_no_account_that_has_a_password(
    acme: Services, provider: OpenIDProvider
) -> None:
    """Evil's own page can ask for the code: one factor less than at acme."""
    register(acme, provider, "acme-", "evil")
    dora = add_person(acme, "dora", app=True)
    link(acme, dora, provider, "acme-")
    browser = Browser(acme)
    page = sign_on(browser, provider, browser.submit(browser.get("/login/sso"), provider="acme-"))
    assert "Authenticator app" in browser.log_in(page, dora).text

    assert browser.post("/security/application/remove", {}).status_code == 403
    assert browser.post("/security/codes", {}).status_code == 403
    for path in ("email", "password", "tokens/new"):
        assert browser.get(f"/security/{path}").status_code == 403, path

    browser.post("/logout", {})
    browser.log_in(browser.get("/login"), dora)
    assert browser.post("/security/application/remove", {}).status_code == 200


def test_who_has_nothing_but_the_provider_sets_up_a_factor(
    acme: Services, provider: OpenIDProvider
) -> None:
    register(acme, provider)
    api = log_in(acme, "alice", "pwd")  # the example gives nobody a password
    link(acme, Person(api.user.id, "alice"), provider)
    browser = Browser(acme)
    sign_on(browser, provider, browser.submit(browser.get("/login/sso"), provider="acme"))
    assert "Scan this picture" in browser.get("/security/application").text


def test_the_operator_says_which_addresses_lead_to_a_provider(
    acme: Services, provider: OpenIDProvider
) -> None:
    register(acme, provider)
    (acme.settings.data / "settings.toml").write_text(settings.render(acme.settings))

    def operate(*words: str) -> str:
        words = ("sso", "domains", *words, "--data", str(acme.settings.data))
        return CliRunner().invoke(main, words).output

    assert operate("acme", "acme.example") == "acme: acme.example\n"
    assert [one.slug for one in providers.offered(acme.engine, "x@ACME.example")] == ["acme"]
    assert "is not a domain" in operate("acme", "@acme.example")
    assert "There is no provider" in operate("other", "acme.example")
    assert operate("acme") == "acme: no domains\n"
    assert providers.offered(acme.engine, "x@acme.example") == []
