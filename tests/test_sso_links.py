"""Accounts that are linked to who somebody is at a provider: by whom, and what rests on it."""

from __future__ import annotations

from html import unescape
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from ca.identity.sso import logins
from ca.store import sso as store
from ca.store.engine import reading
from tests.directory import log_in, records
from tests.providers import OpenIDProvider, go, link, register, sign_on, tokens
from tests.web import BACK, PASSWORD, Browser, Client, Person, add_person, pass_time

if TYPE_CHECKING:
    from httpx2 import Response

    from ca.services import Services


def linking(browser: Browser, provider: OpenIDProvider, slug: str = "acme") -> Response:
    """From the form of one's own page, over the provider, and back."""
    page = browser.post("/security/sso/link", {"provider": slug})
    if 'class="button" href="' not in page.text or "Link Acme" not in page.text:
        return page
    return browser.get(provider.authorize(href_of(page)))


def linked(services: Services, person: Person) -> list[str]:
    with reading(services.engine) as connection:
        return [one.subject for one in store.identities_of(connection, person.id)]


def test_linking_and_unlinking(sso_acme: Services, provider: OpenIDProvider) -> None:
    register(sso_acme, provider)
    person = add_person(sso_acme, "dora")
    browser, other = Browser(sso_acme), Browser(sso_acme)
    for one in (browser, other):
        one.log_in(one.get("/security"), person)
    page = linking(browser, provider)
    assert page.url.path == "/security/sso"
    assert "alice-at-acme" in page.text
    assert linked(sso_acme, person) == ["alice-at-acme"]
    assert "Log in" in other.get("/security").text, "other sessions end"
    mails = [path.read_text() for path in sorted((sso_acme.settings.data / "mail").iterdir())]
    assert "A single sign-on was linked" in mails[-1]
    page = browser.submit(browser.get("/security/sso"))
    assert linked(sso_acme, person) == []
    assert page.url.path == "/security", "this session does not rest on it"


def test_who_is_asked_for_a_login_that_is_not_linked_is_led_to_link_it(
    sso_acme: Services, provider: OpenIDProvider
) -> None:
    register(sso_acme, provider)
    person = add_person(sso_acme, "dora")
    browser, client = Browser(sso_acme), Client(sso_acme)
    asked = browser.get(client.url(amr="sso:acme"))
    failed = sign_on(browser, provider, asked)
    assert failed.status_code == 401
    for page in (asked, failed):
        assert 'href="/security/sso"' in page.text
        assert 'href="/login?' not in page.text, "that page leads back here"
    assert browser.log_in(browser.get("/security/sso"), person).url.path == "/security/sso"
    assert linking(browser, provider).url.path == "/security/sso"
    page = sign_on(browser, provider, browser.get(client.url(amr="sso:acme")))
    assert tokens(client, browser, page)["amr"] == ["pwd", "sso:acme"]


def test_who_is_asked_for_a_provider_that_fails_may_try_again_or_go_back(
    sso_acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    browser, client = Browser(sso_acme), Client(sso_acme)
    provider.metadata = {"issuer": "https://evil.example"}
    asked = browser.get(client.url(amr="sso:acme"))
    failed = browser.get(href_of(asked))
    assert failed.status_code == 503
    assert BACK in failed.headers["content-security-policy"], "where the button leads in the end"
    answer = parse_qs(urlsplit(browser.submit(failed, decision="deny").headers["location"]).query)
    assert answer["error"] == ["access_denied"]
    provider.metadata = {}
    page = sign_on(browser, provider, browser.get(href_of(failed)))
    assert tokens(client, browser, page)["sub"] == dora.id


def href_of(page: Response) -> str:
    """Where the page's button leads that is a link."""
    return unescape(page.text.split('class="button" href="')[1].split('"')[0])


def test_a_provider_that_is_gone_is_told_of_on_a_page(sso_acme: Services) -> None:
    register(sso_acme, OpenIDProvider(url="http://127.0.0.1:9"))
    browser = Browser(sso_acme)
    browser.log_in(browser.get("/security"), add_person(sso_acme, "dora"))
    page = browser.post("/security/sso/link", {"provider": "acme"})
    assert page.status_code == 503
    assert "does not answer as it should. Try again" in page.text
    assert 'href="/security"' in page.text, "a way on"


@pytest.mark.attack(138)
@pytest.mark.parametrize("verified", [True, False, None, "true", 1])
def test_an_address_links_nothing(
    sso_acme: Services, provider: OpenIDProvider, *, verified: object
) -> None:
    register(sso_acme, provider)
    person = add_person(sso_acme, "dora")
    provider.claims = {"email": "dora@acme.example", "email_verified": verified}
    browser, client = Browser(sso_acme), Client(sso_acme)
    page = sign_on(browser, provider, browser.get(client.url(amr="sso:acme")))
    assert page.status_code == 401
    assert "is not linked to an account here" in page.text
    assert linked(sso_acme, person) == []


def test_a_provider_that_makes_people_up_does_not_fill_the_log(
    sso_acme: Services, provider: OpenIDProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "MAX_NOT_LINKED", 2)
    register(sso_acme, provider)
    browser = Browser(sso_acme)
    for number in range(4):
        provider.subject = f"made up {number}"
        page = browser.submit(browser.get("/login/sso"), provider="acme")
        assert sign_on(browser, provider, page).status_code == 401
    assert records(sso_acme.engine).count(("login:fail", "", "")) == 2


@pytest.mark.attack(202)
def test_a_stolen_password_links_nothing(sso_acme: Services, provider: OpenIDProvider) -> None:
    register(sso_acme, provider)
    person = add_person(sso_acme, "dora", app=True)
    browser = Browser(sso_acme)
    browser.submit(browser.get("/security"), username="dora", password=PASSWORD)
    linking(browser, provider)
    assert linked(sso_acme, person) == []
    browser.log_in(browser.get("/security"), person)
    pass_time(sso_acme, 601)
    assert "Log in again" in linking(browser, provider).text, "nor an old login"
    assert linked(sso_acme, person) == []


def test_a_link_counts_in_the_session_that_asked_for_it(
    sso_acme: Services, provider: OpenIDProvider
) -> None:
    register(sso_acme, provider)
    person, other = add_person(sso_acme, "dora"), add_person(sso_acme, "emil")
    browser = Browser(sso_acme)
    browser.log_in(browser.get("/security"), person)
    page = browser.post("/security/sso/link", {"provider": "acme"})
    href = page.text.split('class="button" href="')[1].split('"')[0].replace("&amp;", "&")
    back = provider.authorize(href)
    browser.http.cookies.delete("amrgate")
    browser.log_in(browser.get("/security"), other)
    browser.get(back)
    assert linked(sso_acme, person) == linked(sso_acme, other) == []


def test_another_site_cannot_begin_a_link(sso_acme: Services, provider: OpenIDProvider) -> None:
    register(sso_acme, provider)
    person = add_person(sso_acme, "dora")
    browser = Browser(sso_acme)
    browser.log_in(browser.get("/security"), person)
    for origin in ("https://evil.example", "null"):
        sent = browser.http.post(
            "/security/sso/link", data={"provider": "acme"}, headers={"origin": origin}
        )
        assert sent.status_code == 403
    back = provider.authorize(go(browser, page_of(browser)))
    assert browser.get(back).status_code == 401, "a login links nothing"
    assert linked(sso_acme, person) == []


def page_of(browser: Browser) -> Response:
    return browser.submit(browser.get("/login/sso"), provider="acme")


def test_an_identity_is_one_persons_and_one_providers(
    sso_acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    other = add_person(sso_acme, "emil")
    browser = Browser(sso_acme)
    browser.log_in(browser.get("/security"), other)
    assert "linked to somebody else" in linking(browser, provider).text
    assert linked(sso_acme, other) == []
    register(sso_acme, provider, "acme2")
    fresh = Browser(sso_acme)
    page = fresh.submit(fresh.get("/login/sso"), provider="acme2")
    assert sign_on(fresh, provider, page).status_code == 401, "it was linked through acme"
    # Two organizations may use the same provider: a member of both links both.
    link(sso_acme, dora, provider, "acme2")
    fresh = Browser(sso_acme)
    page = fresh.submit(fresh.get("/login/sso"), provider="acme2")
    assert sign_on(fresh, provider, page).status_code == 200
    assert "linked to somebody else" in linking(browser, provider, "acme2").text
    assert linked(sso_acme, dora) == [provider.subject] * 2


def test_the_last_way_to_log_in_stays(
    sso_acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    from sqlalchemy import delete

    from ca.store.engine import writing
    from ca.store.tables import passwords

    with writing(sso_acme.engine) as connection:
        connection.execute(delete(passwords).where(passwords.c.user_id == dora.id))
    browser = Browser(sso_acme)
    sign_on(browser, provider, page_of(browser))
    page = browser.submit(browser.get("/security/sso"))
    assert "your only way to log in" in page.text
    assert linked(sso_acme, dora) == ["alice-at-acme"]


def test_what_rests_on_an_identity_ends_with_it(
    sso_acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    browser = Browser(sso_acme)
    browser.log_in(browser.get("/security"), dora)
    sign_on(browser, provider, page_of(browser))
    page = browser.submit(browser.get("/security/sso"))
    assert 'action="/login"' in page.text, "the present session as well"
    assert linked(sso_acme, dora) == []


def test_an_admin_who_comes_back_has_tested_the_provider(
    sso_acme: Services, provider: OpenIDProvider
) -> None:
    register(sso_acme, provider)
    api = log_in(sso_acme, "bob", "pwd")
    person = Person(api.user.id, "bob")

    def tested() -> bool:
        with reading(sso_acme.engine) as connection:
            found = store.find_provider(connection, "acme")
        assert found
        return found.tested_at is not None

    dora = add_person(sso_acme, "dora")
    link(sso_acme, dora, provider)
    browser = Browser(sso_acme)
    sign_on(browser, provider, page_of(browser))
    assert not tested(), "she is no admin"
    provider.subject = "bob-at-acme"
    link(sso_acme, person, provider)
    browser = Browser(sso_acme)
    sign_on(browser, provider, page_of(browser))
    assert tested()
