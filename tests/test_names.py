"""The grammar of names, against the same grammar written as regular expressions."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sshd_hook.names import (
    is_app,
    is_display_name,
    is_host_name,
    is_label,
    is_project,
    is_slug,
    is_user_id,
    parse_service,
)

PROJECT = r"(?=[a-z0-9]*[0-9])[a-z][a-z0-9]{12}"
LABEL = r"[a-z0-9](?:-?[a-z0-9]){0,31}"
APP = r"(?=[a-z])" + LABEL
INSTANCE = r"(?:0|[1-9][0-9]{0,3})"
SERVICE = (
    rf"(?P<project>{PROJECT})-(?P<environment>{LABEL})--(?P<app>{APP})"
    rf"(?:--(?P<worker>{APP}))?(?:--(?P<instance>{INSTANCE}))?"
)
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
HOST = r"(?=.{1,253}\Z)(?:(?!-)[a-z0-9-]{1,63}(?<!-)\.)*(?!-)[a-z0-9-]{1,63}(?<!-)"

GOOD = "abcdefg123456-main-bvxea6i--app"

pieces = st.sampled_from(
    [
        "abcdefg123456",
        "abcdefgabcdef",
        "main",
        "bvxea6i",
        "app",
        "queue",
        "0",
        "10",
        "01",
        "99999",
        "-",
        "--",
        "---",
        "a",
        "a-b",
        "a" * 33,
        "-a",
        "Ä",
        "A",
        ".",
        " ",
        "\n",
        "٣",
        "",
    ]
)
built = st.lists(pieces, max_size=12).map("".join)
labels = st.lists(st.text("ab09", min_size=1, max_size=9), min_size=1, max_size=4).map("-".join)
apps = st.builds("{}{}".format, st.sampled_from("az"), labels)
projects = st.builds(
    "{}{}{}".format,
    st.sampled_from("az"),
    st.text("a0z9", min_size=11, max_size=11),
    st.sampled_from("09a"),
)
ends = st.just("") | apps.map("--{}".format) | st.sampled_from(["--0", "--9999", "--q--10"])
plausible = st.builds("{}-{}--{}{}".format, projects, labels, apps, ends)
uuids = st.uuids().map(str)
hosts = st.lists(st.text("ab0-", max_size=4) | labels, min_size=1, max_size=5).map(".".join)


def mutated(names: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A name with one character put in, taken out or replaced."""
    return st.builds(
        lambda name, at, put, taken: (
            name[: at % (len(name) + 1)] + put + name[at % (len(name) + 1) + taken :]
        ),
        names,
        st.integers(0, 200),
        st.sampled_from(["", "-", "--", "A", "0", "a", "#", "\n", "ß", "/", ".", "\0"]),
        st.integers(0, 1),
    )


@settings(max_examples=500, deadline=None)
@given(built | plausible | mutated(plausible) | mutated(st.just(GOOD)) | st.text(max_size=40))
def test_services_are_those_of_the_grammar(name: str) -> None:
    match = re.fullmatch(SERVICE, name, re.ASCII) if len(name) <= 128 else None
    parsed = parse_service(name)
    if match is None:
        assert parsed is None
        return
    assert parsed is not None
    assert match.groupdict(default="") == {
        part: getattr(parsed, part) for part in match.groupdict()
    }
    instance = f"--{parsed.instance}" if parsed.instance else ""
    assert parsed.record + instance == name


@pytest.mark.parametrize(
    ("name", "record"),
    [
        (GOOD, GOOD),
        (f"{GOOD}--0", GOOD),
        (f"{GOOD}--9999", GOOD),
        (f"{GOOD}--queue", f"{GOOD}--queue"),
        (f"{GOOD}--queue--0", f"{GOOD}--queue"),
        ("a23456789012a-0--a", "a23456789012a-0--a"),
        (f"abcdefg123456-{'a' * 32}--{'b' * 32}--{'c' * 32}", None),
    ],
)
def test_instances_are_dropped_for_the_look_up(name: str, record: str | None) -> None:
    parsed = parse_service(name)
    assert parsed is not None
    assert parsed.record == (name if record is None else record)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="nothing"),
        pytest.param("abcdefg123456", id="a project"),
        pytest.param("abcdefg123456-main", id="no app"),
        pytest.param("abcdefgabcdef-main--app", id="a project without a digit"),
        pytest.param("1bcdefg123456-main--app", id="a project that begins with a digit"),
        pytest.param("abcdefg12345-main--app", id="a short project"),
        pytest.param("abcdefg1234567-main--app", id="a long project"),
        pytest.param("abcdefg123456-main--0", id="an instance and no app"),
        pytest.param("abcdefg123456-main--0app", id="an app that begins with a digit"),
        pytest.param("abcdefg123456-main--app--00", id="an instance with a needless zero"),
        pytest.param("abcdefg123456-main--app--10000", id="a large instance"),
        pytest.param("abcdefg123456-main--app--q--r", id="two workers"),
        pytest.param("abcdefg123456-main--app--0--0", id="two instances"),
        pytest.param("abcdefg123456-main---app", id="three hyphens"),
        pytest.param("abcdefg123456--main--app", id="no environment"),
        pytest.param("abcdefg123456-main--app-", id="a hyphen at the end"),
        pytest.param("abcdefg123456-main--app\n", id="a line end"),
        pytest.param("Abcdefg123456-main--app", id="a capital"),
        pytest.param("abcdefg12345\u0663-main--app", id="another script's digit"),
        pytest.param("backup-admin1-x--y", id="fits sshd's pattern alone"),
        pytest.param(f"abcdefg123456-{'a' * 33}--app", id="a long environment"),
        pytest.param(
            f"abcdefg123456-{'-'.join('a' * 32)}--{'-'.join('b' * 32)}", id="129 bytes or more"
        ),
    ],
)
def test_other_names_are_no_services(name: str) -> None:
    assert parse_service(name) is None


def test_a_service_has_128_bytes_at_most() -> None:
    name = f"abcdefg123456-{'-'.join('a' * 32)}--"
    fits, longer = name + "b" * 2, name + "-".join("b" * 26)
    assert parse_service(fits) is not None
    for size in (127, 128, 129, 130):
        cut = longer[:size].rstrip("-") + ("" if longer[size - 1] != "-" else "c")
        assert (parse_service(cut) is not None) is (len(cut) <= 128)


@settings(max_examples=500, deadline=None)
@given(built | mutated(labels) | mutated(st.just("abcdefg123456")))
def test_smaller_names_are_those_of_the_grammar(name: str) -> None:
    assert is_label(name) is bool(re.fullmatch(LABEL, name))
    assert is_app(name) is bool(re.fullmatch(APP, name))
    assert is_project(name) is bool(re.fullmatch(PROJECT, name))
    assert is_slug(name) is bool(re.fullmatch(r"[a-z0-9-]{1,32}", name))


@settings(max_examples=500, deadline=None)
@given(mutated(uuids) | uuids)
def test_user_ids_are_uuids_in_lower_case(name: str) -> None:
    assert is_user_id(name) is bool(re.fullmatch(UUID, name))


@pytest.mark.parametrize(
    "name",
    [
        *("", "-" * 36, "0" * 36, "5C0E7C2E-8F4B-4C8E-9D3A-0B1A2C3D4E5F", "root"),
        *("5c0e7c2e8f4b4c8e9d3a0b1a2c3d4e5f", "{5c0e7c2e-8f4b-4c8e-9d3a-0b1a2c3d4e5f}"),
        *("5c0e7c2e-8f4b-4c8e-9d3a-0b1a2c3d4e5f\n", "5c0e7c2-e8f4b-4c8e-9d3a-0b1a2c3d4e5f"),
        *("5c0e7c2e-8f4b-4c8e-9d3a-0b1a2c3d4e5g", "5c0e7c2e-8f4b-4c8e-9d3a-0b1a2c3d4e5\u0663"),
    ],
)
def test_other_forms_are_no_user_ids(name: str) -> None:
    assert not is_user_id(name)


@settings(max_examples=500, deadline=None)
@given(mutated(hosts) | hosts | built)
def test_host_names_are_plain_dns_names(name: str) -> None:
    assert is_host_name(name) is bool(re.fullmatch(HOST, name))


@pytest.mark.parametrize(
    ("name", "good"),
    [
        *(
            (name, True)
            for name in ("ssh.acme.example", "localhost", "127.0.0.1", "a" * 63, "x--y")
        ),
        *(
            (name, False)
            for name in ("", ".", "a.", ".a", "a..b", "*.acme.example", "A", "a_b", "a b")
        ),
        *(
            (name, False)
            for name in ("a" * 64, "-a", "a-", "::1", "[::1]", "a,b", "a\n", "ä", "a/b")
        ),
        (".".join(["a" * 49] * 5) + ".abc", True),
        (".".join(["a" * 49] * 5) + ".abcd", False),
    ],
)
def test_host_names(name: str, *, good: bool) -> None:
    assert is_host_name(name) is good


# --- what is shown --------------------------------------------------------------------------


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=70) | st.text(alphabet='ab#"\\()é\u0301\u202e\n \x1b', max_size=6))
def test_names_that_are_shown_can_forge_nothing(name: str) -> None:
    good = (
        1 <= len(name) <= 64
        and unicodedata.normalize("NFC", name) == name
        and all(char.isprintable() and char not in '#"\\()' for char in name)
    )
    assert is_display_name(name) is good


@pytest.mark.parametrize(
    ("name", "good"),
    [
        *(
            (name, True)
            for name in ("A", "Ada Lovelace", "Zoë", "佐藤 花子", "O'Neil, Jr.", "x" * 64)
        ),
        *(
            (name, False)
            for name in ("", "x" * 65, "Zoe\u0308", "\u212b", "a\u00a0b", "a\u2028b", "\ufeff")
        ),
        *(
            (name, False)
            for name in ("a\tb", "a\nb", "a\rb", "\x1b[2J", "\x7f", "\x9b2J", "\u200b")
        ),
        *((name, False) for name in ("\u202eecila", "A (admin)", "a#b", 'a"b', "a\\b", "\ud800")),
    ],
)
def test_display_names(name: str, *, good: bool) -> None:
    assert is_display_name(name) is good
