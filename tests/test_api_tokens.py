"""API tokens: what they look like, who makes them, and who sees them."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from ca.errors import InsufficientAuthentication
from ca.identity import api_tokens
from ca.identity.api_tokens import MAX_LIFETIME, Wish
from ca.identity.factors import Acting
from ca.store import sessions, tables
from ca.store.engine import reading, writing
from ca.store.revocations import Cause
from tests.api_tokens import access_token, is_good, made, mails_to, make, somebody, tokens_path
from tests.directory import log_in, records
from tests.test_contract_shapes import answer_schema, check
from tests.web import Client, Person

if TYPE_CHECKING:
    from ca.services import Services


@pytest.fixture
def alice(one_ca: Services) -> Person:
    return somebody(one_ca, app=True)


# --- the form -------------------------------------------------------------------------------


@pytest.mark.attack(91)
def test_a_token_has_the_form_that_scanners_look_for_and_enough_of_chance() -> None:
    found = [api_tokens.new_secret() for _ in range(500)]

    assert all(re.fullmatch(r"amrgate_[0-9A-Za-z]{36}", one) for one in found)
    assert all(map(api_tokens.is_well_formed, found))
    assert len(set(found)) == len(found)
    assert 62**api_tokens.RANDOM_DIGITS > 2**128
    # Every digit occurs at every random place: none of them is fixed.
    for place in range(len(api_tokens.PREFIX), api_tokens.LENGTH - api_tokens.CHECK_DIGITS):
        assert len({one[place] for one in found}) > 50


def test_the_checksum_is_the_crc_32_that_gzip_computes() -> None:
    assert api_tokens.is_well_formed("amrgate_0000000000000000000000000000003TOyav")


# --- making one -----------------------------------------------------------------------------


@pytest.mark.attack(91)
def test_a_token_is_shown_once_and_only_its_hash_is_kept(one_ca: Services, alice: Person) -> None:
    api = log_in(one_ca, alice.username, "pwd", "otp")

    token = made(api)
    listed, shown = api.get(tokens_path(api)), api.get(f"{tokens_path(api)}/{token['id']}")

    schema = answer_schema("/users/{user_id}/api-tokens", "post", "201")
    assert schema
    check(token, schema)
    assert token["mfa_on_creation"] is True
    assert token["last_used_at"] is None
    for response in (listed, shown):
        assert "token" not in (response.json()[0] if response is listed else response.json())
        assert token["token"] not in response.text
    random = token["token"][len(api_tokens.PREFIX) :]
    with reading(one_ca.engine) as connection:
        for table in tables.metadata.sorted_tables:
            assert random not in str(connection.execute(select(table)).all()), table
        mine = select(tables.api_tokens).where(tables.api_tokens.c.user_id == alice.id)
        kept = connection.execute(mine).one()
    assert kept.token_hash != token["token"]
    assert len(kept.token_hash) == 64
    assert ("api_token:add", alice.id, alice.id) in records(one_ca.engine)
    (mail,) = mails_to(one_ca, alice)
    assert "API token was made" in mail
    assert random not in mail


def test_what_is_asked_has_its_shapes(one_ca: Services, alice: Person) -> None:
    api = log_in(one_ca, alice.username, "pwd", "otp")
    token = made(api)
    many, one = "/users/{user_id}/api-tokens", "/users/{user_id}/api-tokens/{token_id}"
    for path, response in (
        (many, api.get(tokens_path(api))),
        (one, api.get(f"{tokens_path(api)}/{token['id']}")),
    ):
        schema = answer_schema(path, "get", "200")
        assert schema
        check(response.json(), schema)
    refusals = {
        400: make(api, ""),
        409: make(api),
        404: api.get(f"{tokens_path(api)}/nobody"),
    }
    for status, response in refusals.items():
        assert response.status_code == status
        check(response.json(), answer_schema(many, "post", "400") or {})

    assert api.http.delete(f"{tokens_path(api)}/{token['id']}").status_code == 204
    assert api.get(tokens_path(api)).json() == []


@pytest.mark.attack(75)
@pytest.mark.parametrize(
    ("lifetime", "status"),
    [
        (MAX_LIFETIME, 201),
        (300, 201),
        *((wrong, 400) for wrong in (0, -1, 1, 299, MAX_LIFETIME + 1, 2**63, "1e9", 300.0, None)),
        (True, 400),
    ],
)
def test_a_token_lives_for_ninety_days_at_most(
    one_ca: Services, alice: Person, lifetime: object, status: int
) -> None:
    api = log_in(one_ca, alice.username, "pwd", "otp")

    assert make(api, lifetime=lifetime).status_code == status

    with reading(one_ca.engine) as connection:
        mine = select(tables.api_tokens).where(tables.api_tokens.c.user_id == alice.id)
        found = connection.execute(mine).all()
    assert [one.expires_at - one.created_at for one in found] == [lifetime] * (status == 201)


def test_without_a_lifetime_it_is_ninety_days(one_ca: Services, alice: Person) -> None:
    made(log_in(one_ca, alice.username, "pwd", "otp"))

    with reading(one_ca.engine) as connection:
        mine = select(tables.api_tokens).where(tables.api_tokens.c.user_id == alice.id)
        one = connection.execute(mine).one()
    assert one.expires_at - one.created_at == 90 * 86400


@pytest.mark.attack(91)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
def test_nothing_of_a_token_can_be_changed(one_ca: Services, alice: Person, method: str) -> None:
    api = log_in(one_ca, alice.username, "pwd", "otp")
    path = f"{tokens_path(api)}/{made(api)['id']}"

    response = api.http.request(method, path, json={"scope": "offline_access", "lifetime": 9**9})

    assert response.status_code == 405


@pytest.mark.parametrize("extra", [{"scope": "admin"}, {"amr": ["mfa"]}, {"user_id": "bob"}])
def test_nothing_else_can_be_asked_for(
    one_ca: Services, alice: Person, extra: dict[str, Any]
) -> None:
    assert make(log_in(one_ca, alice.username, "pwd", "otp"), **extra).status_code == 400


@pytest.mark.attack(202)
@pytest.mark.parametrize(
    ("proofs", "ago"),
    [
        pytest.param(("pwd",), 0, id="a stolen password"),
        pytest.param(("pwd", "otp"), 601, id="a login of eleven minutes ago"),
        pytest.param(("sso:acme",), 0, id="single sign-on alone"),
        pytest.param(("otp",), 0, id="a code alone"),
    ],
)
def test_a_login_that_shows_too_little_makes_none(
    one_ca: Services, alice: Person, proofs: tuple[str, ...], ago: int
) -> None:
    api = log_in(one_ca, alice.username, *proofs, ago=ago)

    response = make(api)

    assert response.status_code == 401
    assert response.json()["amr"] == ["mfa"]
    assert response.json()["max_age"] == 600
    assert api.get(tokens_path(api)).json() == []
    assert not mails_to(one_ca, alice)


def test_who_has_no_second_factor_needs_a_recent_login(one_ca: Services) -> None:
    bob = somebody(one_ca).username

    assert make(log_in(one_ca, bob, "pwd")).status_code == 201
    assert make(log_in(one_ca, bob, "pwd", ago=601), "other").status_code == 401


@pytest.mark.attack(80, 91)
def test_a_token_makes_no_token_and_changes_no_factor(one_ca: Services, alice: Person) -> None:
    secret = made(log_in(one_ca, alice.username, "pwd", "otp"))["token"]
    token = access_token(one_ca, secret)
    client = Client(one_ca)

    here = f"/users/{alice.id}"
    for method, path, body in (
        ("POST", f"{here}/api-tokens", {"name": "another"}),
        ("DELETE", f"{here}/totp", None),
        ("POST", f"{here}/codes", None),
        ("PATCH", here, {"email": "evil@elsewhere.example"}),
        ("DELETE", f"{here}/sessions", None),
    ):
        response = client.api(method, path, token, body)
        # Not 401: no token that was made after another login would be let in.
        assert response.status_code == 403, path
        assert "Log in to do that" in response.json()["error_description"]
    assert client.api("GET", f"{here}/api-tokens", token).status_code == 200


def test_a_session_that_ended_meanwhile_makes_none(one_ca: Services, alice: Person) -> None:
    session = log_in(one_ca, alice.username, "pwd", "otp").session
    acting = Acting(alice.id, session.sid, session.proofs)
    now = int(time.time())
    with writing(one_ca.engine) as connection:
        sessions.end_grant_session(connection, session.sid, Cause(now, alice.id, "session:logout"))

    with pytest.raises(InsufficientAuthentication):
        api_tokens.make(one_ca.engine, acting, Wish("late"), now)


def test_a_session_that_rests_on_a_factor_that_is_gone_makes_none(
    one_ca: Services, alice: Person
) -> None:
    api = log_in(one_ca, alice.username, "pwd", "otp")
    assert api.http.delete(f"/users/{alice.id}/totp").status_code == 204

    assert make(api).status_code == 401


@pytest.mark.parametrize("name", ["", "   ", "x" * 65, "a\nb", "\x1b[2J", "\u202eevil"])
def test_a_name_that_could_deceive_is_none(one_ca: Services, alice: Person, name: str) -> None:
    assert make(log_in(one_ca, alice.username, "pwd", "otp"), name).status_code == 400


def test_there_are_no_more_than_a_hundred(
    one_ca: Services, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_tokens, "MAX_TOKENS", 2)
    api = log_in(one_ca, alice.username, "pwd", "otp")
    made(api, "one")
    first = made(api, "two")

    assert make(api, "three").status_code == 409
    api.http.delete(f"{tokens_path(api)}/{first['id']}")
    assert make(api, "three").status_code == 201


def test_others_tokens_are_not_to_be_seen(one_ca: Services, alice: Person) -> None:
    alices = log_in(one_ca, alice.username, "pwd", "otp")
    bobs = log_in(one_ca, somebody(one_ca).username, "pwd")
    token = made(alices)
    one = f"{tokens_path(alices)}/{token['id']}"

    answers = [
        bobs.get(tokens_path(alices)),
        bobs.get(one),
        bobs.http.delete(one),
        bobs.post(tokens_path(alices), {"name": "mine"}),
        bobs.get("/users/nobody/api-tokens"),
    ]

    assert {(one.status_code, one.text) for one in answers} == {(404, answers[0].text)}
    # Nor can one be removed or seen as if it were one's own.
    mine = f"{tokens_path(bobs)}/{token['id']}"
    assert bobs.get(mine).status_code == bobs.http.delete(mine).status_code == 404
    assert is_good(one_ca, access_token(one_ca, token["token"]))
