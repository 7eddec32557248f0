"""Passkeys and security keys: who may add one, what its use amounts to, and each answer once."""

from __future__ import annotations

import html
import json
import re
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from ca.errors import (
    Conflict,
    InsufficientAuthentication,
    InvalidRequest,
    NotFound,
    TooManyAttempts,
)
from ca.identity import accounts, attempts, factors, webauthn
from ca.identity.ceremony import LIFETIME, Site
from ca.identity.factors import Acting
from ca.identity.proofs import Proof
from ca.identity.webauthn import Answer, Asked, KeyRefused, Question, WrongKey
from ca.store import directory, people
from ca.store import webauthn as store
from ca.store.engine import open_engine, reading, writing
from ca.store.tables import audit_records, webauthn_challenges
from tests.authenticator import ELIGIBLE, PRESENT, VERIFIED, Authenticator
from tests.databases import new_sqlite
from tests.directory import ACME, apply_text
from tests.oauth import claims_of
from tests.test_totp import at_once
from tests.web import PASSWORD, Browser, Client, add_person, code_of, new_services, pass_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from httpx2 import Response

    from ca.services import Services
    from ca.store.people import User
    from tests.web import Person

SITE = Site("http://localhost:8080", "localhost")
BROWSER = webauthn.for_login("a browser")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Services]:
    """A service with a host name."""
    with new_services(new_sqlite(tmp_path), tmp_path, SITE.origin) as new:
        yield new


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

    def check(self, asked: Asked, question: Question, credential: str) -> webauthn.Use:
        return webauthn.check(
            self.services.engine,
            self.services.keys.seal,
            SITE,
            asked,
            answer=Answer(question.sealed, credential),
            now=self.now,
        )

    def use(self, key: Authenticator, asked: Asked = BROWSER) -> webauthn.Use:
        question = self.ask(asked)
        return self.check(asked, question, key.get(question.options))

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


# --- using one ------------------------------------------------------------------------------


@pytest.mark.attack(133)
@pytest.mark.parametrize(
    ("flags", "amr", "verified"), [(PRESENT, "hwk", 0), (PRESENT | ELIGIBLE, "swk", VERIFIED)]
)
def test_a_key_says_who_it_is_and_how(desk: Desk, flags: int, amr: str, verified: int) -> None:
    alice = add_person(desk.services, "alice")
    key = authenticator(flags | verified)
    desk.register(acting(alice, "pwd"), key)

    use = desk.use(key)

    assert use.user == user(desk.services, alice)
    assert use.proof == Proof(amr, use.proof.at, verified=bool(verified))
    assert not use.counter_fell
    assert desk.keys(alice)[0].used_at == use.proof.at


@pytest.mark.attack(132)
def test_an_answer_counts_once(desk: Desk) -> None:
    alice = add_person(desk.services, "alice")
    key = authenticator()
    desk.register(acting(alice, "pwd"), key)
    question = desk.ask()
    answer = key.get(question.options)
    desk.check(BROWSER, question, answer)
    for again in (answer, key.get(question.options)):
        with pytest.raises(WrongKey):
            desk.check(BROWSER, question, again)


@pytest.mark.attack(132)
def test_two_answers_at_once_on_two_nodes_are_one(desk: Desk) -> None:
    alice = add_person(desk.services, "alice")
    keys = [authenticator(), authenticator()]
    desk.register(acting(alice, "pwd"), keys[0])
    desk.register(acting(alice, "pwd", "hwk"), keys[1])
    nodes = [
        desk,
        Desk(replace(desk.services, engine=open_engine(desk.services.settings.database))),
    ]
    for _ in range(10):
        question = desk.ask()
        answers = [key.get(question.options) for key in keys]
        outcomes = at_once(
            [
                partial(node.check, BROWSER, question, answer)
                for node, answer in zip(nodes, answers, strict=True)
            ]
        )
        assert sum(isinstance(one, webauthn.Use) for one in outcomes) == 1, outcomes
        assert sum(isinstance(one, WrongKey) for one in outcomes) == 1, outcomes
        for key in keys:
            desk.use(key)  # or the one that was too late five times would have to wait
    nodes[1].services.engine.dispose()


@pytest.mark.attack(132)
def test_a_thousand_challenges_are_spent_once_each(desk: Desk) -> None:
    nodes = [desk.services.engine, open_engine(desk.services.settings.database)]
    spent = [0, 0]

    def spend_all(place: int) -> None:
        for number in range(1000):
            with writing(nodes[place]) as connection:
                spent[place] += store.spend_challenge(connection, f"{number:064}", 10**9, 10**9)

    at_once([partial(spend_all, 0), partial(spend_all, 1)])
    nodes[1].dispose()
    assert sum(spent) == 1000


@pytest.mark.attack(132)
def test_a_question_is_answered_where_it_was_put(desk: Desk) -> None:
    alice, bob = add_person(desk.services, "alice"), add_person(desk.services, "bob")
    key = authenticator()
    desk.register(acting(alice, "pwd"), key)
    asked = webauthn.for_second("a session", alice.id)
    question = desk.ask(asked)
    answer = key.get(question.options)
    for other in (
        BROWSER,
        webauthn.for_login("a session"),
        webauthn.for_second("another session", alice.id),
        webauthn.for_second("a session", bob.id),
        webauthn.for_registration(acting(alice, "pwd")),
    ):
        with pytest.raises(InvalidRequest):
            desk.check(other, question, answer)
    with pytest.raises(InvalidRequest):
        desk.check(asked, Question("", "made up"), answer)
    with pytest.raises(WrongKey):
        desk.check(asked, desk.ask(asked), answer)
    assert desk.check(asked, question, answer).user.id == alice.id


@pytest.mark.attack(132)
@pytest.mark.parametrize(("ago", "taken"), [(LIFETIME, True), (LIFETIME + 1, False)])
def test_a_question_grows_old(desk: Desk, ago: int, *, taken: bool) -> None:
    alice = add_person(desk.services, "alice")
    key = authenticator()
    desk.register(acting(alice, "pwd"), key)
    question = desk.ask(ago=ago)
    answer = key.get(question.options)
    if taken:
        desk.check(BROWSER, question, answer)
    else:
        with pytest.raises(InvalidRequest, match="older than ten minutes"):
            desk.check(BROWSER, question, answer)


def test_spent_challenges_do_not_pile_up(desk: Desk) -> None:
    for expires_at in (1000, 1000 + store.SPENT_KEPT, 9000):
        with writing(desk.services.engine) as connection:
            assert store.spend_challenge(connection, f"{expires_at:064}", expires_at, 4601)
    with reading(desk.services.engine) as connection:
        left = connection.execute(select(webauthn_challenges.c.expires_at)).scalars().all()
    assert sorted(left) == [4600, 9000]


@pytest.mark.attack(134)
def test_the_key_of_another_does_not_lift_a_session(desk: Desk) -> None:
    alice, mallory = add_person(desk.services, "alice"), add_person(desk.services, "mallory")
    key, others = authenticator(), authenticator()
    desk.register(acting(alice, "pwd"), key)
    desk.register(acting(mallory, "pwd"), others)
    asked = webauthn.for_second("a session", alice.id)
    with pytest.raises(WrongKey):
        desk.use(others, asked)
    question = desk.ask(asked)
    named = json.loads(others.get(question.options)) | {
        name: json.loads(key.get(question.options))[name] for name in ("id", "rawId")
    }
    with pytest.raises(WrongKey):
        desk.check(asked, question, json.dumps(named))


def test_a_key_that_does_not_know_its_person_needs_a_name_first(desk: Desk) -> None:
    alice = add_person(desk.services, "alice")
    key = authenticator()
    desk.register(acting(alice, "pwd"), key)
    key.handle = None
    with pytest.raises(WrongKey):
        desk.use(key)
    assert desk.use(key, webauthn.for_second("a session", alice.id)).user.id == alice.id


@pytest.mark.attack(121)
@pytest.mark.attack(134)
def test_whatever_is_wrong_is_told_alike(desk: Desk) -> None:
    alice, gone = add_person(desk.services, "alice"), add_person(desk.services, "gone")
    removed, disabled, forged, unknown = (authenticator() for _ in range(4))
    desk.register(acting(alice, "pwd"), forged)
    desk.register(acting(alice, "pwd", "hwk"), removed)
    desk.register(acting(gone, "pwd"), disabled)
    unknown.handle = forged.handle
    [key_id] = [one.id for one in desk.keys(alice) if one.credential_id == removed.id]
    webauthn.remove(desk.services.engine, acting(alice, "pwd", "hwk"), key_id, desk.now)
    with writing(desk.services.engine) as connection:
        directory.set_disabled(connection, gone.id, 1)
    forged._key = authenticator().key
    told = set()
    for key in (removed, disabled, forged, unknown):
        for _ in range(attempts.FREE):
            with pytest.raises(WrongKey) as wrong:
                desk.use(key)
            told.add(wrong.value.message)
        with pytest.raises(TooManyAttempts) as late:
            desk.use(key)
        told.add(late.value.message)
    assert len(told) == 2, told


@pytest.mark.attack(133)
def test_a_counter_that_falls_is_flagged_and_stays_high(desk: Desk) -> None:
    alice = add_person(desk.services, "alice")
    key = authenticator(count=7)
    desk.register(acting(alice, "pwd"), key)
    for count, fell in ((8, False), (9, False), (9, True), (5, True), (6, True), (0, True)):
        key.count = count
        assert desk.use(key).counter_fell is fell, count
        assert desk.keys(alice)[0].sign_count == max(8, min(count, 9) if not fell else 9)
    key.count = 10
    assert not desk.use(key).counter_fell
    assert desk.keys(alice)[0].counter_fell_at
    assert desk.events("webauthn:counter") == 4


@pytest.mark.attack(133)
def test_a_key_without_a_counter_is_never_flagged(desk: Desk) -> None:
    alice = add_person(desk.services, "alice")
    key = authenticator(count=0)
    desk.register(acting(alice, "pwd"), key)
    assert not any(desk.use(key).counter_fell for _ in range(3))
    assert desk.keys(alice)[0].counter_fell_at is None


@pytest.mark.attack(118)
@pytest.mark.attack(120)
def test_who_guesses_a_password_does_not_lock_out_the_key(desk: Desk) -> None:
    alice = add_person(desk.services, "alice")
    key = authenticator()
    desk.register(acting(alice, "pwd"), key)
    engine, now = desk.services.engine, desk.now
    for guess in range(attempts.MAX_FAILURES):
        attempts.admit(engine, alice.id, now - (attempts.MAX_FAILURES - guess) * 3600)
    with pytest.raises(TooManyAttempts):
        accounts.check_password(engine, "alice", PASSWORD, now)

    use = desk.use(key)

    assert use.user.id == alice.id
    accounts.settle(engine, alice.id, replace(use.proof, verified=False), complete=False)
    with pytest.raises(TooManyAttempts):
        accounts.check_password(engine, "alice", PASSWORD, now)
    accounts.settle(engine, alice.id, use.proof, complete=True)
    accounts.check_password(engine, "alice", PASSWORD, now)


@pytest.mark.attack(117)
@pytest.mark.attack(118)
def test_wrong_answers_of_a_key_are_counted_before_they_are_checked(desk: Desk) -> None:
    alice = add_person(desk.services, "alice")
    key = authenticator()
    desk.register(acting(alice, "pwd"), key)
    thief = replace(key, _key=authenticator().key)
    for _ in range(attempts.FREE):
        with pytest.raises(WrongKey):
            desk.use(thief)
    with pytest.raises(TooManyAttempts):
        desk.use(key)
    assert desk.events("login:fail") == attempts.FREE


# --- adding and removing one ----------------------------------------------------------------


def test_several_keys_have_names(desk: Desk) -> None:
    alice = add_person(desk.services, "alice")
    codes = desk.register(acting(alice, "pwd"), authenticator(), "  Läptop ")
    assert len(set(codes)) == 10
    assert desk.register(acting(alice, "pwd", "hwk"), authenticator(), "phone") == []
    assert sorted(key.name for key in desk.keys(alice)) == ["Läptop", "phone"]
    for name in ("", "  ", "a" * 65, "a\nb", "a\x00"):
        with pytest.raises(InvalidRequest, match="name"):
            desk.register(acting(alice, "pwd", "hwk"), authenticator(), name)


def test_there_are_enough_keys_at_some_point(desk: Desk) -> None:
    alice = add_person(desk.services, "alice")
    me = acting(alice, "pwd", "hwk")
    for _ in range(webauthn.MAX_KEYS):
        desk.register(me, authenticator())
    with pytest.raises(Conflict, match="20 keys"):
        desk.register(me, authenticator())


@pytest.mark.attack(134)
def test_a_key_is_registered_once_and_to_one_person(desk: Desk) -> None:
    alice, mallory = add_person(desk.services, "alice"), add_person(desk.services, "mallory")
    key = authenticator()
    desk.register(acting(alice, "pwd"), key)
    for me in (acting(alice, "pwd", "hwk"), acting(mallory, "pwd")):
        with pytest.raises(Conflict):
            desk.register(me, key)
    assert [len(desk.keys(one)) for one in (alice, mallory)] == [1, 0]
    offer = json.loads(desk.offer(acting(alice, "pwd", "hwk")).options)
    assert len(offer["excludeCredentials"]) == 1


@pytest.mark.attack(132)
def test_an_offer_is_taken_once_and_where_it_was_made(desk: Desk) -> None:
    alice, mallory = add_person(desk.services, "alice"), add_person(desk.services, "mallory")
    me, key = acting(alice, "pwd"), authenticator()
    offer = desk.offer(me)
    made = key.create(offer.options)
    elsewhere = replace(me, session_id="another session")
    for other in (elsewhere, acting(mallory, "pwd")):
        with pytest.raises(InvalidRequest):
            desk.take(other, offer, made)
    with pytest.raises(KeyRefused):
        desk.take(me, desk.offer(me), made)
    desk.take(me, offer, made)
    with pytest.raises(Conflict):
        desk.take(acting(alice, "pwd", "hwk"), offer, authenticator().create(offer.options))


def test_a_person_is_called_alike_by_all_their_keys_and_not_by_their_id(desk: Desk) -> None:
    alice, bob = add_person(desk.services, "alice"), add_person(desk.services, "bob")
    handles = [
        json.loads(desk.offer(acting(one, "pwd")).options)["user"]["id"]
        for one in (alice, alice, bob)
    ]
    assert handles[0] == handles[1] != handles[2]
    key = authenticator()
    desk.register(acting(alice, "pwd"), key)
    assert key.handle
    assert len(key.handle) == store.HANDLE
    assert alice.id.encode() not in key.handle


@pytest.mark.attack(202)
def test_a_stolen_password_adds_and_removes_no_key(desk: Desk) -> None:
    alice, bob = add_person(desk.services, "alice"), add_person(desk.services, "bob", app=True)
    desk.register(acting(alice, "pwd"), authenticator())
    now = int(time.time())
    for person in (alice, bob):
        for thief in (
            acting(person, "pwd"),
            acting(person, "pwd", "otp", ago=700),
            acting(person, "otp"),
            acting(person, "hwk"),
        ):
            with pytest.raises(InsufficientAuthentication) as refused:
                desk.offer(thief)
            assert (refused.value.amr, refused.value.max_age) == (("mfa",), 600)
            with pytest.raises(InsufficientAuthentication):
                webauthn.remove(desk.services.engine, thief, desk.keys(alice)[0].id, now)
    offer = desk.offer(acting(bob, "pwd", "otp"))
    with pytest.raises(InsufficientAuthentication):
        desk.take(acting(bob, "pwd"), offer, authenticator().create(offer.options))
    assert [len(desk.keys(one)) for one in (alice, bob)] == [1, 0]


@pytest.mark.attack(134)
def test_nobody_removes_the_key_of_another(desk: Desk) -> None:
    alice, mallory = add_person(desk.services, "alice"), add_person(desk.services, "mallory")
    desk.register(acting(alice, "pwd"), authenticator())
    for key_id in (desk.keys(alice)[0].id, "nothing"):
        with pytest.raises(NotFound):
            webauthn.remove(desk.services.engine, acting(mallory, "pwd"), key_id, int(time.time()))
    assert len(desk.keys(alice)) == 1


def test_recovery_codes_go_with_the_last_second_factor(desk: Desk) -> None:
    bob = add_person(desk.services, "bob", app=True)
    me, engine, now = acting(bob, "pwd", "otp"), desk.services.engine, int(time.time())
    factors.renew_recovery_codes(engine, me, now)
    assert desk.register(me, authenticator()) == []
    factors.remove_totp(engine, me, now)
    assert factors.of_user(engine, bob.id).recovery_codes == 10
    webauthn.remove(engine, me, desk.keys(bob)[0].id, now)
    assert factors.of_user(engine, bob.id) == factors.Overview(None, 0)


def test_an_organization_that_requires_mfa_keeps_its_members_last_factor(desk: Desk) -> None:
    engine, now = desk.services.engine, int(time.time())
    apply_text(engine, f'{ACME}\n[organizations.acme.requirement]\namr = ["mfa"]\n')
    with reading(engine) as connection:
        alice = people.find_user_by_name(connection, "alice")
    assert alice
    me = Acting(alice.id, "a session", (Proof("pwd", now), Proof("otp", now)))
    desk.register(me, authenticator())
    desk.register(me, authenticator())
    with reading(engine) as connection:
        first, last = (key.id for key in store.keys_of(connection, alice.id))
    webauthn.remove(engine, me, first, now)
    with pytest.raises(Conflict, match="required by acme"):
        webauthn.remove(engine, me, last, now)
    assert len(factors.of_user(engine, alice.id).keys) == 1
    apply_text(engine, ACME)
    webauthn.remove(engine, me, last, now)


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


@pytest.mark.attack(203)
def test_the_first_key_is_added_from_a_password_and_lifts_nothing(site: Services) -> None:
    alice = add_person(site, "alice")
    elsewhere, terminal = Browser(site), Client(site)
    elsewhere.log_in(elsewhere.get("/login"), alice)
    token = terminal.tokens(alice)["access_token"]
    here = Browser(site)
    here.log_in(here.get("/login"), alice)
    before = here.cookie
    pass_time(site, 5)

    page = answered(here, here.get("/security/key"), authenticator(), name="laptop")

    assert len(re.findall(r"<li>[0-9a-z]{4}(?:-[0-9a-z]{4}){5}</li>", page.text)) == 10
    assert here.cookie != before
    pass_time(site, 5)
    assert "It began before your key" in here.get("/security").text
    assert 'action="/login"' in elsewhere.get("/security").text
    assert terminal.api("GET", "/users/me", token).status_code == 401
    assert "A passkey or security key was added" in mails(site)[0]
    assert 'action="/login"' in here.get("/security/key").text, "with a password from before"


@pytest.mark.attack(126)
@pytest.mark.attack(133)
def test_a_passkey_is_a_whole_login_without_a_name(site: Services) -> None:
    alice = add_person(site, "alice")
    key = authenticator(PRESENT | VERIFIED | ELIGIBLE)
    added(site, alice, key)
    browser, client = Browser(site), Client(site)
    page = answered(browser, browser.get(client.url(amr="mfa")), key)
    answer = browser.submit(page, decision="allow")
    token = client.exchange(code_of(answer)).json()["access_token"]
    assert claims_of(token)["amr"] == ["mfa", "swk"]
    assert "You logged in with a passkey" in browser.get("/security").text
    cookie = browser.cookie
    browser.get(client.url(max_age="0"))
    pass_time(site, 5)
    page = answered(browser, browser.get(client.url(max_age="1")), key)
    assert "Allow" in page.text
    assert browser.cookie != cookie


@pytest.mark.attack(133)
def test_a_touch_alone_is_asked_for_the_password(site: Services) -> None:
    alice = add_person(site, "alice")
    key = authenticator(PRESENT)
    added(site, alice, key)
    browser, client = Browser(site), Client(site)
    page = answered(browser, browser.get(client.url(amr="mfa")), key)
    assert 'name="password"' in page.text
    page = browser.submit(page, username="alice", password=PASSWORD)
    token = client.exchange(code_of(browser.submit(page, decision="allow"))).json()
    assert claims_of(token["access_token"])["amr"] == ["hwk", "mfa", "pwd"]


def test_a_key_is_the_second_factor_after_the_password(site: Services) -> None:
    alice = add_person(site, "alice")
    key = authenticator(PRESENT, count=1)
    added(site, alice, key)
    key.handle = None  # it does not know its person, and need not
    browser, client = Browser(site), Client(site)
    page = browser.submit(browser.get(client.url()), username="alice", password=PASSWORD)
    assert "Use your key" in page.text
    wrong = answered(browser, page, authenticator())
    assert wrong.status_code == 401
    assert "This key is not known here" in wrong.text
    key.count = 1
    page = answered(browser, wrong, key)
    token = client.exchange(code_of(browser.submit(page, decision="allow"))).json()
    assert claims_of(token["access_token"])["amr"] == ["hwk", "mfa", "pwd"]
    assert any("may have been copied" in mail for mail in mails(site))
    assert "May be copied" in browser.get("/security").text


@pytest.mark.attack(124)
def test_who_has_lost_the_key_uses_a_recovery_code(site: Services) -> None:
    alice = add_person(site, "alice")
    browser = Browser(site)
    browser.log_in(browser.get("/login"), alice)
    page = answered(browser, browser.get("/security/key"), authenticator(), name="lost")
    code = re.findall(r"<li>([0-9a-z-]{29})</li>", page.text)[0]
    pass_time(site, 5)
    later = Browser(site)
    page = later.submit(later.get("/login"), username="alice", password=PASSWORD)
    assert "Authenticator app" in later.post("/login/code", {"code": code}).text


def test_a_client_that_asks_for_hardware_gets_it_or_is_told(site: Services) -> None:
    bob = add_person(site, "bob", app=True)
    browser, client = Browser(site), Client(site)
    browser.log_in(browser.get("/login"), bob)
    page = browser.get(client.url(amr="hwk"))
    assert "has no second factor yet that will do" in page.text
    answered(browser, browser.get("/security/key"), authenticator(PRESENT), name="a key")
    page = browser.get(client.url(amr="hwk"))
    assert "Use your key" in page.text
    assert 'name="code" class="code" inputmode' not in page.text


@pytest.mark.attack(132)
def test_a_question_of_one_browser_is_not_answered_in_another(site: Services) -> None:
    alice = add_person(site, "alice")
    key = authenticator()
    added(site, alice, key)
    one, other = Browser(site), Browser(site)
    page = one.get("/login")
    other.get("/login")
    refused = answered(other, page, key)
    assert refused.status_code == 400
    assert "This page is not complete" in refused.text
    assert "Authenticator app" in answered(one, page, key).text


@pytest.mark.attack(121)
def test_the_login_page_tells_nothing_of_who_has_a_key(site: Services) -> None:
    alice = add_person(site, "alice")
    added(site, alice, authenticator())
    pages = []
    for name in ("alice", "nobody"):
        browser = Browser(site)
        page = browser.submit(browser.get("/login"), username=name, password="a guess of mine")
        options = re.findall(r'data-options="([^"]+)"', page.text)
        asked = [json.loads(html.unescape(one)) | {"challenge": ""} for one in options]
        pages.append((page.status_code, asked))
        assert asked[0]["allowCredentials"] == []
    assert pages[0] == pages[1]


@pytest.mark.attack(128)
@pytest.mark.parametrize("path", ["/login/passkey", "/login/key", "/security/key"])
def test_only_a_form_of_ours_is_taken(site: Services, path: str) -> None:
    headers = {"origin": SITE.origin, "content-type": "application/json"}
    assert Browser(site).http.post(path, content=b"{}", headers=headers).status_code == 400
    evil = {"origin": "https://evil.example"}
    assert Browser(site).http.post(path, data={}, headers=evil).status_code == 403


def test_a_key_is_removed_on_the_page(site: Services) -> None:
    alice = add_person(site, "alice")
    key = authenticator()
    browser = added(site, alice, key)
    pass_time(site, 700)
    page = answered(browser, browser.get("/security/key"), key)
    assert "Add a passkey" in page.text, "back to where one was sent away"
    page = browser.get("/security")
    key_id = re.findall(r'name="id" value="([^"]+)"', page.text)[0]
    page = browser.post("/security/key/remove", {"id": key_id})
    assert 'name="id"' not in page.text
    assert any("A passkey or security key was removed" in mail for mail in mails(site))


def test_under_an_address_there_are_no_keys(services: Services) -> None:
    alice = add_person(services, "alice")
    browser = Browser(services)
    assert "data-webauthn" not in browser.get("/login").text
    browser.log_in(browser.get("/login"), alice)
    assert "security keys" not in browser.get("/security").text
    assert browser.get("/security/key").status_code == 404


@pytest.mark.attack(130)
def test_the_only_script_is_our_own_file(site: Services) -> None:
    browser = Browser(site)
    page = browser.get("/login")
    assert re.findall(r"<script.*?>", page.text) == ['<script src="/static/webauthn.js" defer>']
    policy = page.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    script = browser.get("/static/webauthn.js")
    assert script.headers["content-type"].startswith("text/javascript")


# --- by the API -----------------------------------------------------------------------------


def test_the_api_lists_and_removes_keys(site: Services) -> None:
    alice, bob = add_person(site, "alice"), add_person(site, "bob")
    key = authenticator(PRESENT | VERIFIED | ELIGIBLE)
    added(site, alice, key)
    browser, client = Browser(site), Client(site)
    page = answered(browser, browser.get(client.url()), key)
    token = client.exchange(code_of(browser.submit(page, decision="allow"))).json()["access_token"]

    [one] = client.api("GET", f"/users/{alice.id}/webauthn", token).json()

    assert (one["name"], one["amr"], one["backed_up"]) == ("a key", "swk", False)
    assert one["last_used_at"].endswith("Z")
    assert client.api("GET", "/users/me", token).json()["mfa_enabled"] is True
    assert client.api("GET", f"/users/{bob.id}/webauthn", token).status_code == 404
    path = f"/users/{alice.id}/webauthn/{one['id']}"
    assert client.api("DELETE", path, token).status_code == 204
    assert client.api("DELETE", path, token).status_code == 404
