"""Switching multi-factor logins on and off by the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ca.store import directory
from ca.store.directory import Requirement
from ca.store.engine import reading
from tests.directory import ACME, apply_text, log_in, records, version

if TYPE_CHECKING:
    from ca.services import Services

pytest_plugins = ["tests.web"]

HERE = "/organizations/acme/mfa-enforcement"
TERMS = {"max_age": None, "device": False, "report_only": False}


@pytest.fixture
def acme(services: Services) -> Services:
    apply_text(services.engine, ACME)
    return services


def required(services: Services) -> Requirement:
    with reading(services.engine) as connection:
        acme = directory.find_organization(connection, "acme")
        assert acme
        return directory.requirement(connection, acme.id)


def test_it_is_off_at_first(acme: Services) -> None:
    response = log_in(acme, "alice", "pwd").get(HERE)

    assert response.json() == {"enforce_mfa": False, **TERMS}


def test_an_admin_with_mfa_switches_it_on_and_off(acme: Services) -> None:
    bob = log_in(acme, "bob", "pwd", "otp")
    before, told = version(acme.engine), len(records(acme.engine))

    response = bob.post(f"{HERE}/enable")

    assert (response.status_code, response.content) == (204, b"")
    assert required(acme) == Requirement(("mfa",))
    assert bob.get(HERE).json() == {"enforce_mfa": True, **TERMS}
    switched_on = version(acme.engine)
    assert switched_on > before

    response = bob.post(f"{HERE}/disable")

    assert (response.status_code, response.content) == (204, b"")
    assert required(acme) == Requirement()
    assert version(acme.engine) > switched_on
    assert (
        records(acme.engine)[told:]
        == [("requirement:change", bob.user.id, "organization acme")] * 2
    )


@pytest.mark.parametrize("body", [None, {}, {"max_age": 900}])
def test_what_is_so_already_changes_nothing(acme: Services, body: Any) -> None:
    bob = log_in(acme, "bob", "pwd", "otp")
    bob.post(f"{HERE}/enable", {"max_age": 900})
    before = version(acme.engine), records(acme.engine)

    assert bob.post(f"{HERE}/enable", body).status_code == 204

    assert (version(acme.engine), records(acme.engine)) == before


def test_terms_that_are_left_out_stay(acme: Services) -> None:
    bob = log_in(acme, "bob", "pwd", "otp")
    asked = [
        {"max_age": 900, "device": True},
        {},
        {"device": False},
        {"max_age": 300},
        {"max_age": None},
    ]

    found = []
    for terms in asked:
        assert bob.post(f"{HERE}/enable", terms).status_code == 204
        found.append((required(acme).max_age, required(acme).device))

    assert found == [(900, True), (900, True), (900, False), (300, False), (None, False)]


def test_what_else_is_required_stays(acme: Services) -> None:
    text = ACME + '\n[organizations.acme.requirement]\namr = ["sso:acme"]\nmax_age = 600\n'
    apply_text(acme.engine, text)
    bob = log_in(acme, "bob", "pwd", "otp", "sso:acme")

    assert bob.post(f"{HERE}/enable").status_code == 204
    assert required(acme) == Requirement(("mfa", "sso:acme"), 600)
    assert bob.post(f"{HERE}/disable").status_code == 204
    assert required(acme) == Requirement(("sso:acme",), 600)


@pytest.mark.attack(148)
@pytest.mark.parametrize(
    "amr",
    [
        pytest.param(("pwd",), id="a password"),
        pytest.param(("otp",), id="a code alone"),
        pytest.param(("pwd", "sso:acme"), id="two of knowledge"),
    ],
)
def test_an_admin_without_mfa_is_asked_for_it_first(acme: Services, amr: tuple[str, ...]) -> None:
    response = log_in(acme, "bob", *amr).post(f"{HERE}/enable")

    assert (response.status_code, response.json()["amr"]) == (401, ["mfa"])
    assert required(acme) == Requirement()


@pytest.mark.attack(148)
def test_an_admin_meets_what_they_require(acme: Services) -> None:
    bob = log_in(acme, "bob", "pwd", "otp", ago=900)

    response = bob.post(f"{HERE}/enable", {"max_age": 600})

    assert response.status_code == 401
    assert (response.json()["amr"], response.json()["max_age"]) == (["mfa"], 600)
    assert required(acme) == Requirement()
    assert bob.post(f"{HERE}/enable", {"max_age": 960}).status_code == 204


def test_by_device_code_one_requires_only_what_takes_that(acme: Services) -> None:
    bob = log_in(acme, "bob", "pwd", "otp", via="device")

    assert bob.post(f"{HERE}/enable").status_code == 401
    assert bob.post(f"{HERE}/enable", {"device": True}).status_code == 204


WEAKER: list[tuple[str, Any]] = [
    ("disable", None),
    ("enable", {"max_age": 7200}),
    ("enable", {"max_age": None}),
    ("enable", {"device": True}),
]


@pytest.mark.attack(150)
@pytest.mark.parametrize(("action", "body"), WEAKER)
def test_requiring_less_needs_a_login_of_the_last_minutes(
    acme: Services, action: str, body: Any
) -> None:
    apply_text(acme.engine, ACME + '[organizations.acme.requirement]\namr=["mfa"]\nmax_age=3600')

    response = log_in(acme, "bob", "pwd", "otp", ago=700).post(f"{HERE}/{action}", body)

    assert response.status_code == 401
    assert (response.json()["amr"], response.json()["max_age"]) == (["mfa"], 600)
    assert required(acme) == Requirement(("mfa",), 3600)
    recent = log_in(acme, "bob", "pwd", "otp", ago=500)
    assert recent.post(f"{HERE}/{action}", body).status_code == 204


def test_requiring_more_does_not(acme: Services) -> None:
    apply_text(acme.engine, ACME + '[organizations.acme.requirement]\namr=["mfa"]\nmax_age=3600')
    bob = log_in(acme, "bob", "pwd", "otp", ago=700)

    assert bob.post(f"{HERE}/enable", {"max_age": 1800}).status_code == 204


@pytest.mark.parametrize("action", ["enable", "disable"])
@pytest.mark.parametrize(
    ("username", "status"), [("alice", 403), ("mallory", 404)], ids=["a viewer", "a stranger"]
)
def test_only_admins_change_it(acme: Services, action: str, username: str, status: int) -> None:
    before = version(acme.engine), records(acme.engine)

    response = log_in(acme, username, "pwd", "otp").post(f"{HERE}/{action}")

    assert response.status_code == status
    assert (version(acme.engine), records(acme.engine)) == before


def test_an_owner_may_as_well(acme: Services) -> None:
    apply_text(acme.engine, ACME.replace('bob = "admin",', 'bob = "owner",'))

    assert log_in(acme, "bob", "pwd", "otp").post(f"{HERE}/enable").status_code == 204


@pytest.mark.parametrize(
    "body",
    [
        {"max_age": 299},
        {"max_age": 301},
        {"max_age": 31536060},
        {"max_age": 0},
        {"max_age": -300},
        {"max_age": 2**63},
        {"max_age": 600.0},
        {"max_age": "600"},
        {"max_age": True},
        {"device": 1},
        {"device": None},
        {"amr": ["mfa"]},
        [],
        "mfa",
    ],
    ids=str,
)
def test_terms_that_make_no_sense_are_refused(acme: Services, body: Any) -> None:
    response = log_in(acme, "bob", "pwd", "otp").post(f"{HERE}/enable", body)

    assert response.status_code == 400
    assert response.json()["error"] == "invalid_request"
    assert required(acme) == Requirement()


def test_after_it_is_on_a_password_is_not_enough(acme: Services) -> None:
    alice = log_in(acme, "alice", "pwd")
    assert alice.get("/organizations/acme").status_code == 200

    log_in(acme, "bob", "pwd", "otp").post(f"{HERE}/enable")

    assert alice.get("/organizations/acme").status_code == 401
    assert log_in(acme, "alice", "pwd", "otp").get("/organizations/acme").status_code == 200


def test_nobody_locks_themselves_out_by_where_they_are(acme: Services) -> None:
    apply_text(acme.engine, ACME + '[organizations.acme.requirement]\nnetworks=["192.0.2.0/24"]')

    assert log_in(acme, "bob", "pwd", "otp").post(f"{HERE}/enable").status_code == 204
    assert required(acme) == Requirement(("mfa",), None, ("192.0.2.0/24",))
    assert log_in(acme, "bob", "pwd", "otp").post(f"{HERE}/disable").status_code == 204
    assert required(acme) == Requirement((), None, ("192.0.2.0/24",))
