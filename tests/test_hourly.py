"""Whoever holds what is somebody else's fills neither tables nor the audit log with it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ca.errors import TooManyAttempts
from ca.identity import hourly, sessions
from ca.identity.proofs import Proof
from ca.oauth.refresh import GRACE
from ca.store.engine import writing
from tests.devices import Machine, type_code
from tests.directory import records
from tests.web import VISITOR, Browser, Client, add_person, code_of, pass_time, user_of

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from ca.services import Services

MOST = 2
END = 1_700_002_800  # of an hour of the clock


@pytest.fixture(autouse=True)
def low_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGIN", "CONSENT", "REFRESH"):
        monkeypatch.setattr(hourly, name, replace(getattr(hourly, name), most=MOST))


def events(services: Services, user_id: str) -> Counter[str]:
    return Counter(event for event, actor, _ in records(services.engine) if actor == user_id)


def test_a_stolen_cookie_gives_so_many_codes(services: Services) -> None:
    alice = add_person(services, "alice")
    client, stolen = Client(services), Browser(services)
    page = stolen.log_in(stolen.get(client.url()), alice)

    answers = [stolen.submit(page, decision="allow") for _ in range(MOST + 2)]

    assert [one.status_code for one in answers] == [303, 303, 429, 429]
    assert "In this browser, logins were allowed 2 times within the hour" in answers[-1].text
    assert "log out" in answers[-1].text
    assert 0 < int(answers[-1].headers["retry-after"]) <= 3600
    assert events(services, alice.id)["consent:give"] == MOST
    assert events(services, alice.id)["consent:bound"] == 1
    assert client.exchange(code_of(answers[1])).status_code == 200
    assert client.log_in(Browser(services), alice), "its owner goes on, in another browser"


def test_devices_count_as_clients_do(services: Services) -> None:
    alice = add_person(services, "alice")
    browser = Browser(services)
    machines = [Machine(services) for _ in range(MOST + 1)]

    pages = [
        browser.submit(type_code(browser, alice, machine.ask()), decision="allow")
        for machine in machines
    ]

    assert [page.status_code for page in pages] == [200, 200, 429]
    assert machines[-1].outcome() == "authorization_pending"
    assert events(services, alice.id)["device:allow"] == MOST


def test_a_password_begins_so_many_sessions_and_keeps_no_other_way_shut(services: Services) -> None:
    alice = add_person(services, "alice", app=True)

    statuses = [
        browser.log_in(browser.get("/login"), alice).status_code
        for browser in (Browser(services) for _ in range(MOST + 1))
    ]

    assert statuses[-1] == 429
    told = events(services, alice.id)
    assert (told["session:begin"], told["session:lift"]) == (MOST, MOST)
    assert told["login:bound"] == 2, "of the password, and of the app"
    now = int(time.time())
    assert sessions.begin(
        services.engine, user_of(services, alice), (Proof("hwk", now),), VISITOR, None, now=now
    )


def test_a_stolen_refresh_token_is_renewed_so_often(services: Services) -> None:
    alice = add_person(services, "alice")
    client = Client(services)
    mine, other = client.tokens(alice), client.tokens(alice)["refresh_token"]
    stolen = other
    for _ in range(MOST):
        stolen = client.refresh(stolen).json()["refresh_token"]

    answer = client.refresh(stolen)

    assert answer.status_code == 429
    assert answer.json()["error"] == "too_many_attempts"
    assert "amrgate logout" in answer.json()["error_description"]
    assert client.refresh(mine["refresh_token"]).status_code == 200
    assert events(services, alice.id)["refresh:bound"] == 1
    pass_time(services, GRACE + 1)
    assert client.refresh(other).json()["error"] == "invalid_grant", "its owner has used it up"
    assert events(services, alice.id)["refresh:reuse"] == 1


def test_the_next_hour_of_the_clock_counts_anew(engine: Engine) -> None:
    with writing(engine) as connection:
        for now in (END - 9, END - 5):
            hourly.count(connection, hourly.CONSENT, "one", "alice", now)
        with pytest.raises(TooManyAttempts, match="Try again in 1 min") as refused:
            hourly.count(connection, hourly.CONSENT, "one", "alice", END - 1)
        hourly.count(connection, hourly.CONSENT, "another", "alice", END - 1)
        hourly.count(connection, hourly.CONSENT, "one", "alice", END)

    assert refused.value.retry_after == 1
