"""`amrgate-ca apply`: a file becomes the directory, whole or not at all."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from ca import audit
from ca.directory.apply.diff import difference, summary
from ca.directory.apply.document import Document, InvalidFile
from ca.directory.apply.lines import Lines
from ca.directory.apply.rehearse import rehearse
from ca.errors import Conflict
from ca.identity.sso import logins
from ca.keys import keyring
from ca.ops.main import main
from ca.store import sso, tables
from ca.store.engine import open_engine, reading, writing
from ca.store.items import Directory, Items
from tests.directory import ACME, SERVICE, apply_text, records, version

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from ca.services import Services

pytest_plugins = ["tests.web"]

REQUIREMENT = """
[organizations.acme.requirement]
amr = ["mfa", "sso:acme"]
max_age = 3600
networks = ["192.0.2.0/24", "2001:db8::/32"]
device = true
"""
CLIENT = ACME.replace(
    "[organizations.acme.sso.acme]",
    """[organizations.acme.sso.acme]
label = "Acme's"
issuer = "https://login.acme.example"
client_id = "amrgate"
scopes = ["openid", "profile"]
mfa_values = ["mfa"]""",
)
OTHER = """
[organizations.other]
members = { mallory = "owner" }
"""


def stored(engine: Engine) -> Directory:
    with reading(engine) as connection:
        return Items(connection).read()


def test_the_directory_becomes_what_the_file_says(services: Services) -> None:
    changes = apply_text(services.engine, ACME + REQUIREMENT)

    assert {change.sign for change in changes} == {"+"}
    assert stored(services.engine) == Document(ACME + REQUIREMENT, "").directory


def test_a_second_time_changes_nothing(services: Services) -> None:
    apply_text(services.engine, ACME + REQUIREMENT)
    before = version(services.engine), records(services.engine)

    assert apply_text(services.engine, ACME + REQUIREMENT) == []
    assert (version(services.engine), records(services.engine)) == before


def test_every_change_bumps_the_version_and_is_recorded(services: Services) -> None:
    apply_text(services.engine, ACME)
    before, told = version(services.engine), len(records(services.engine))

    apply_text(services.engine, ACME + REQUIREMENT)

    assert version(services.engine) > before
    assert records(services.engine)[told:] == [
        ("requirement:add", "operator test", "organization acme")
    ]
    with reading(services.engine) as connection:
        audit.verify(connection)


def test_a_version_is_never_below_the_time(services: Services) -> None:
    """A database from a backup must not go back to versions that hosts have left behind."""
    apply_text(services.engine, ACME)
    before = version(services.engine)
    with writing(services.engine) as connection:
        connection.execute(update(tables.directory_version).values(version=5))

    apply_text(services.engine, ACME + REQUIREMENT)

    assert version(services.engine) >= before


def test_removing_everything_again(services: Services) -> None:
    apply_text(services.engine, ACME + REQUIREMENT + OTHER)

    changes = apply_text(services.engine, "")

    assert {change.sign for change in changes} == {"-"}
    assert stored(services.engine) == {}


def test_ids_stay_when_attributes_change(services: Services) -> None:
    def ids() -> set[str]:
        with reading(services.engine) as connection:
            found = [connection.execute(select(table.c.id)).scalars() for table in having_ids]
            return {one for ones in found for one in ones}

    having_ids = (tables.users, tables.organizations, tables.hosts)
    apply_text(services.engine, ACME)
    before = ids()

    changed = ACME.replace("Alice Archer", "Alice Baker").replace("Acme Corp", "ACME Corp")
    changes = apply_text(services.engine, changed)

    assert [change.sign for change in changes] == ["~", "~"]
    assert ids() == before


def test_a_project_moves_to_another_organization_while_its_own_is_removed(
    services: Services,
) -> None:
    apply_text(services.engine, ACME)
    moved = ACME.replace("[organizations.acme]", "[organizations.other]")
    moved = moved.replace("[organizations.acme.sso.acme]", "")
    moved = moved.replace('organization = "acme"', 'organization = "other"')

    apply_text(services.engine, moved)

    assert stored(services.engine) == Document(moved, "").directory


def test_an_address_goes_from_one_who_leaves_to_one_who_comes(services: Services) -> None:
    apply_text(services.engine, ACME)

    apply_text(services.engine, ACME.replace("mallory", "malory", 1))

    assert stored(services.engine) == Document(ACME.replace("mallory", "malory", 1), "").directory


def test_who_took_a_newcomers_name_gets_nothing_of_theirs(services: Services) -> None:
    """Whoever is invited chooses a name: not to be given what the operator means for another."""
    apply_text(services.engine, ACME)
    with writing(services.engine) as connection:
        of_alice = update(tables.users).where(tables.users.c.username == "alice")
        connection.execute(of_alice.values(email="squatter@elsewhere.example", email_verified_at=1))
    before = stored(services.engine)

    with pytest.raises(InvalidFile, match="proved another e-mail address"):
        apply_text(services.engine, ACME + REQUIREMENT)

    assert stored(services.engine) == before


def test_a_swap_of_addresses_is_refused_whole(services: Services) -> None:
    apply_text(services.engine, ACME)
    swapped = ACME.replace("alice@", "x@").replace("bob@", "alice@").replace("x@", "bob@")
    before = stored(services.engine), version(services.engine), records(services.engine)

    with pytest.raises(Conflict, match="in two steps"):
        apply_text(services.engine, swapped + REQUIREMENT)

    after = stored(services.engine), version(services.engine), records(services.engine)
    assert after == before


@pytest.mark.attack(142)
@pytest.mark.parametrize("owner", ["acme", "other"])
def test_a_slug_is_never_used_again(services: Services, owner: str) -> None:
    with_provider = ACME + OTHER
    without = with_provider.replace("[organizations.acme.sso.acme]", "")
    apply_text(services.engine, with_provider)
    apply_text(services.engine, without)
    again = f"{without}\n[organizations.{owner}.sso.acme]\n"

    with pytest.raises(InvalidFile, match="slugs are never used again") as caught:
        apply_text(services.engine, again)

    assert f"acme.toml:{line_of(again, 'sso.acme')}:" in caught.value.message
    assert stored(services.engine) == Document(without, "").directory


@pytest.mark.attack(142)
def test_a_provider_does_not_change_hands(services: Services) -> None:
    apply_text(services.engine, ACME + OTHER)
    taken = ACME.replace("[organizations.acme.sso.acme]", "") + OTHER

    with pytest.raises(InvalidFile, match="slugs are never used again"):
        apply_text(services.engine, f"{taken}\n[organizations.other.sso.acme]\n")


def provider_of(engine: Engine) -> sso.Provider:
    with reading(engine) as connection:
        found = sso.find_provider(connection, "acme")
    assert found
    return found


def test_the_file_says_how_a_provider_is_asked(services: Services) -> None:
    apply_text(services.engine, CLIENT)
    assert stored(services.engine) == Document(CLIENT, "").directory
    made = provider_of(services.engine)
    assert (made.label, made.issuer, made.client_id) == (
        "Acme's",
        "https://login.acme.example",
        "amrgate",
    )
    assert (made.scopes, made.mfa_values) == (("openid", "profile"), ("mfa",))
    assert (made.domains, made.client_secret_sealed, made.tested_at) == ((), None, None)

    assert apply_text(services.engine, CLIENT) == []
    assert apply_text(services.engine, ACME) == [], "then the API says it: nothing is lost"
    assert provider_of(services.engine) == made
    gone = apply_text(services.engine, ACME.replace("[organizations.acme.sso.acme]", ""))
    assert {str(change.item) for change in gone} == {"provider acme", "client acme"}


@pytest.mark.parametrize(
    ("before", "after", "keeps"),
    [
        ("Acme's", "Ours", {"trial", "secret"}),
        ('["mfa"]', "[]", {"trial", "secret"}),
        ('"amrgate"', '"other"', {"secret"}),
        ("https://login.acme", "https://id.acme", set[str]()),
    ],
)
def test_a_provider_that_moves_must_be_tested_again(
    services: Services, before: str, after: str, keeps: set[str]
) -> None:
    apply_text(services.engine, CLIENT)
    known = replace(
        provider_of(services.engine),
        client_secret_sealed=b"sealed",
        domains=("acme.example",),
        tested_at=1,
    )
    with writing(services.engine) as connection:
        sso.put_client(connection, known)
    text = CLIENT.replace(before, after)
    planned = rehearse(services.engine, Document(text, "acme.toml")).plan.changes
    (shown,) = map(str, planned)
    assert shown.startswith("~ client acme  ")
    assert ("client_id " in shown) is (before == '"amrgate"')

    assert apply_text(services.engine, text) == planned

    now = provider_of(services.engine)
    kept = {"trial": now.tested_at == 1, "secret": now.client_secret_sealed == b"sealed"}
    assert {name for name, is_kept in kept.items() if is_kept} == keeps
    assert now.domains == ("acme.example",), "the operator's, by their own command"
    assert stored(services.engine) == Document(text, "").directory


def test_the_operator_gives_a_provider_its_secret(tmp_path: Path) -> None:
    data, file, passphrase = tmp_path / "ca", tmp_path / "acme.toml", tmp_path / "passphrase"
    passphrase.touch(0o600)
    passphrase.write_text("correct horse battery staple")
    file.write_text(CLIENT)

    def operate(*words: str, typed: str = "") -> str:
        return CliRunner().invoke(main, (*words, "--data", str(data)), input=typed).output

    with_keys = ("--passphrase-file", str(passphrase))
    operate("init", *with_keys)
    operate("apply", str(file))
    assert operate("sso", "secret", "acme", *with_keys, typed="s3cret\n") == (
        "acme: the secret is stored\n"
    )

    engine = open_engine(f"sqlite:///{data / 'amrgate.db'}")
    seal = keyring.unlock(data, passphrase.read_bytes()).seal
    assert logins.registration_of(seal, provider_of(engine)).secret == "s3cret"
    assert ("provider:secret", "acme") in [(one[0], one[2]) for one in records(engine)]
    assert "There is no provider" in operate("sso", "secret", "other", *with_keys, typed="x")
    assert "at most" in operate("sso", "secret", "acme", *with_keys, typed="x" * 1025)
    assert operate("sso", "secret", "acme", *with_keys) == "acme: no secret\n"
    assert provider_of(engine).client_secret_sealed is None
    engine.dispose()


def test_a_preview_changes_nothing(services: Services) -> None:
    changes = rehearse(services.engine, Document(ACME, "acme.toml")).plan.changes

    assert changes
    assert stored(services.engine) == {}
    assert version(services.engine) == 0
    assert records(services.engine) == []


def test_a_difference_reads_well() -> None:
    before = Document(ACME, "").directory
    after = Document(
        ACME.replace('"Alice Archer"', '"Alïce"').replace('bob = "admin", ', 'bob = "owner", ')
        + REQUIREMENT,
        "",
    ).directory

    changes = difference(before, after)

    assert [str(change) for change in changes] == [
        '~ user alice  name "Alice Archer" → "Alïce"',
        '~ member acme bob  role "admin" → "owner"',
        (
            '+ requirement organization acme  amr ["mfa", "sso:acme"]  max_age 3600'
            '  networks ["192.0.2.0/24", "2001:db8::/32"]  device true  report_only false'
        ),
    ]
    words = ("to add", "to change", "to remove")
    assert summary(changes, words) == "1 to add, 2 to change, 0 to remove"


def line_of(text: str, what: str) -> int:
    return next(n for n, line in enumerate(text.split("\n"), 1) if what in line)


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
    "no whole minutes": (ACME + REQUIREMENT.replace("3600", "3601"), "3601 is not"),
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


def test_what_the_services_are_called(services: Services) -> None:
    apply_text(services.engine, ACME)
    with reading(services.engine) as connection:
        rows = connection.execute(select(tables.services)).mappings().all()

    assert [dict(row) for row in rows] == [
        {
            "name": SERVICE,
            "project_id": "abcdefg123456",
            "environment": "main-bvxea6i",
            "host": "ssh.acme.example",
            "forwards": ["127.0.0.1:8080"],
        }
    ]
