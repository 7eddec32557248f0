"""Keys as people have them: asked and answered at a desk, or on the pages of a service."""

from __future__ import annotations

import html
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from ca.identity import webauthn
from ca.identity.ceremony import Site
from ca.identity.factors import Acting
from ca.identity.proofs import Proof
from ca.identity.webauthn import Answer, Asked, Question
from ca.store import people
from ca.store import webauthn as store
from ca.store.engine import reading
from ca.store.tables import audit_records
from tests.authenticator import PRESENT, VERIFIED, Authenticator
from tests.web import Browser, pass_time

if TYPE_CHECKING:
    from httpx2 import Response

    from ca.services import Services
    from ca.store.people import User
    from tests.web import Person

SITE = Site("http://localhost:8080", "localhost")
BROWSER = webauthn.for_login("a browser")


def authenticator(flags: int = PRESENT | VERIFIED, count: int = 0) -> Authenticator:
    return Authenticator(SITE.origin, SITE.host, flags=flags, count=count)


def acting(person: Person, *methods: str, ago: int = 0) -> Acting:
    at = int(time.time()) - ago
    return Acting(person.id, "a session", tuple(Proof(method, at) for method in methods))


@dataclass
class Desk:
    """Asks keys, and takes their answers, as the pages do; all of it at one moment."""

    services: Services
    now: int = field(default_factory=lambda: int(time.time()))

    def ask(self, asked: Asked = BROWSER, *, ago: int = 0) -> Question:
        return webauthn.ask(self.services.keys.seal, SITE, asked, (), self.now - ago)

    def check(
        self,
        asked: Asked,
        question: Question,
        credential: str,
        browser: str = "",
        address: str = "192.0.2.1",
    ) -> webauthn.Use:
        return webauthn.check(
            self.services.engine,
            self.services.keys.seal,
            SITE,
            asked,
            answer=Answer(question.sealed, credential),
            now=self.now,
            browser=browser,
            address=address,
        )

    def use(
        self,
        key: Authenticator,
        asked: Asked = BROWSER,
        *,
        browser: str = "",
        address: str = "192.0.2.1",
    ) -> webauthn.Use:
        question = self.ask(asked)
        return self.check(asked, question, key.get(question.options), browser, address)

    def offer(self, me: Acting) -> Question:
        engine, seal = self.services.engine, self.services.keys.seal
        return webauthn.ask_to_register(engine, seal, SITE, me, self.now)

    def take(self, me: Acting, offer: Question, credential: str, name: str = "a key") -> list[str]:
        return webauthn.register(
            self.services.engine,
            self.services.keys.seal,
            SITE,
            me,
            name=name,
            answer=Answer(offer.sealed, credential),
            now=self.now,
        )

    def register(self, me: Acting, key: Authenticator, name: str = "a key") -> list[str]:
        offer = self.offer(me)
        return self.take(me, offer, key.create(offer.options), name)

    def keys(self, person: Person) -> tuple[store.Key, ...]:
        with reading(self.services.engine) as connection:
            return store.keys_of(connection, person.id)

    def events(self, event: str) -> int:
        with reading(self.services.engine) as connection:
            query = select(func.count()).where(audit_records.c.event == event)
            return connection.execute(query).scalar_one()


@pytest.fixture
def desk(services: Services) -> Desk:
    return Desk(services)


def user(services: Services, person: Person) -> User:
    with reading(services.engine) as connection:
        found = people.find_user(connection, person.id)
    assert found
    return found


# --- on the pages ---------------------------------------------------------------------------


def answered(browser: Browser, page: Response, key: Authenticator, **typed: str) -> Response:
    """What the page's script does: ask the key, and send its form with the answer."""
    form = re.search(
        r'action="([^"]+)" data-webauthn="(\w+)" data-options="([^"]+)"(.*?)</form>',
        page.text,
        re.DOTALL,
    )
    assert form, page.text
    hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form[4])
    fields = {name: html.unescape(value) for name, value in hidden} | typed
    options = html.unescape(form[3])
    fields["answer"] = key.create(options) if form[2] == "create" else key.get(options)
    return browser.post(form[1], fields)


def added(site: Services, person: Person, key: Authenticator) -> Browser:
    """A browser whose person has just added `key`."""
    browser = Browser(site)
    browser.log_in(browser.get("/login"), person)
    page = answered(browser, browser.get("/security/key"), key, name="a key")
    assert page.status_code == 200, page.text
    pass_time(site, 5)
    return browser


def mails(services: Services) -> list[str]:
    return [file.read_text() for file in (services.settings.data / "mail").iterdir()]
