"""What API tokens are exchanged for, what made-up ones come to, and what none of them is."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, select
from starlette.testclient import TestClient

from ca.app import create_app
from ca.errors import CAError
from ca.identity import api_tokens, hourly
from ca.identity.api_tokens import MAX_LIFETIME
from ca.identity.attempts import in_window
from ca.identity.sessions import Visitor, hash_of
from ca.oauth import api_token as grant
from ca.oauth import grants
from ca.store import attempts, sessions, tables
from ca.store.engine import reading, writing
from tests.api_tokens import (
    access_token,
    exchange,
    http_of,
    is_good,
    made,
    somebody,
    tokens_path,
)
from tests.databases import new_sqlite
from tests.directory import log_in, records
from tests.oauth import claims_of
from tests.web import ISSUER, Browser, Client, Person, add_person, new_services, pass_time

if TYPE_CHECKING:
    from pathlib import Path

    from ca.services import Services


@pytest.fixture
def alice(one_ca: Services) -> Person:
    return somebody(one_ca, app=True)


@pytest.mark.attack(91)
def test_a_mistyped_token_is_refused_without_the_database(
    one_ca: Services, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = made(log_in(one_ca, alice.username, "pwd", "otp"))["token"]
    monkeypatch.setattr(grant, "writing", None)  # whoever asks the database, fails
    other = "0" if secret[-1] != "0" else "1"
    wrong = {
        secret[:-1],
        secret + "0",
        secret[:-1] + other,
        secret.replace("amrgate_", "amrgato_"),
        secret[:10] + secret[11] + secret[10] + secret[12:],
        secret.upper(),
        "amrgate_" + "0" * 36,
        "amrgate_" + "é" * 36,
        "",
        "x" * 100_000,
    } - {secret}

    answers = {(one.status_code, one.text) for one in (exchange(one_ca, it) for it in wrong)}

    ((status, body),) = answers
    assert status == 400
    assert '"invalid_grant"' in body
    assert "API token" in body


@pytest.mark.attack(91, 118)
def test_made_up_tokens_are_counted_per_address_and_stopped_there(tmp_path: Path) -> None:
    with new_services(new_sqlite(tmp_path), tmp_path) as own:
        token = made(log_in(own, add_person(own, "alice", app=True).username, "pwd", "otp"))
        gone = made(log_in(own, "alice", "pwd", "otp"), "gone")
        api = log_in(own, "alice", "pwd")
        api.http.delete(f"{tokens_path(api)}/{gone['id']}")

        now, server = int(time.time()), grants.Server(own.settings, own.engine, own.keys.token)

        def answers(address: str, *secrets: str, later: int = 0) -> list[str]:
            found = []
            for one in secrets:
                try:
                    client = grants.Client("amrgate", Visitor("a test", address))
                    grant.exchange_api_token(server, client, one, now + later)
                    found.append("good")
                except CAError as error:
                    found.append(error.code)
            return found

        most, wrong, stopped = grant.MAX_MADE_UP, "invalid_grant", "too_many_attempts"
        # A mistyped one is refused without a look, and one that was removed is no guess.
        answers("2001:db8::1", *[gone["token"], token["token"][:-1] + "-"] * most)
        made_up = [api_tokens.new_secret() for _ in range(most)]
        assert set(answers("2001:db8::1", *made_up[1:])) == {wrong}
        assert answers("2001:db8::ffff", token["token"], made_up[0]) == ["good", wrong]
        events = [record for record in records(own.engine) if record[0] == "api_token:guess"]
        assert events == [("api_token:guess", "amrgate", "2001:db8::ffff")]

        # Who is stopped does not stop the others at the same address.
        tried = made_up[0], token["token"], made_up[0]
        assert answers("2001:db8::2", *tried) == [stopped, "good", stopped]
        assert answers("2001:db8:0:1::1", token["token"]) == ["good"], "another network"
        assert answers("2001:db8::1", token["token"], later=3600) == ["good"]


def test_the_address_that_counts_is_the_one_that_asks(one_ca: Services) -> None:
    for address, status in ("192.0.2.66", 429), ("192.0.2.67", 400):
        client = TestClient(create_app(one_ca), base_url=ISSUER, client=(address, 1))
        form = {"client_id": "amrgate", "grant_type": "api_token"}
        with writing(one_ca.engine) as connection:
            for moment in 0, 3600:  # the hour may end now
                subject = in_window("Token 192.0.2.66", int(time.time()) + moment)
                for _ in range(grant.MAX_MADE_UP):
                    attempts.count_below(connection, subject, grant.MAX_MADE_UP, 1)
        answer = client.post("/oauth2/token", data=form | {"api_token": api_tokens.new_secret()})
        assert answer.status_code == status


@pytest.mark.attack(80, 91)
def test_as_an_access_token_none_is_looked_up(one_ca: Services, alice: Person) -> None:
    """So nothing is learnt by trying, however often: a made-up one is as good as a right one."""
    token = made(log_in(one_ca, alice.username, "pwd", "otp"))["token"]
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    event.listen(one_ca.engine, "before_cursor_execute", note)
    answers = [
        http_of(one_ca).get("/users/me", headers={"authorization": f"Bearer {one}"})
        for one in (token, api_tokens.new_secret())
    ]
    event.remove(one_ca.engine, "before_cursor_execute", note)

    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].json() == answers[1].json()
    assert asked == []


# --- exchanging one -------------------------------------------------------------------------


def test_each_exchange_is_a_session_of_its_own_without_a_refresh_token(
    one_ca: Services, alice: Person
) -> None:
    token = made(log_in(one_ca, alice.username, "pwd", "otp"))

    first, second = (exchange(one_ca, token["token"]) for _ in range(2))

    assert first.status_code == second.status_code == 200
    assert first.json().keys() == {"access_token", "token_type", "expires_in", "scope"}
    claims = [claims_of(one.json()["access_token"]) for one in (first, second)]
    assert claims[0]["sid"] != claims[1]["sid"]
    assert [one["amr"] for one in claims] == [["mfa", "otp", "pwd"]] * 2
    assert claims[0]["sub"] == alice.id
    with reading(one_ca.engine) as connection:
        found = connection.execute(
            select(tables.grant_sessions).where(tables.grant_sessions.c.api_token_id == token["id"])
        ).all()
    assert {one.sid for one in found} == {one["sid"] for one in claims}
    events = [record[1:] for record in records(one_ca.engine) if record[0] == "grant:begin"]
    assert events[-2:] == [(alice.id, one["sid"]) for one in claims]


def test_its_sessions_are_listed_by_its_name(one_ca: Services, alice: Person) -> None:
    api = log_in(one_ca, alice.username, "pwd", "otp")
    access_token(one_ca, made(api, "the <backup>")["token"])

    listed = api.get(f"/users/{alice.id}/sessions").json()

    assert {one["api_token"] for one in listed} == {None, "the <backup>"}
    (program,) = [one for one in listed if one["api_token"]]
    assert (program["user_agent"], program["ip"]) == ("testclient", "testclient")
    browser = Browser(one_ca)
    browser.log_in(browser.get("/security"), alice)
    page = browser.get("/security/sessions").text
    assert "with the API token <q>the &lt;backup&gt;</q>" in page


@pytest.mark.parametrize("asked", [{}, {"scope": "offline_access"}, {"scope": "admin openid"}])
@pytest.mark.attack(91)
def test_a_scope_is_never_widened(one_ca: Services, alice: Person, asked: dict[str, str]) -> None:
    secret = made(log_in(one_ca, alice.username, "pwd", "otp"))["token"]

    answer = exchange(one_ca, secret, **asked).json()

    assert answer["scope"] == ""
    assert "refresh_token" not in answer


@pytest.mark.attack(91)
def test_its_last_use_is_shown(one_ca: Services, alice: Person) -> None:
    api = log_in(one_ca, alice.username, "pwd", "otp")
    token = made(api)

    exchange(one_ca, token["token"])

    (listed,) = api.get(tokens_path(api)).json()
    assert listed["last_used_at"] is not None


@pytest.mark.attack(110, 111)
@pytest.mark.parametrize("via", ["", "device"])
def test_it_has_for_ever_what_the_session_that_made_it_proved_and_when(
    one_ca: Services, alice: Person, via: str
) -> None:
    api = log_in(one_ca, alice.username, "pwd", "otp", ago=300, via=via)
    token = made(api)
    pass_time(one_ca, 40 * 86400)

    claims = claims_of(access_token(one_ca, token["token"]))

    assert claims["auth_time"] == api.session.auth_time - 40 * 86400  # type: ignore[operator]
    assert claims["amr"] == ["mfa", "otp", "pwd"]
    assert claims.get("via", "") == via


@pytest.mark.attack(91)
def test_after_its_time_it_is_none_and_its_sessions_do_not_outlive_it(
    one_ca: Services, alice: Person
) -> None:
    token = made(log_in(one_ca, alice.username, "pwd", "otp"))
    pass_time(one_ca, MAX_LIFETIME - 200)
    last = access_token(one_ca, token["token"])
    with reading(one_ca.engine) as connection:
        session = sessions.live_session(
            connection, claims_of(last)["sid"], int(time.time()), jti=None
        )
    assert session
    assert session.expires_at <= time.time() + 200

    pass_time(one_ca, 200)

    assert not is_good(one_ca, last)
    assert exchange(one_ca, token["token"]).status_code == 400
    assert ("api_token:refuse", alice.id, alice.id) in records(one_ca.engine)


def test_a_token_that_was_removed_does_not_fill_the_log(
    one_ca: Services, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grant, "MAX_REFUSED", 2)
    api = log_in(one_ca, alice.username, "pwd", "otp")
    token = made(api)
    api.http.delete(f"{tokens_path(api)}/{token['id']}")

    answers = {exchange(one_ca, token["token"]).status_code for _ in range(4)}

    assert answers == {400}
    assert records(one_ca.engine).count(("api_token:refuse", alice.id, alice.id)) == 2


def test_whoever_stole_a_token_begins_no_more_sessions_than_that(
    one_ca: Services, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hourly, "API_TOKEN", replace(hourly.API_TOKEN, most=2))
    api = log_in(one_ca, alice.username, "pwd", "otp")
    stolen, other = made(api), made(api, "another")

    answers = [exchange(one_ca, stolen["token"]) for _ in range(4)]

    assert [one.status_code for one in answers] == [200, 200, 429, 429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 3600
    events = [one for one in records(one_ca.engine) if one[1] == alice.id]
    assert [one[0] for one in events].count("grant:begin") == 2
    assert events.count(("api_token:bound", alice.id, stolen["id"])) == 1
    assert exchange(one_ca, other["token"]).status_code == 200


def test_whoever_asks_each_minute_fills_nothing_up(one_ca: Services, alice: Person) -> None:
    secret = made(log_in(one_ca, alice.username, "pwd", "otp"))["token"]
    for _ in range(3):
        exchange(one_ca, secret)
        pass_time(one_ca, 2 * 86400)

    exchange(one_ca, secret)

    with reading(one_ca.engine) as connection:
        kept = connection.execute(
            select(tables.grant_sessions.c.sid).where(
                tables.grant_sessions.c.user_id == alice.id,
                tables.grant_sessions.c.api_token_id.is_not(None),
            )
        ).all()
    assert len(kept) == 1


def test_a_well_formed_token_that_never_was_leaves_no_trace(one_ca: Services) -> None:
    before = records(one_ca.engine)

    response = exchange(one_ca, api_tokens.new_secret())

    assert response.status_code == 400
    assert records(one_ca.engine) == before


# --- elsewhere ------------------------------------------------------------------------------


@pytest.mark.attack(80)
def test_a_token_opens_nothing_itself(one_ca: Services, alice: Person) -> None:
    api = log_in(one_ca, alice.username, "pwd", "otp")
    secret = made(api)["token"]
    client = Client(one_ca)
    http = http_of(one_ca)

    as_access = client.api("GET", "/users/me", secret)
    as_certificate = client.api("POST", "/ssh", secret, {"key": "ssh-ed25519 AAAA"})
    as_refresh = client.refresh(secret)
    as_code = client.exchange(secret)
    as_cookie = http.get("/security", headers={"cookie": f"amrgate={secret}"})
    revoked = http.post("/oauth2/revoke", data={"client_id": "amrgate", "token": secret})

    assert as_access.status_code == as_certificate.status_code == 401
    assert as_refresh.status_code == as_code.status_code == 400
    assert as_cookie.status_code == 303
    assert as_cookie.headers["location"].startswith("/login")
    assert revoked.status_code == 200  # as for everything that is no token of its kind
    assert is_good(one_ca, access_token(one_ca, secret))


@pytest.mark.attack(80)
def test_other_tokens_are_no_api_tokens(one_ca: Services, alice: Person) -> None:
    client, browser = Client(one_ca), Browser(one_ca)
    code = client.log_in(browser, alice)
    tokens = Client(one_ca).tokens(alice)

    for other in (tokens["access_token"], tokens["refresh_token"], code, browser.cookie):
        assert exchange(one_ca, other).json()["error"] == "invalid_grant"


@pytest.mark.attack(91)
def test_nothing_of_a_token_is_in_the_audit_log(one_ca: Services, alice: Person) -> None:
    api = log_in(one_ca, alice.username, "pwd", "otp")
    token = made(api)
    exchange(one_ca, token["token"])
    api.http.delete(f"{tokens_path(api)}/{token['id']}")
    exchange(one_ca, token["token"])

    with reading(one_ca.engine) as connection:
        details = connection.execute(select(tables.audit_records.c.detail)).scalars().all()
    text = "\n".join(details)
    assert token["id"] in text
    assert token["token"] not in text
    assert hash_of(token["token"]) not in text


@pytest.mark.attack(80)
def test_a_token_is_no_password(one_ca: Services, alice: Person) -> None:
    secret = made(log_in(one_ca, alice.username, "pwd", "otp"))["token"]
    browser = Browser(one_ca)

    page = browser.log_in(browser.get("/login"), alice, secret)

    assert "do not belong together" in page.text
