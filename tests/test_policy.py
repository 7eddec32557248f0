"""The decision, example by example."""

from __future__ import annotations

import pytest

from sshd_hook.policy import (
    ADMIN,
    ALLOWED,
    CONTRIBUTOR,
    MORE_AUTHENTICATION,
    NO_ACCESS,
    NO_ROLE,
    OWNER,
    VIEWER,
    Access,
    Claims,
    Decision,
    Requirement,
    decide,
    is_max_age,
    join,
)

NOW = 1_800_000_000
ENOUGH = Access(CONTRIBUTOR, CONTRIBUTOR)


def requirement(amr: str = "", *providers: str, **more: object) -> Requirement:
    return Requirement(frozenset(amr.split()), providers=frozenset(providers), **more)  # type: ignore[arg-type]


def claims(amr: str = "", age: int | None = 60, via: str = "") -> Claims:
    return Claims(frozenset(amr.split()), None if age is None else NOW - age, via)


def decided(
    asked: Requirement, shown: Claims, access: Access | None = ENOUGH, peer: str | None = None
) -> Decision:
    return decide(asked, access, shown, peer, NOW)


# --- who reaches what -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("access", "outcome"),
    [
        (None, NO_ACCESS),
        (Access(NO_ROLE, VIEWER), NO_ACCESS),
        (Access(VIEWER, CONTRIBUTOR), NO_ACCESS),
        (Access(CONTRIBUTOR, CONTRIBUTOR), ALLOWED),
        (Access(ADMIN, CONTRIBUTOR), ALLOWED),
        (Access(OWNER, CONTRIBUTOR), ALLOWED),
        (Access(VIEWER, VIEWER), ALLOWED),
        (Access(NO_ROLE, VIEWER, exempt=True), NO_ACCESS),
    ],
)
def test_a_role_that_reaches_it_is_needed(access: Access | None, outcome: str) -> None:
    assert decided(requirement(), claims("pwd"), access).outcome == outcome
    assert decided(requirement("mfa"), claims("mfa otp pwd"), access).outcome == outcome


@pytest.mark.parametrize("amr", ["", "pwd", "mfa otp pwd"])
@pytest.mark.parametrize(
    ("access", "asked"),
    [
        (None, requirement("mfa", max_age=300)),
        (Access(VIEWER, CONTRIBUTOR), requirement("mfa", max_age=300)),
        (ENOUGH, requirement("mfa", max_age=300, networks=())),
    ],
)
def test_no_access_tells_nothing(access: Access | None, asked: Requirement, amr: str) -> None:
    answer = decided(asked, claims(amr), access)
    assert (answer.outcome, answer.amr, answer.max_age, answer.missing) == (NO_ACCESS, (), None, ())


@pytest.mark.parametrize(
    ("networks", "peer", "outcome"),
    [
        (None, None, ALLOWED),
        (None, "203.0.113.9", ALLOWED),
        ((), None, NO_ACCESS),
        ((), "203.0.113.9", NO_ACCESS),
        (("192.0.2.0/24",), None, ALLOWED),  # sshd compares it with the hook's from=
        (("192.0.2.0/24",), "192.0.2.255", ALLOWED),
        (("192.0.2.0/24",), "192.0.3.0", NO_ACCESS),
        (("192.0.2.0/24",), "::ffff:192.0.2.7", ALLOWED),
        (("192.0.2.0/24",), "::ffff:192.0.3.7", NO_ACCESS),
        (("192.0.2.0/24", "2001:db8::/32"), "2001:db8::1", ALLOWED),
        (("192.0.2.0/24",), "2001:db8::1", NO_ACCESS),
        (("2001:db8::/32",), "192.0.2.1", NO_ACCESS),
        (("192.0.2.0/24",), "", NO_ACCESS),
        (("0.0.0.0/0",), "testclient", NO_ACCESS),
    ],
)
def test_networks(networks: tuple[str, ...] | None, peer: str | None, outcome: str) -> None:
    asked = requirement(networks=networks)
    assert decided(asked, claims("pwd"), peer=peer).outcome == outcome


# --- what a login must show -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "shown", "missing"),
    [
        pytest.param(requirement("mfa"), claims("mfa otp pwd"), "", id="two factors"),
        pytest.param(requirement("mfa"), claims("pwd"), "mfa", id="a password alone"),
        pytest.param(requirement("mfa"), claims("otp pwd"), "mfa", id="kinds without mfa"),
        pytest.param(requirement("mfa"), claims("hwk mfa"), "", id="a key that verified"),
        pytest.param(requirement("mfa"), claims("hwk"), "mfa", id="a key that did not"),
        pytest.param(requirement("mfa"), claims("mfa pwd recovery"), "", id="a recovery code"),
        pytest.param(requirement("mfa"), claims(""), "mfa", id="a service user"),
        pytest.param(
            requirement("mfa sso:acme", "acme"), claims("pwd"), "mfa sso:acme", id="neither"
        ),
        pytest.param(
            requirement("mfa sso:acme", "acme"), claims("mfa otp pwd"), "sso:acme", id="no sso"
        ),
        pytest.param(
            requirement("mfa sso:acme", "acme"), claims("mfa otp sso:acme"), "", id="sso and otp"
        ),
        pytest.param(requirement("sso:acme", "acme"), claims("sso:acme"), "", id="sso alone"),
        pytest.param(
            requirement("sso:acme", "acme"), claims("sso:acme2 pwd"), "sso:acme", id="another's"
        ),
        pytest.param(requirement("mfa", "acme"), claims("sso:acme"), "mfa", id="not mapped"),
        pytest.param(
            requirement("mfa", "acme"), claims("sso:acme sso:acme:mfa"), "", id="mapped by ours"
        ),
        pytest.param(
            requirement("mfa", "mfa"), claims("sso:mfa"), "mfa", id="a provider that is named mfa"
        ),
        pytest.param(
            requirement("mfa", "mfa"), claims("sso:mfa sso:mfa:mfa"), "", id="and maps it"
        ),
    ],
)
def test_required_values(asked: Requirement, shown: Claims, missing: str) -> None:
    answer = decided(asked, shown)
    assert answer.outcome == (MORE_AUTHENTICATION if missing else ALLOWED)
    assert answer.missing == tuple(missing.split())


@pytest.mark.parametrize(
    ("shown", "allowed"),
    [
        pytest.param("sso:evil", False, id="a foreign login"),
        pytest.param("sso:evil sso:evil:mfa", False, id="that maps mfa"),
        pytest.param("mfa otp sso:evil", False, id="mfa, one kind of it foreign"),
        pytest.param("hwk mfa sso:evil", False, id="mfa, perhaps one kind of it foreign"),
        pytest.param("mfa pwd sso:evil", False, id="mfa without possession"),
        pytest.param("mfa otp pwd sso:evil", True, id="mfa without the foreign login"),
        pytest.param("mfa otp sso:acme sso:evil", True, id="mfa with a login of ours"),
        pytest.param("sso:acme sso:acme:mfa sso:evil", True, id="mapped by ours"),
    ],
)
def test_a_foreign_provider_opens_nothing(shown: str, *, allowed: bool) -> None:
    answer = decided(requirement("mfa", "acme"), claims(shown))
    assert (answer.outcome == ALLOWED) is allowed
    assert allowed or answer.missing == ("mfa",)


@pytest.mark.parametrize(
    ("shown", "allowed"),
    [
        ("sso:evil", False),
        ("sso:evil sso:evil:mfa", False),
        ("sso:acme", True),
        ("pwd sso:evil", True),
        ("otp sso:evil", True),
        ("pwd", True),
        ("", True),
    ],
)
def test_where_nothing_is_required_a_login_rests_on_something_of_ours(
    shown: str, *, allowed: bool
) -> None:
    answer = decided(requirement("", "acme"), claims(shown))
    assert (answer.outcome == ALLOWED) is allowed
    assert answer.amr == (() if allowed else ("mfa",))


@pytest.mark.parametrize(
    ("age", "missing"),
    [
        (0, ""),
        (300, ""),
        (301, "max_age"),
        (-300, ""),
        (-301, "mfa max_age"),
        (None, "mfa max_age"),
        (NOW, "max_age"),
    ],
)
def test_max_age(age: int | None, missing: str) -> None:
    answer = decided(requirement("mfa", max_age=300), claims("mfa otp pwd", age))
    assert answer.missing == tuple(missing.split())
    assert answer.max_age == (300 if missing else None)


@pytest.mark.parametrize(
    ("age", "missing"), [(10**9, ""), (-300, ""), (-301, "mfa"), (None, "mfa")]
)
def test_a_login_has_a_known_time_where_anything_is_required(age: int | None, missing: str) -> None:
    assert decided(requirement("mfa"), claims("mfa otp pwd", age)).missing == tuple(missing.split())
    assert decided(requirement(), claims("pwd", age)).outcome == ALLOWED


def test_a_device_login_is_taken_only_where_the_requirement_says_so() -> None:
    shown = claims("mfa otp pwd", via="device")
    assert decided(requirement("mfa"), shown).missing == ("device",)
    assert decided(requirement("mfa", device=True), shown).outcome == ALLOWED
    assert decided(requirement(), shown).outcome == ALLOWED
    assert decided(requirement("mfa"), claims("mfa otp pwd", via="")).outcome == ALLOWED


def test_the_whole_requirement_is_told_and_the_missing_part_in_order() -> None:
    asked = requirement("sso:b mfa sso:a", "a", "b", max_age=3600)
    answer = decided(asked, claims("sso:a pwd", 7200, "device"))
    assert answer.amr == ("mfa", "sso:a", "sso:b")
    assert answer.max_age == 3600
    assert answer.missing == ("mfa", "sso:b", "max_age", "device")


def test_nobody_is_exempt_and_no_way_is_known_unless_it_is_said() -> None:
    assert not Access(CONTRIBUTOR, CONTRIBUTOR).exempt
    assert not Claims(frozenset(), NOW).via
    assert not Requirement().device


def test_an_exempt_service_user_shows_nothing_but_needs_its_role() -> None:
    access = Access(CONTRIBUTOR, CONTRIBUTOR, exempt=True)
    asked = requirement("mfa", max_age=300)
    assert decided(asked, claims("", None), access).outcome == ALLOWED
    assert decided(asked, claims("", None), Access(VIEWER, ADMIN, exempt=True)).outcome == NO_ACCESS
    fenced = requirement("mfa", networks=("192.0.2.0/24",))
    assert decided(fenced, claims(), access, "203.0.113.1").outcome == NO_ACCESS


@pytest.mark.parametrize(
    ("seconds", "good"),
    [
        (300, True),
        (299, False),
        (301, False),
        (240, False),
        (360, True),
        (0, False),
        (-300, False),
        (365 * 86400, True),
        (365 * 86400 + 60, False),
    ],
)
def test_ages_that_may_be_asked_for(seconds: int, *, good: bool) -> None:
    assert is_max_age(seconds) is good


# --- what several ask together --------------------------------------------------------------


def test_joining_nothing_asks_for_nothing() -> None:
    joined = join([])
    assert (joined.amr, joined.max_age, joined.networks, joined.device) == (
        frozenset(),
        None,
        None,
        False,
    )
    assert joined.providers == frozenset()


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        (None, None, None),
        (("10.0.0.0/8",), None, ("10.0.0.0/8",)),
        (None, ("10.0.0.0/8",), ("10.0.0.0/8",)),
        (("10.0.0.0/8",), ("10.1.0.0/16", "192.0.2.0/24"), ("10.1.0.0/16",)),
        (("10.1.0.0/16",), ("10.0.0.0/8",), ("10.1.0.0/16",)),
        (("10.0.0.0/8",), ("192.0.2.0/24",), ()),
        (("10.0.0.0/8",), ("2001:db8::/32",), ()),
        ((), ("10.0.0.0/8",), ()),
        (("10.0.0.0/8",), (), ()),
        ((), None, ()),
        (
            ("10.0.0.0/8", "2001:db8::/32"),
            ("2001:db8:1::/48", "10.0.0.0/8"),
            ("10.0.0.0/8", "2001:db8:1::/48"),
        ),
    ],
)
def test_joined_networks_are_what_all_of_them_have(
    first: tuple[str, ...] | None, second: tuple[str, ...] | None, both: tuple[str, ...] | None
) -> None:
    assert join([requirement(networks=first), requirement(networks=second)]).networks == both
    assert join([requirement(networks=second), requirement(networks=first)]).networks == both


def test_joined_requirements_are_the_strictest() -> None:
    joined = join(
        [
            requirement("mfa", "acme", max_age=3600, device=True),
            requirement("sso:acme", "acme", max_age=600, device=True),
            requirement("", "acme"),
        ]
    )
    assert joined.amr == {"mfa", "sso:acme"}
    assert (joined.max_age, joined.device, joined.providers) == (600, True, frozenset({"acme"}))
    assert not join([requirement("mfa", device=True), requirement("mfa")]).device
