"""Whatever asks less of logins is told to the owners and admins, whoever did it and however."""

from __future__ import annotations

from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING

import pytest

from ca.directory import loosened
from tests.databases import new_sqlite
from tests.directory import ACME, SERVICE, apply_text, log_in
from tests.web import new_services

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ca.services import Services

BOTH = ["bob@acme.example", "olga@acme.example"]
WITH_OLGA = (
    ACME.replace('{ bob = "admin"', '{ olga = "owner", bob = "admin"')
    + '\n[users.olga]\nname = "Olga"\nemail = "olga@acme.example"\n'
)
PROJECT = "abcdefg123456"
WORK = {"slug": "work", "issuer": "https://login.example", "client_id": "us"}


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[Services]:
    with new_services(new_sqlite(tmp_path), tmp_path) as services:
        apply_text(services.engine, WITH_OLGA)
        yield services


def letters(services: Services) -> list[tuple[str, str]]:
    """Who was told, and what; read once."""
    found = []
    for file in sorted((services.settings.data / "mail").glob("*.eml")):
        mail = message_from_bytes(file.read_bytes(), policy=default)
        assert mail["Subject"] == "acme: less is required"
        found.append((mail["To"], " ".join(mail.get_content().split())))
        file.unlink()
    return sorted(found)


def apply(services: Services, text: str) -> None:
    """As the operator's command does."""
    changes = apply_text(services.engine, text)
    loosened.announce(services.engine, services.settings, "operator test", changes)


def requires(what: str, name: str, rule: str) -> str:
    return f"{WITH_OLGA}\n[{what}.{name}.requirement]\n{rule}\n"


@pytest.mark.attack(150)
@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        pytest.param(
            requires("organizations", "acme", 'amr = ["mfa"]\nmax_age = 600'),
            requires("organizations", "acme", 'amr = ["mfa"]\nmax_age = 1200'),
            "what the organization acme requires of logins, so that it asks for less. It is now:"
            " mfa, a login of the last 20 minutes.",
            id="a longer time",
        ),
        pytest.param(
            requires("organizations", "acme", 'amr = ["mfa"]'),
            WITH_OLGA,
            "organization acme requires of logins, so that it asks for less. It is now: nothing.",
            id="nothing",
        ),
        pytest.param(
            requires("projects", PROJECT, 'amr = ["mfa"]'),
            requires("projects", PROJECT, 'amr = ["mfa"]\ndevice = true'),
            f"what the project {PROJECT} requires",
            id="a project",
        ),
        pytest.param(
            requires("services", SERVICE, 'networks = ["192.0.2.0/24"]'),
            WITH_OLGA,
            f"what the service {SERVICE} requires",
            id="a service",
        ),
        pytest.param(
            WITH_OLGA.replace("[organizations.acme]", "[organizations.acme]\nmax_offline = 900"),
            WITH_OLGA,
            "let its hosts decide longer without the CA. It is now 1 day.",
            id="hosts",
        ),
        pytest.param(
            WITH_OLGA.replace(
                "[organizations.acme]", "[organizations.acme]\ncertificate_lifetime = 300"
            ),
            WITH_OLGA,
            "let its certificates live longer. It is now 1 hour.",
            id="certificates",
        ),
    ],
)
def test_what_a_file_asks_less_is_told(acme: Services, before: str, after: str, said: str) -> None:
    apply(acme, before)
    assert letters(acme) == [], "more is asked"

    apply(acme, after)

    told = letters(acme)
    assert [to for to, _text in told] == BOTH
    assert all("operator test has " in text and said in text for _, text in told), told


def test_nothing_is_told_of_what_is_gone_as_a_whole(acme: Services) -> None:
    apply(acme, requires("services", SERVICE, 'amr = ["mfa"]'))
    service = WITH_OLGA.index("[services.")

    apply(acme, WITH_OLGA[:service] + WITH_OLGA[WITH_OLGA.index("[users.olga]") :])

    assert letters(acme) == []


@pytest.mark.attack(150)
def test_the_other_admins_are_told_of_what_one_does(acme: Services) -> None:
    bob = log_in(acme, "bob", "pwd", "otp")
    here = "/organizations/acme"
    steps = (
        (f"{here}/mfa-enforcement/enable", {"max_age": 600}, ""),
        (f"{here}/mfa-enforcement/enable", {"max_age": 900}, "the last 15 minutes"),
        (f"{here}/mfa-enforcement/disable", None, "It is now: nothing."),
        (f"{here}/sso", WORK, ""),
        (f"{here}/sso", WORK | {"slug": "home", "mfa_values": ["otp"]}, 'provider "home" says'),
    )
    for path, body, said in steps:
        assert bob.post(path, body).status_code in (201, 204), path
        told = letters(acme)
        assert [to for to, _text in told] == (BOTH[1:] if said else [])
        assert all(said in text and "Bob Baker (bob) has" in text for _, text in told)

    mapped = bob.http.patch(f"{here}/sso/work", json={"mfa_values": ["mfa"]})
    assert mapped.status_code == 200
    ((to, text),) = letters(acme)
    assert (to, "It is now: mfa." in text) == (BOTH[1], True)
    bob.http.patch(f"{here}/sso/work", json={"mfa_values": []})
    assert letters(acme) == []


@pytest.mark.attack(150)
def test_to_require_a_provider_no_more_is_told(acme: Services) -> None:
    apply(acme, requires("organizations", "acme", 'amr = ["sso:acme"]'))
    bob = log_in(acme, "bob", "pwd", "otp", "sso:acme")

    assert bob.post("/organizations/acme/sso/acme/disable").status_code == 204

    assert [to for to, _text in letters(acme)] == BOTH[1:]
