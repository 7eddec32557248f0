"""What is asked of `decide`: roles, requirements and their rules; and what happens to people."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ca.directory import enforcement, people, read
from ca.directory.requirements import problems, weakens
from ca.errors import Conflict, NotFound
from ca.store import directory
from ca.store.directory import Requirement
from ca.store.engine import reading, writing
from sshd_hook.policy import ADMIN, ALLOWED, CONTRIBUTOR, NO_ROLE, VIEWER, Access, Claims, decide
from tests.directory import ACME, apply_text, log_in, records, version

if TYPE_CHECKING:
    from ca.services import Services

pytest_plugins = ["tests.web"]

ACME_S = frozenset({"acme"})
NOW = 2_000_000_000

amrs = st.sampled_from([("mfa",), ("sso:acme",), ("mfa", "sso:acme")])
ages = st.none() | st.sampled_from([300, 600, 3600])
networks = st.none() | st.sampled_from([(), ("192.0.2.0/24",), ("192.0.2.0/24", "198.51.100.0/24")])
asking = st.builds(Requirement, amrs, ages, networks, st.booleans())
requirements = asking | st.builds(Requirement, networks=networks)
claims = st.builds(
    Claims,
    st.sets(st.sampled_from(["pwd", "otp", "mfa", "sso:acme"])).map(frozenset),
    st.sampled_from([NOW, NOW - 400, NOW - 1000, NOW - 5000]),
    st.sampled_from(["", "device"]),
)
peers = st.sampled_from(["192.0.2.7", "198.51.100.7", "203.0.113.7"])


def opens(requirement: Requirement, login: Claims, peer: str) -> bool:
    asked = read.requirement(requirement, ACME_S)
    return decide(asked, Access(VIEWER, VIEWER), login, peer, NOW).outcome == ALLOWED


@given(requirements, requirements, claims, peers)
def test_what_does_not_weaken_lets_in_nobody_new(
    before: Requirement, after: Requirement, login: Claims, peer: str
) -> None:
    if opens(after, login, peer) and not opens(before, login, peer):
        assert weakens(before, after)


@pytest.mark.parametrize(
    "after",
    [
        Requirement(("mfa",), 3600, None),
        Requirement(("mfa",), 300, None),
        Requirement(("mfa", "sso:acme"), 3600, None),
        Requirement(("mfa",), 3600, ("192.0.2.0/24",)),
    ],
)
def test_asking_for_more_does_not_weaken(after: Requirement) -> None:
    assert not weakens(Requirement(("mfa",), 3600), after)


@pytest.mark.parametrize(
    "after",
    [
        Requirement((), None, ("192.0.2.0/24",)),
        Requirement(("sso:acme",), 3600, ("192.0.2.0/24",)),
        Requirement(("mfa",), 3660, ("192.0.2.0/24",)),
        Requirement(("mfa",), None, ("192.0.2.0/24",)),
        Requirement(("mfa",), 3600, None),
        Requirement(("mfa",), 3600, ("192.0.2.0/24", "198.51.100.0/24")),
        Requirement(("mfa",), 3600, ("192.0.2.0/24",), device=True),
    ],
)
def test_asking_for_less_weakens(after: Requirement) -> None:
    assert weakens(Requirement(("mfa",), 3600, ("192.0.2.0/24",)), after)


@given(requirements)
@example(Requirement())
@example(Requirement(("mfa",), 3600, ("192.0.2.0/24",), device=True))
@example(Requirement(("mfa", "sso:acme"), 3600))
def test_switching_on_and_off(before: Requirement) -> None:
    switched_on = enforcement.enabled(before)
    switched_off = enforcement.disabled(switched_on)

    assert "mfa" in switched_on.amr
    assert "mfa" not in switched_off.amr
    assert set(switched_off.amr) == set(before.amr) - {"mfa"}
    assert switched_on.networks == switched_off.networks == before.networks
    assert not list(problems(switched_on, ACME_S))
    assert not list(problems(switched_off, ACME_S))
    assert not weakens(before, switched_on) or before.amr == ()


@pytest.mark.parametrize(
    ("requirement", "fields"),
    [
        (Requirement(("mfa", "sso:acme"), 300, ("10.0.0.0/8",), device=True), []),
        (Requirement(("mfa",), 365 * 86400), []),
        (Requirement((), None, ()), []),
        (Requirement(("sso:evil",)), ["amr"]),
        (Requirement(("sso:acme:mfa",)), ["amr"]),
        (Requirement(("pwd", "otp")), ["amr", "amr"]),
        (Requirement((), 300), ["max_age"]),
        (Requirement(("mfa",), 299), ["max_age"]),
        (Requirement(("mfa",), 330), ["max_age"]),
        (Requirement(("mfa",), 365 * 86400 + 60), ["max_age"]),
        (Requirement((), None, None, device=True), ["device"]),
        (Requirement((), None, ("10.0.0.1/8", "::1", "x", "FE80::/16")), ["networks"] * 4),
    ],
)
def test_which_requirements_there_may_be(requirement: Requirement, fields: list[str]) -> None:
    assert [field for field, _message in problems(requirement, ACME_S)] == fields


@pytest.mark.parametrize(
    ("roles", "role"),
    [
        ([], NO_ROLE),
        ([("staging", "admin")], NO_ROLE),
        ([("production", "contributor")], CONTRIBUTOR),
        ([("project", "viewer")], VIEWER),
        ([("project", "viewer"), ("production", "contributor")], CONTRIBUTOR),
        ([("production", "viewer"), ("project", "admin")], ADMIN),
    ],
)
def test_the_highest_role_that_reaches_there_counts(
    roles: list[tuple[str, str]], role: int
) -> None:
    assert read.role_on("production", roles) == role


def test_versions_only_grow(services: Services) -> None:
    now = int(time.time())
    seen = []
    for at in (now, now, now - 1000, now + 50, now):
        with writing(services.engine) as connection:
            seen.append(directory.bump(connection, at))

    assert seen == [now, now + 1, now + 2, now + 50, now + 51]
    assert version(services.engine) == now + 51


def test_a_reader_sees_one_moment(services: Services) -> None:
    """Else a bundle could carry the version of what is not in it."""
    with reading(services.engine) as connection:
        before = directory.version(connection)
        apply_text(services.engine, ACME)

        assert directory.version(connection) == before
        assert directory.find_organization(connection, "acme") is None


def test_the_disabled_are_out_until_they_are_enabled(services: Services) -> None:
    apply_text(services.engine, ACME)
    alice, before, told = (
        log_in(services, "alice", "pwd"),
        version(services.engine),
        len(records(services.engine)),
    )
    now = int(time.time())

    people.disable(services.engine, "alice", "operator", now)
    people.disable(services.engine, "alice", "operator", now)

    assert alice.get("/users/me").status_code == 401
    disabled = version(services.engine)
    assert disabled > before
    people.enable(services.engine, "alice", "operator", now)
    people.enable(services.engine, "alice", "operator", now)
    assert alice.get("/users/me").status_code == 401, "a session does not come back"
    assert log_in(services, "alice", "pwd").get("/users/me").status_code == 200
    assert version(services.engine) > disabled
    assert [event for event, _actor, _subject in records(services.engine)[told:]] == [
        "user:disable",
        "user:enable",
    ]


def test_a_file_does_not_enable_who_was_disabled(services: Services) -> None:
    apply_text(services.engine, ACME)
    people.disable(services.engine, "alice", "operator", int(time.time()))

    assert apply_text(services.engine, ACME) == []

    with reading(services.engine) as connection:
        assert people.find(connection, "alice").disabled


@pytest.mark.attack(146)
def test_the_last_admin_is_not_disabled(services: Services) -> None:
    apply_text(services.engine, ACME)
    now = int(time.time())

    with pytest.raises(Conflict, match="the last admin of acme"):
        people.disable(services.engine, "bob", "operator", now)

    apply_text(services.engine, ACME.replace('alice = "viewer"', 'alice = "owner"'))
    people.disable(services.engine, "bob", "operator", now)
    with pytest.raises(Conflict, match="the last admin of acme"):
        people.disable(services.engine, "alice", "operator", now)


def test_nobody_is_found_by_an_address(services: Services) -> None:
    apply_text(services.engine, ACME)
    with reading(services.engine) as connection, pytest.raises(NotFound):
        people.find(connection, "alice@acme.example")
