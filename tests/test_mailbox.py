"""Mailed links: a new password, another address; who reads the mail, and what they may not do."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from email import message_from_bytes, policy
from functools import partial
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from ca.app import create_app
from ca.directory.apply import grammar
from ca.errors import AlreadyUsed, CAError, Conflict, InvalidRequest
from ca.identity import attempts, links, mailbox
from ca.store.attempts import find_count
from ca.store.engine import open_engine, reading, writing
from ca.store.tables import audit_records, mailed_links, users
from tests.directory import log_in
from tests.security_keys import acting
from tests.test_sessions import is_in
from tests.test_totp import at_once
from tests.web import ISSUER, PASSWORD, Browser, Client, add_person

if TYPE_CHECKING:
    from collections.abc import Callable

    from ca.services import Services

NEW = "thunder lamp orbit fig"


def mails(services: Services) -> list[tuple[str, str, str]]:
    """What was mailed: to whom, the subject, the text; the oldest first."""
    files = sorted(
        services.settings.data.glob("mail/*.eml"), key=lambda file: file.stat().st_mtime_ns
    )
    found = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]
    return [(one["To"], one["Subject"], one.get_content()) for one in found]


def link_in(services: Services) -> str:
    """The address of the last link that was mailed, without the host."""
    texts = [text for _to, _subject, text in mails(services) if "token=" in text]
    return str(re.findall(rf"{ISSUER}(\S+\?token=\S+)", texts[-1])[0])


def later(services: Services, seconds: int) -> None:
    with writing(services.engine) as connection:
        column = mailed_links.c.expires_at
        connection.execute(update(mailed_links).values(expires_at=column - seconds))


def forgot(browser: Browser, name: str) -> None:
    answer = browser.submit(browser.get("/forgot"), username=name)
    assert "Look at your mail" in answer.text


def test_a_new_password_by_a_mailed_link(services: Services) -> None:
    alice = add_person(services, "alice")
    elsewhere, client = Browser(services), Client(services)
    token = client.exchange(client.log_in(elsewhere, alice)).json()["access_token"]
    browser = Browser(services)
    assert "/forgot" in browser.get("/login").text
    forgot(browser, "ALICE@acme.example")

    page = browser.get(link_in(services))
    assert page.headers["referrer-policy"] == "strict-origin", "its address is a secret"
    refused = browser.submit(page, password="alice alice alice", again="alice alice alice")
    assert "among the first" in refused.text
    refused = browser.submit(refused, password=NEW, again=NEW + "x")
    assert "are not the same" in refused.text
    done = browser.submit(refused, password=NEW, again=NEW)

    assert "You have a new password" in done.text
    assert not is_in(browser), "a link does not log in"
    assert not is_in(elsewhere)
    assert client.api("GET", "/users/me", token).status_code == 401
    assert "do not belong together" in browser.log_in(browser.get("/login"), alice).text
    browser.log_in(browser.get("/login"), alice, NEW)
    assert is_in(browser)
    to, subject, _text = mails(services)[-1]
    assert (to, subject) == ("alice@acme.example", "Your account: your password was changed")
    token = client.exchange(client.log_in(browser, alice)).json()["access_token"]
    assert client.api("GET", "/users/me", token).json()["email_verified"] is True


def test_a_link_stands_whole_in_its_file(services: Services) -> None:
    """Where there is no mail server, people copy it from there."""
    add_person(services, "alice")
    forgot(Browser(services), "alice")
    (file,) = services.settings.data.glob("mail/*.eml")
    assert f"{ISSUER}{link_in(services)}" in file.read_text().split()


@pytest.mark.attack(125)
def test_a_link_is_good_once_for_an_hour_and_for_what_it_says(services: Services) -> None:
    alice = add_person(services, "alice")
    browser = Browser(services)

    def is_over(path: str) -> bool:
        assert Browser(services).get(path).status_code in (200, 410)
        return "Ask for another one" in Browser(services).get(path).text

    forgot(browser, "alice")
    used = link_in(services)
    token = used.partition("token=")[2]
    assert is_over(f"/email?token={token}"), "for another purpose"
    assert is_over("/reset?token=" + "A" * 43), "guessed"
    assert is_over("/reset"), "without one"
    page = browser.get(used)
    assert "You have a new password" in browser.submit(page, password=NEW, again=NEW).text
    assert "Ask for another one" in browser.submit(page, password=NEW, again=NEW).text

    later(services, links.EVERY)
    forgot(browser, "alice")
    old = link_in(services)
    assert not is_over(old)
    later(services, links.EVERY)
    forgot(browser, "alice")
    assert link_in(services) != old
    assert is_over(old), "a newer one took its place"
    latest = link_in(services)
    later(services, links.LIFETIME - 60)
    assert not is_over(latest)
    later(services, 61)
    assert is_over(latest)

    forgot(browser, "alice")
    asked = link_in(services)
    browser.log_in(browser.get("/login"), alice, NEW)
    page = browser.get("/security/password")
    other = "seven quiet rivers bend"
    assert is_in(browser)
    assert browser.submit(page, present=NEW, password=other, again=other).status_code == 200
    assert is_over(asked), "the password was changed since"


@pytest.mark.attack(125)
def test_a_link_leads_to_us_whatever_host_was_named(services: Services) -> None:
    add_person(services, "alice")
    http = TestClient(create_app(services), base_url="http://evil.example")
    headers = {"origin": ISSUER, "x-forwarded-host": "evil.example"}
    http.post("/forgot", data={"username": "alice"}, headers=headers)
    ((_to, _subject, text),) = mails(services)
    assert ISSUER in text
    assert "evil" not in text


@pytest.mark.attack(125)
def test_of_many_uses_of_a_link_at_once_on_two_nodes_one_counts(services: Services) -> None:
    add_person(services, "alice")
    nodes = [services.engine, open_engine(services.settings.database)]
    asked = mailbox.ask_reset(services.engine, "alice", 10**9)
    assert asked
    uses: list[Callable[[], object]] = [
        partial(mailbox.reset, nodes[n % 2], asked[1], f"{NEW} {n}", 10**9) for n in range(4)
    ]
    outcomes = at_once(uses)
    nodes[1].dispose()
    assert sum(not isinstance(one, Exception) for one in outcomes) == 1, outcomes
    assert all(isinstance(one, AlreadyUsed) for one in outcomes if isinstance(one, Exception))


@pytest.mark.attack(121)
def test_nobody_learns_from_a_forgotten_password_who_has_an_account(services: Services) -> None:
    add_person(services, "alice")
    for name, values in (("gone", {"disabled_at": 1}), ("robot", {"kind": "service"})):
        person = add_person(services, name)
        with writing(services.engine) as connection:
            connection.execute(update(users).where(users.c.id == person.id).values(**values))
    shapes = set()
    for name in ("alice", "alice", "gone", "robot", "nobody", "", "x" * 10_000):
        answer = Browser(services).post("/forgot", {"username": name})
        shapes.add((answer.status_code, answer.text, tuple(answer.headers.items())))
    assert len(shapes) == 1
    assert [to for to, _subject, _text in mails(services)] == ["alice@acme.example"], "once"


def test_a_link_neither_logs_in_nor_takes_a_factor_away(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    browser = Browser(services)
    for guess in range(3):
        attempts.admit(services.engine, bob.id, guess)
    forgot(browser, "bob")
    browser.submit(browser.get(link_in(services)), password=NEW, again=NEW)
    page = browser.submit(browser.get("/login"), username="bob", password=NEW)
    assert "Enter your code" in page.text
    assert not is_in(browser)
    with reading(services.engine) as connection:
        count = find_count(connection, bob.id)
    assert count.failures == 3, "the codes that were guessed at are still the same"
    browser.log_in(page, bob)
    assert is_in(browser)


def test_a_changed_password_keeps_this_session_alone(services: Services) -> None:
    alice = add_person(services, "alice")
    browser, elsewhere = Browser(services), Browser(services)
    for one in (browser, elsewhere):
        one.log_in(one.get("/login"), alice)
    page = browser.get("/security/password")
    wrong = browser.submit(page, present="a guess", password=NEW, again=NEW)
    assert "not your present password" in wrong.text
    marked = re.findall(r'name="(\w+)"[^>]*aria-invalid', wrong.text)
    other = browser.submit(wrong, present=PASSWORD, password=NEW, again=f"{NEW}x")
    marked += re.findall(r'name="(\w+)"[^>]*aria-invalid', other.text)
    assert marked == ["present", "password"], "where to look is said to those who do not see red"
    cookie = browser.cookie
    browser.submit(wrong, present=PASSWORD, password=NEW, again=NEW)
    assert browser.cookie != cookie
    assert is_in(browser)
    assert not is_in(elsewhere)


def test_another_address_is_proved_before_it_counts(services: Services) -> None:
    alice = add_person(services, "alice")
    add_person(services, "bob")
    browser = Browser(services)
    browser.log_in(browser.get("/login"), alice)
    page = browser.get("/security/email")
    assert "not an e-mail address" in browser.submit(page, email="alice at home").text
    assert "Look at your mail" in browser.submit(page, email="alice@new.example").text
    assert "in five minutes" in browser.submit(page, email="alice@other.example").text
    assert [to for to, _subject, _text in mails(services)] == [
        "alice@new.example",
        "alice@acme.example",
    ]
    forgot(Browser(services), "alice")
    reset = link_in(services)
    assert "/reset" in reset
    (proof,) = [
        found
        for _to, _subject, text in mails(services)
        for found in re.findall(rf"{ISSUER}(/email\?token=\S+)", text)
    ]
    stranger = Browser(services)
    asked = stranger.get(proof)
    assert "alice@acme.example" in browser.get("/security").text, "looking at it spends nothing"
    assert "Your address is confirmed" in stranger.submit(asked).text
    assert "Ask for another one" in stranger.submit(asked).text
    assert "alice@new.example" in browser.get("/security").text
    assert mails(services)[-1][0] == "alice@acme.example", "the old one is told"
    assert "Ask for another one" in Browser(services).get(reset).text, "it went to the old one"

    later(services, links.EVERY)
    browser.submit(browser.get("/security/email"), email="BOB@acme.example")
    assert "belongs to another" in stranger.submit(stranger.get(link_in(services))).text


def test_the_api_asks_for_another_address_as_the_page_does(services: Services) -> None:
    person = add_person(services, "alice")
    alice, here = log_in(services, "alice", "pwd"), f"/users/{person.id}"
    new = {"email": "alice@new.example"}
    stale = log_in(services, "alice", "pwd", ago=3600).http.patch(here, json=new)
    assert stale.status_code == 401
    assert alice.http.patch(here, json=new | {"first_name": "A(lice"}).status_code == 400
    assert mails(services) == []

    asked = alice.http.patch(here, json=new)
    assert asked.json()["email"] == "alice@acme.example"
    other = alice.http.patch(here, json={"email": "alice@other.example"})
    assert other.status_code == 429, "not more often than on the page"
    assert other.headers["retry-after"] == "300"
    assert {to for to, _subject, _text in mails(services)} == {new["email"], "alice@acme.example"}
    stranger = Browser(services)
    assert "Your address is confirmed" in stranger.submit(stranger.get(link_in(services))).text
    assert alice.get("/users/me").json()["email"] == new["email"]


ENCODED = "=?utf-8?q?mallory=40evil.example=2C?=@acme.example"
"""Where a mail program sends it, there is mallory@evil.example; and acme's stays unproved."""


def test_an_address_is_the_one_that_mail_goes_to(services: Services) -> None:
    me = acting(add_person(services, "mallory"), "pwd")
    with pytest.raises(InvalidRequest):
        mailbox.ask_address(services.engine, me, ENCODED, int(time.time()))
    assert not grammar.EMAIL.fits(ENCODED)


def test_an_address_with_other_letters_is_one_persons(services: Services) -> None:
    engine, now = services.engine, int(time.time())
    alice, bob = (acting(add_person(services, name), "pwd") for name in ("alice", "bob"))
    asked = [mailbox.ask_address(engine, one, "\u00c9ve@acme.example", now) for one in (alice, bob)]
    mailbox.take_address(engine, asked[0], now)
    with pytest.raises(Conflict, match="belongs to another"):
        mailbox.take_address(engine, asked[1], now)


@pytest.mark.attack(202)
def test_a_stolen_password_changes_neither_password_nor_address(services: Services) -> None:
    bob = add_person(services, "bob", app=True)
    thief = Browser(services)
    thief.submit(thief.get("/login"), username="bob", password=PASSWORD)
    forms = {
        "/security/password": {"present": PASSWORD, "password": NEW, "again": NEW},
        "/security/email": {"email": "thief@evil.example"},
        "/security/codes": {},
        "/security/key": {"name": "mine", "question": "x", "answer": "{}"},
        "/security/application/remove": {},
        "/security/tokens/new": {"name": "mine", "days": "90"},
        "/security/sessions/end-others": {},
    }
    for path, form in forms.items():
        assert "Enter your code" in thief.post(path, form).text, path
        assert "Enter your code" in thief.get(path).text, path
    assert mails(services) == []
    with reading(services.engine) as connection:
        events = set(connection.execute(select(audit_records.c.event)).scalars())
    assert events <= {"session:begin"}
    thief.log_in(thief.get("/login"), bob)
    assert is_in(thief), "with the code it is bob"


def test_an_operator_sees_no_token(services: Services, capfd: pytest.CaptureFixture[str]) -> None:
    add_person(services, "alice")
    browser = Browser(services)
    forgot(browser, "alice")
    path = link_in(services)
    browser.submit(browser.get(path), password=NEW, again=NEW)
    token = path.partition("token=")[2]
    browser.get(path)
    said = "".join(capfd.readouterr())
    assert "mail_written" in said
    assert token not in said
    with reading(services.engine) as connection:
        for table in (mailed_links, audit_records):
            assert token not in str(connection.execute(select(table)).all())


def test_a_disabled_user_uses_no_link(services: Services) -> None:
    alice = add_person(services, "alice")
    asked = mailbox.ask_reset(services.engine, "alice", 10**9)
    assert asked
    with writing(services.engine) as connection:
        connection.execute(update(users).where(users.c.id == alice.id).values(disabled_at=1))
    with pytest.raises(CAError, match="Ask for another one"):
        mailbox.reset(services.engine, asked[1], NEW, 10**9)


def test_links_of_a_site_with_https_begin_with_it(services: Services) -> None:
    settings = replace(services.settings, issuer="https://ca.example")
    assert links.url_of(settings, links.PASSWORD, "t") == "https://ca.example/reset?token=t"
