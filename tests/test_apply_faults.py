"""What is wrong with a file is told, all of it, each with its line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.directory.apply.document import Document, InvalidFile
from ca.directory.apply.lines import Lines
from tests.directory import ACME, CLIENT, OTHER, REQUIREMENT, line_of

FAULTS = {
    "an unknown key": (ACME + "[orgs]\n", "orgs: there is no such key here"),
    "an unknown key of a user": (
        ACME.replace("email = ", "shoe = 4\nemail = ", 1),
        "shoe: there is no such key here; email, name are",
    ),
    "not TOML": (ACME + "\n=\n", "acme.toml is not TOML: Invalid statement (at line "),
    "a name that cannot be shown": (ACME.replace("Alice Archer", "Alice (x)"), "alice.name:"),
    "a name with an escape": (ACME.replace("Alice Archer", "A\\u001b[2J"), r"'A\x1b[2J' is not"),
    "no address": (ACME.replace("alice@acme.example", "alice"), "'alice' is not an e-mail"),
    "an address of two": (ACME.replace("bob@", "ALICE@"), "'alice@acme.example' is another"),
    "no user name": (ACME.replace("[users.alice]", '[users."al ice"]'), "'al ice' is not a user"),
    "a wildcard host": (ACME.replace('"ssh.acme', '"*.acme'), "'*.acme.example' is not a host"),
    "an upper-case host": (ACME.replace('"ssh.acme', '"SSH.acme'), "'SSH.acme.example' is not"),
    "an unknown host": (ACME.replace('host = "ssh.', 'host = "ssh1.'), "there is no host 'ssh1."),
    "an unknown member": (ACME.replace("{ bob =", "{ bop ="), "there is no user 'bop' in this"),
    "an unknown role": (ACME.replace('alice = "viewer"', 'alice = "boss"'), "'boss' is not owner"),
    "nobody who decides": (ACME.replace('"admin", ', '"viewer", '), "needs a member whose role"),
    "no project": (ACME.replace("abcdefg123456", "abcdefghijklm"), "is not a project id"),
    "an unknown organization": (
        ACME.replace('organization = "acme"', 'organization = "acm"'),
        "there is no organization 'acm' in this file",
    ),
    "no label": (ACME.replace("main-bvxea6i =", "main--b ="), "'main--b' is not a label"),
    "no type": (ACME.replace('type = "production"', 'type = "prod"'), "'prod' is not production"),
    "a missing type": (ACME.replace('{ type = "production" }', "{ }"), "'type' is missing"),
    "not true or false": (
        ACME.replace('type = "production"', 'type = "production", active = 1'),
        "1 is neither true nor false",
    ),
    "a contributor of a whole project": (
        ACME.replace('{ project = "admin" }', '{ project = "contributor" }'),
        "'contributor' is not admin or viewer",
    ),
    "access of nobody": (ACME.replace("carol = {", "carl = {"), "there is no user 'carl'"),
    "a service without an environment": (
        ACME.replace("-bvxea6i--app]", "--app]"),
        "has no environment 'main'",
    ),
    "an instance": (ACME.replace("--app]", "--app--0]"), "is not <project>-<environment>--<app>"),
    "no forward": (ACME.replace("127.0.0.1:8080", "127.0.0.1"), "'127.0.0.1' is not host:port"),
    "a forward of everything": (ACME.replace("127.0.0.1:8080", "*:8080"), "'*:8080' is not host"),
    "a forward twice": (
        ACME.replace('"127.0.0.1:8080"', '"127.0.0.1:8080", "127.0.0.1:8080"'),
        "is here twice",
    ),
    "somebody else's provider": (
        ACME + OTHER + '[organizations.other.requirement]\namr = ["sso:acme"]\n',
        "'sso:acme' is neither \"mfa\" nor",
    ),
    "a provider of two": (ACME + OTHER + "[organizations.other.sso.acme]\n", "also another org"),
    "a provider without a client": (
        CLIENT.replace('client_id = "amrgate"', 'client_id = ""'),
        "'' is not a text of at most 255",
    ),
    "a provider by plain http": (
        CLIENT.replace("https://login", "http://login"),
        "is not an https",
    ),
    "a secret in the file": (
        CLIENT.replace("label =", 'client_secret = "x"\nlabel ='),
        "client_secret: there is no such key here",
    ),
    "no openid": (CLIENT.replace('"openid", ', ""), '"openid" must be among them'),
    "two words": (CLIENT.replace('["mfa"]', '["two words"]'), "'two words' is not a word"),
    "too many words": (
        CLIENT.replace('["mfa"]', str([f"w{number}" for number in range(17)])),
        "has more than 16 words",
    ),
    "an amr of a login": (ACME + REQUIREMENT.replace('"mfa"', '"pwd"'), "'pwd' is neither"),
    "too young": (ACME + REQUIREMENT.replace("3600", "240"), "240 is not"),
    "too old": (ACME + REQUIREMENT.replace("3600", "31536060"), "31536060 is not"),
    "no whole minutes": (ACME + REQUIREMENT.replace("3600", "3601"), "3601 s is not"),
    "half a minute": (ACME + REQUIREMENT.replace("3600", "3600.5"), "3600.5 is not"),
    "an age alone": (
        ACME + REQUIREMENT.replace('["mfa", "sso:acme"]', "[]"),
        "max_age: needs an amr beside it",
    ),
    "no network": (ACME + REQUIREMENT.replace("192.0.2.0", "192.0.2.1"), "is not a network"),
    "too long offline": (ACME.replace("label =", "max_offline = 86401\nlabel ="), "86401 is not"),
    "too short a certificate": (
        ACME.replace("label =", "certificate_lifetime = 299\nlabel ="),
        "299 is not a whole number of seconds from 300 to 3600",
    ),
}


@pytest.mark.parametrize(("text", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_told_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        Document(text, "acme.toml")

    assert message in caught.value.message
    if "not TOML" in message:
        return
    told = [line for line in caught.value.message.split("\n") if message in line]
    match = re.match(r"acme\.toml:(\d+): ", told[0])
    assert match
    changed = text.split("\n")[int(match[1]) - 1]
    assert changed.strip(), "the line that is named is empty"
    assert changed not in ACME.split("\n") or message.startswith("needs a member"), changed
    assert caught.value.message.isprintable() or "\n" in caught.value.message


def test_all_faults_are_told_at_once() -> None:
    faulty = ACME.replace("Alice Archer", "(").replace("alice@acme.example", "@")
    faulty += REQUIREMENT.replace("3600", "1")

    with pytest.raises(InvalidFile) as caught:
        Document(faulty, "acme.toml")

    lines = [int(line.split(":")[1]) for line in caught.value.message.split("\n")[1:]]
    assert lines == [
        line_of(faulty, '"("'),
        line_of(faulty, '"@"'),
        line_of(faulty, "max_age = 1"),
    ]
    assert caught.value.message.startswith("acme.toml has 3 faults; nothing was changed:\n")


def test_of_a_thousand_faults_some_are_shown() -> None:
    text = "\n".join(f"[users.u{n}]\nname = 'U'\nemail = '@'" for n in range(1000))

    with pytest.raises(InvalidFile) as caught:
        Document(text, "acme.toml")

    assert caught.value.message.endswith("\n… and 970 more.")


def test_the_line_of_a_statement_over_several_lines_is_its_first() -> None:
    text = (
        '# ü\u2028\n\na = [\n  1,\n\n  2,\n]\n\n[b]\nc = """\nx\n"""\nd.e = 1\n[b.f]\ng = { h = 1 }'
    )
    lines = Lines(text)
    paths = ("a",), ("a", 1), ("b",), ("b", "c"), ("b", "d", "e"), ("b", "f"), ("b", "f", "g", "h")

    assert [lines.of(path) for path in paths] == [3, 3, 9, 10, 13, 14, 15]


keys = st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1, max_size=8)


@given(keys, st.data())
def test_a_line_is_found_wherever_it_is(names: list[str], data: st.DataObject) -> None:
    values = st.sampled_from(["1", '"""\n"""', "[\n1\n]", "{ x = 1 }", "'a' # b\n"])
    starts, text = {}, ""
    for name in names:
        starts[name] = text.count("\n") + 1
        text += f"{name} = {data.draw(values)}\n"

    lines = Lines(text)
    assert {name: lines.of((name,)) for name in names} == starts
