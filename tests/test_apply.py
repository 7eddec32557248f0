"""`amrgate-ca apply`: a file becomes the directory, whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from ca import audit
from ca.directory.apply.diff import difference, summary
from ca.directory.apply.document import Document, InvalidFile
from ca.directory.apply.rehearse import rehearse
from ca.errors import Conflict
from ca.identity.sso import logins
from ca.keys import keyring
from ca.ops.main import main
from ca.store import sso, tables
from ca.store.engine import open_engine, reading, writing
from ca.store.items import Directory, Items
from tests.directory import (
    ACME,
    CLIENT,
    OTHER,
    REQUIREMENT,
    SERVICE,
    apply_text,
    line_of,
    records,
    version,
)

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from ca.services import Services

pytest_plugins = ["tests.web"]


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
