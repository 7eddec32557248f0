"""The words of a refusal, to the letter, and the fields that a hostile local user may hand over."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sshd_hook.policy import ALLOWED, MORE_AUTHENTICATION, NO_ACCESS, Decision, is_max_age
from sshd_hook.refusal import Refusal, duration, from_fields, parameters, render, to_fields

SERVICE = "abcdefg123456-main-bvxea6i--app"
USER = "5c0e7c2e-8f4b-4c8e-9d3a-0b1a2c3d4e5f"


def more(amr: str, missing: str, max_age: int | None = None) -> Decision:
    return Decision(MORE_AUTHENTICATION, tuple(amr.split()), max_age, tuple(missing.split()))


def text(decision: Decision, name: str = "Alice", service: str = SERVICE) -> str:
    return render(Refusal(decision, service, name, USER))


# Here the texts are written out, because other programs look for their words.


def test_no_access_to_the_letter() -> None:
    assert text(Decision(NO_ACCESS)) == (
        "Error: The service doesn't exist or you do not have access to it.\n"
        "Service: abcdefg123456-main-bvxea6i--app\n"
        "User: Alice (5c0e7c2e-8f4b-4c8e-9d3a-0b1a2c3d4e5f)\n"
    )


def test_more_authentication_to_the_letter() -> None:
    assert text(more("mfa sso:acme", "mfa sso:acme"), "Zoë Müller") == (
        "Error: Access denied\n"
        "Service: abcdefg123456-main-bvxea6i--app\n"
        "User: Zoë Müller (5c0e7c2e-8f4b-4c8e-9d3a-0b1a2c3d4e5f)\n"
        'Parameters: {"amr":["mfa","sso:acme"]}\n'
        "Detail: Additional authentication is required:\n"
        "\t - Multi-factor authentication (MFA)\n"
        '\t - Single sign-on (SSO), provider: "acme"\n'
    )


def test_age_and_device_to_the_letter() -> None:
    assert text(more("mfa", "max_age device", 3600), service="abcdefg123456") == (
        "Error: Access denied\n"
        "Service: abcdefg123456\n"
        "User: Alice (5c0e7c2e-8f4b-4c8e-9d3a-0b1a2c3d4e5f)\n"
        'Parameters: {"amr":["mfa"],"max_age":3600}\n'
        "Detail: Additional authentication is required:\n"
        "\t - More recent authentication (within 1 hour)\n"
        "\t - A login in a browser on this device\n"
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (60, "1 minute"),
        (300, "5 minutes"),
        (3600, "1 hour"),
        (5400, "90 minutes"),
        (7200, "2 hours"),
        (86340, "1439 minutes"),
        (86400, "1 day"),
        (90000, "25 hours"),
        (172800, "2 days"),
        (365 * 86400, "365 days"),
    ],
)
def test_durations(seconds: int, words: str) -> None:
    assert duration(seconds) == words


@given(st.integers(1, 10**8).map(lambda minutes: minutes * 60))
def test_a_duration_means_the_same_seconds_in_the_largest_unit(seconds: int) -> None:
    count, unit = duration(seconds).split()
    lengths = {"minute": 60, "hour": 3600, "day": 86400}
    assert int(count) * lengths[unit.removesuffix("s")] == seconds
    assert unit.endswith("s") is (count != "1")
    assert not [
        n for n in lengths.values() if n > lengths[unit.removesuffix("s")] and seconds % n == 0
    ]


# --- fields ---------------------------------------------------------------------------------

slugs = st.text("abz09-", min_size=1, max_size=32)
required = st.builds(
    lambda mfa, logins: (["mfa"] if mfa or not logins else []) + sorted(f"sso:{s}" for s in logins),
    st.booleans(),
    st.sets(slugs, max_size=8),
)
ages = st.none() | st.integers(5, 525_600).map(lambda minutes: minutes * 60)


@st.composite
def refusals(draw: st.DrawFn) -> Refusal:
    service = draw(st.sampled_from([SERVICE, "abcdefg123456", f"{SERVICE}--queue--0"]))
    name = draw(st.text(max_size=70) | st.sampled_from(["Alice", "Zoë", "佐藤 花子"]))
    amr, age = draw(required), draw(ages)
    parts = [*amr, "device", *(["max_age"] if age else [])]
    missing = draw(st.lists(st.sampled_from(parts), min_size=1, unique=True))
    decision = Decision(MORE_AUTHENTICATION, tuple(amr), age, tuple(missing))
    return Refusal(draw(st.sampled_from([decision, Decision(NO_ACCESS)])), service, name, USER)


# What may reach a terminal: lines of printable characters, tabs only before " - ".
LINES = re.compile(r"(?:(?:\t - )?[^\t\n]+\n)+")


@given(refusals())
def test_a_refusal_crosses_to_the_other_program_and_shows_nothing_hostile(refusal: Refusal) -> None:
    fields = to_fields(refusal)
    assert len(fields) <= 2048
    assert render(from_fields(fields)) == render(refusal)
    assert to_fields(from_fields(fields)) == fields
    assert LINES.fullmatch(render(refusal))
    assert all(char.isprintable() or char in "\n\t" for char in render(refusal))


@given(refusals())
def test_parameters_are_json_without_spaces(refusal: Refusal) -> None:
    decision = refusal.decision
    age = {} if decision.max_age is None else {"max_age": decision.max_age}
    expected = {"amr": list(decision.amr), **age}
    assert parameters(decision) == json.dumps(expected, separators=(",", ":"))


@pytest.mark.parametrize(
    "name", ["", "A (admin)", "a\nUser: root", "\x1b[2J", "a#b", "x" * 65, "Zoe\u0308", "\u202e"]
)
def test_a_name_that_cannot_be_shown_becomes_the_user_id(name: str) -> None:
    assert f"User: {USER} ({USER})\n" in text(Decision(NO_ACCESS), name)


GOOD = [MORE_AUTHENTICATION, SERVICE, "Alice", USER, "mfa,sso:acme", "3600", "mfa,max_age"]
HOSTILE = [
    *((0, value) for value in ("", ALLOWED, NO_ACCESS, "More authentication needed", "x")),
    *((1, value) for value in ("", "root", SERVICE + "\x1b", SERVICE.upper(), "a" * 200, "-")),
    *((2, value) for value in ("", "x" * 65, "a\x1b[31mb", "a\tb", "a\rb", "A (x)", "a\u202eb")),
    *((2, value) for value in ('a"b', "a\\b", "a#b", "Zoe\u0308")),
    *((3, value) for value in ("", "root", USER.upper(), USER[:-1], USER + "\x1b", "Alice")),
    *(
        (4, value)
        for value in ("", "pwd", "otp", "sso:acme,mfa", "mfa,mfa", "mfa,", ",mfa", "sso:")
    ),
    *((4, value) for value in ("sso:A", "sso:a:mfa", "mfa,sso:b,sso:a", "sso:a b", 'sso:"', "MFA")),
    *(
        (5, value)
        for value in ("", "0", "-300", "+300", "0300", "299", "301", "3600 ", "1e3", "٣٠٠")
    ),
    *((5, value) for value in ("31536060", "99999999", "999999960", "9" * 5000, "3_600", "36.0")),
    *((6, value) for value in ("", "mfa,mfa", "otp", "mfa,", "sso:b", "Device", "max_age,max_age")),
]


def test_good_fields_are_read() -> None:
    assert "within 1 hour" in render(from_fields("\n".join(GOOD).encode()))


@pytest.mark.parametrize(("place", "value"), HOSTILE)
def test_a_hostile_field_is_refused(place: int, value: str) -> None:
    fields = [*GOOD[:place], value, *GOOD[place + 1 :]]
    with pytest.raises(ValueError):  # noqa: PT011 -- any: the caller shows nothing
        from_fields("\n".join(fields).encode())


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(b"", id="nothing"),
        pytest.param("\n".join(GOOD[:-1]).encode(), id="a line less"),
        pytest.param("\n".join([*GOOD, ""]).encode(), id="a line end more"),
        pytest.param("\n".join([*GOOD, "x"]).encode(), id="a line more"),
        pytest.param("\r\n".join(GOOD).encode(), id="CR"),
        pytest.param("\n".join(GOOD).encode().replace(b"Alice", b"\xff"), id="not UTF-8"),
        pytest.param("\n".join(GOOD).encode("utf-16"), id="UTF-16"),
        pytest.param(b"\n" * 6, id="empty lines"),
        pytest.param(b"x" * 2049, id="too long"),
        pytest.param("\n".join([NO_ACCESS, *GOOD[1:]]).encode(), id="no access, and a reason"),
        *(
            pytest.param("\n".join([NO_ACCESS, *GOOD[1:4], *rest]).encode(), id=f"no access {rest}")
            for rest in (["mfa", "", ""], ["", "300", ""], ["", "", "mfa"])
        ),
        pytest.param(
            "\n".join(
                [*GOOD[:4], ",".join(f"sso:{n:032}" for n in range(60)), "", "device"]
            ).encode(),
            id="a huge requirement",
        ),
    ],
)
def test_hostile_fields_are_refused(fields: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- any: the caller shows nothing
        from_fields(fields)


@settings(max_examples=500, deadline=None)
@given(
    st.binary(max_size=200)
    | st.builds(
        lambda at, value: "\n".join([*GOOD[:at], value, *GOOD[at + 1 :]]).encode(errors="replace"),
        st.integers(0, 6),
        st.text(max_size=20) | st.sampled_from([value for _, value in HOSTILE]),
    )
)
@example("\n".join(GOOD).encode())
def test_whatever_is_handed_over_shows_lines_of_ours_or_nothing(fields: bytes) -> None:
    try:
        refusal = from_fields(fields)
    except ValueError:
        return
    shown = render(refusal)
    assert LINES.fullmatch(shown)
    assert all(char.isprintable() or char in "\n\t" for char in shown)
    age = refusal.decision.max_age
    assert age is None or is_max_age(age)
    assert to_fields(refusal) == fields, "one encoding each"
