"""The gate of the API: whose token counts, and what a login opens."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from ca.app import create_app
from ca.directory import people
from ca.oauth.tokens import issue_access_token
from ca.store import sessions, tables
from ca.store.engine import reading, writing
from ca.store.revocations import Cause
from tests.directory import ACME, Api, apply_text, log_in
from tests.web import ISSUER

if TYPE_CHECKING:
    from ca.services import Services

pytest_plugins = ["tests.web"]

REQUIREMENT = '\n[organizations.acme.requirement]\namr = ["mfa", "sso:acme"]\nmax_age = 3600\n'
NOTHING, WRONG = 'Bearer realm="amrgate"', 'Bearer error="invalid_token"'
ROUTES = ["/organizations/acme", "/organizations/acme/mfa-enforcement"]


@pytest.fixture
def acme(services: Services) -> Services:
    apply_text(services.engine, ACME)
    return services


def answer(response: Any) -> tuple[int, dict[str, str], Any]:
    return response.status_code, dict(response.headers), response.json()


@pytest.mark.parametrize("route", [*ROUTES, "/users/me", "/me"])
@pytest.mark.parametrize(
    ("headers", "told", "code"),
    [
        pytest.param({}, NOTHING, "unauthorized", id="no token"),
        pytest.param({"authorization": "Basic YTpi"}, NOTHING, "unauthorized", id="another scheme"),
        pytest.param({"cookie": "amrgate=x"}, NOTHING, "unauthorized", id="a cookie alone"),
        pytest.param({"authorization": "Bearer "}, WRONG, "invalid_token", id="an empty one"),
        pytest.param({"authorization": "Bearer a.b.c"}, WRONG, "invalid_token", id="no JWT"),
    ],
)
def test_without_a_token_nothing_is_told(
    acme: Services, route: str, headers: dict[str, str], told: str, code: str
) -> None:
    """What was not sent is not wrong: then there is no error code (RFC 6750, section 3.1)."""
    http = TestClient(create_app(acme), base_url=ISSUER)

    response = http.get(route, headers=headers)

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == told
    assert response.json()["error"] == code


@pytest.mark.attack(93)
def test_a_token_in_the_url_is_none(acme: Services) -> None:
    token = log_in(acme, "bob", "pwd").http.headers["authorization"].removeprefix("Bearer ")
    http = TestClient(create_app(acme), base_url=ISSUER)

    assert http.get(f"/users/me?access_token={token}").status_code == 401


@pytest.mark.attack(90)
def test_the_session_is_looked_at_each_time(acme: Services) -> None:
    bob, alice = log_in(acme, "bob", "pwd"), log_in(acme, "alice", "pwd")
    assert bob.get("/users/me").status_code == alice.get("/users/me").status_code == 200

    with writing(acme.engine) as connection:
        sessions.end_grant_session(connection, bob.session.sid, Cause(int(time.time()), "", ""))
    people.disable(acme.engine, "alice", "operator test", int(time.time()))

    assert bob.get("/users/me").status_code == alice.get("/users/me").status_code == 401


@pytest.mark.attack(90)
def test_whoever_leaves_the_file_is_out_at_once(acme: Services) -> None:
    mallory = log_in(acme, "mallory", "pwd")
    head, _, tail = ACME.partition("[users.mallory]")

    apply_text(acme.engine, head + tail.partition("\n\n")[2])

    assert mallory.get("/users/me").status_code == 401


def test_a_token_of_one_with_the_session_of_another_is_none(acme: Services) -> None:
    bob, alice = log_in(acme, "bob", "pwd"), log_in(acme, "alice", "pwd")
    session = sessions.GrantSession(**{**vars(bob.session), "sid": alice.session.sid})
    token = issue_access_token(acme.keys.token, ISSUER, session, int(time.time()))

    assert Api(acme, token, session).get("/users/me").status_code == 401


@pytest.mark.parametrize("route", ROUTES)
def test_what_one_may_not_see_looks_like_what_does_not_exist(acme: Services, route: str) -> None:
    mallory = log_in(acme, "mallory", "pwd", "otp")

    unseen = answer(mallory.get(route))
    missing = answer(mallory.get(route.replace("acme", "nobody")))

    assert unseen[0] == 404
    assert unseen == missing


@pytest.mark.parametrize("route", ROUTES)
def test_what_one_may_not_see_looks_the_same_whatever_it_requires(
    acme: Services, route: str
) -> None:
    mallory = log_in(acme, "mallory", "pwd")
    before = answer(mallory.get(route))

    apply_text(acme.engine, ACME + REQUIREMENT)

    assert answer(mallory.get(route)) == before


@pytest.mark.parametrize("route", ROUTES)
def test_a_login_that_shows_too_little_is_told_the_whole_requirement(
    acme: Services, route: str
) -> None:
    apply_text(acme.engine, ACME + REQUIREMENT)

    response = log_in(acme, "alice", "pwd", "otp").get(route)

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == (
        'Bearer error="insufficient_user_authentication", '
        'error_description="Additional authentication is required: '
        "Single sign-on (SSO), provider: 'acme'.\", "
        'amr_values="mfa sso:acme", max_age="3600"'
    )
    body = response.json()
    assert body["error"] == "insufficient_user_authentication"
    assert body["error_description"]
    assert body["amr"] == ["mfa", "sso:acme"]
    assert body["max_age"] == 3600


def test_without_a_max_age_there_is_none_in_the_answer(acme: Services) -> None:
    apply_text(acme.engine, ACME + REQUIREMENT.replace("max_age = 3600", ""))

    response = log_in(acme, "alice", "pwd").get(ROUTES[0])

    assert response.json()["amr"] == ["mfa", "sso:acme"]
    assert "max_age" not in response.json()
    assert "max_age" not in response.headers["www-authenticate"]


@pytest.mark.attack(144)
@pytest.mark.parametrize(("ago", "status"), [(3590, 200), (3700, 401)])
def test_a_login_grows_too_old(acme: Services, ago: int, status: int) -> None:
    apply_text(acme.engine, ACME + REQUIREMENT)

    response = log_in(acme, "alice", "pwd", "otp", "sso:acme", ago=ago).get(ROUTES[0])

    assert response.status_code == status


def test_a_login_by_device_code_is_not_enough(acme: Services) -> None:
    apply_text(acme.engine, ACME + REQUIREMENT)
    amr = "pwd", "otp", "sso:acme"
    assert log_in(acme, "alice", *amr).get(ROUTES[0]).status_code == 200

    assert log_in(acme, "alice", *amr, via="device").get(ROUTES[0]).status_code == 401
    apply_text(acme.engine, ACME + REQUIREMENT + "device = true\n")
    assert log_in(acme, "alice", *amr, via="device").get(ROUTES[0]).status_code == 200


@pytest.mark.attack(201)
def test_another_organizations_provider_opens_nothing(acme: Services) -> None:
    evil = (
        '\n[organizations.evil]\nmembers = { mallory = "owner" }\n[organizations.evil.sso.acme-]\n'
    )
    apply_text(acme.engine, ACME + evil)

    # Asked for nothing, acme still does not rest on what evil says of alice.
    response = log_in(acme, "alice", "sso:acme-").get(ROUTES[0])

    assert (response.status_code, response.json()["amr"]) == (401, ["mfa"])
    apply_text(acme.engine, ACME + evil + REQUIREMENT)
    assert log_in(acme, "alice", "pwd", "otp", "sso:acme-").get(ROUTES[0]).status_code == 401


@pytest.mark.parametrize(
    ("networks", "status"),
    [
        pytest.param(["192.0.2.0/24", "2001:db8::/32"], 200, id="one of ours"),
        pytest.param(["198.51.100.0/24"], 404, id="another"),
        pytest.param([], 404, id="none at all"),
    ],
)
def test_from_a_network_that_is_not_named_there_is_nothing(
    acme: Services, networks: list[str], status: int
) -> None:
    missing = answer(log_in(acme, "alice", "pwd").get("/organizations/nobody"))
    apply_text(acme.engine, f"{ACME}\n[organizations.acme.requirement]\nnetworks = {networks}\n")

    response = log_in(acme, "alice", "pwd").get(ROUTES[0])

    assert response.status_code == status
    assert status == 200 or answer(response) == missing


def test_an_organization_is_found_by_id_and_by_name(acme: Services) -> None:
    with reading(acme.engine) as connection:
        acme_id = connection.execute(select(tables.organizations.c.id)).scalar_one()
    alice = log_in(acme, "alice", "pwd")

    found = [
        alice.get(f"/organizations/{one}").json()["id"] for one in (acme_id, "acme", "name=acme")
    ]

    assert found == [acme_id] * 3


def test_users_me_never_asks_for_more(acme: Services) -> None:
    apply_text(acme.engine, ACME + REQUIREMENT)
    alice = log_in(acme, "alice", "pwd", ago=86400)

    assert [alice.get(path).status_code for path in ("/users/me", "/me")] == [200, 200]
    assert alice.get(f"/users/{alice.user.id}").json() == alice.get("/users/me").json()


def test_others_are_not_to_be_seen(acme: Services) -> None:
    alice, bob = log_in(acme, "alice", "pwd"), log_in(acme, "bob", "pwd")

    assert answer(alice.get(f"/users/{bob.user.id}")) == answer(alice.get("/users/nobody"))
    assert alice.get(f"/users/{bob.user.id}").status_code == 404
