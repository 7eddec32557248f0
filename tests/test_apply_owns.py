"""`amrgate-ca apply` takes away what an earlier file spoke of, and nothing else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert

from ca.directory.apply.document import Document, InvalidFile
from ca.directory.apply.plan import going
from ca.directory.apply.rehearse import rehearse
from ca.ops.apply import show
from ca.store import sso, tables
from ca.store.engine import reading, writing
from ca.store.items import Directory, Item, Items
from tests.directory import ACME, apply_text, log_in

if TYPE_CHECKING:
    from ca.services import Services

pytest_plugins = ["tests.web"]

PROJECT = "abcdefg123456"
OTHER = """
[organizations.other]
members = { mallory = "owner" }
"""
REQUIREMENT = """
[organizations.acme.requirement]
amr = ["mfa"]
"""
NOTHING = """
[organizations.acme.requirement]
"""
DAVE = '[users.dave]\nname = "Dave Dunn"\nemail = "{}"\n'

# What the API and invitations have made: a person with a membership and a role, an environment
# with a service, a service user with a role, a provider.
BY_API: Directory = {
    Item("user", ("dave",)): {"name": "Dave Dunn", "email": "dave@elsewhere.example"},
    Item("service_user", ("deploy",)): {
        "organization_id": "acme",
        "name": "Deployer",
        "exempt": False,
    },
    Item("member", ("acme", "dave")): {"role": "viewer"},
    Item("provider", ("later",)): {"organization_id": "acme"},
    Item("environment", (PROJECT, "feature-x")): {"type": "development", "active": True},
    Item("service", (f"{PROJECT}-feature-x--app",)): {"host": "ssh.acme.example", "forwards": []},
    Item("access", (PROJECT, "dave", "project")): {"role": "viewer"},
    Item("access", (PROJECT, "deploy", "development")): {"role": "contributor"},
}
PEOPLE = {item for item in BY_API if item.kind == "user"}


@pytest.fixture
def acme(services: Services) -> Services:
    apply_text(services.engine, ACME)
    with writing(services.engine) as connection:
        Items(connection).add(BY_API)
    return services


def stored(services: Services) -> Directory:
    with reading(services.engine) as connection:
        return Items(connection).read()


def require_by_api(services: Services, username: str = "bob") -> None:
    answer = log_in(services, username, "pwd", "otp").post(
        "/organizations/acme/mfa-enforcement/enable"
    )
    assert answer.status_code == 204, answer.text


def test_what_no_file_spoke_of_is_left_alone(acme: Services) -> None:
    for _twice in range(2):
        assert apply_text(acme.engine, ACME) == []
        assert stored(acme).items() >= BY_API.items()


def test_what_is_left_alone_is_said_in_one_line(
    acme: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = rehearse(acme.engine, Document(ACME, "acme.toml")).plan
    show(planned, ("to add", "to change", "to remove"))

    assert set(planned.left) == BY_API.keys()
    assert capsys.readouterr().out == (
        "Left alone, because no file has named them: user dave, service_user deploy,"
        f" member acme dave, provider later, environment {PROJECT} feature-x,"
        f" service {PROJECT}-feature-x--app, access {PROJECT} dave project,"
        f" access {PROJECT} deploy development.\n"
        "Nothing to change.\n"
    )


def test_a_file_may_take_over_what_it_did_not_make_and_give_it_up_again(acme: Services) -> None:
    named = ACME + DAVE.format("dave@elsewhere.example")
    assert apply_text(acme.engine, named) == []

    gone = {change.item for change in apply_text(acme.engine, ACME)}

    # With the person goes what only they had.
    assert gone == {item for item in BY_API if "dave" in item.key}


def test_what_hangs_on_something_that_goes_goes_with_it(acme: Services) -> None:
    changes = apply_text(acme.engine, "")

    assert {str(change.item) for change in changes} > {str(one) for one in BY_API.keys() - PEOPLE}
    assert stored(acme).keys() == PEOPLE


def test_roles_that_were_given_do_not_move_with_a_project_to_another_organization(
    acme: Services,
) -> None:
    """They were given by the organization that had it."""
    moved = (ACME + OTHER).replace('organization = "acme"', 'organization = "other"')

    gone = {change.item for change in apply_text(acme.engine, moved) if change.after is None}

    assert gone == {item for item in BY_API if item.kind == "access"}


@pytest.mark.attack(154)
def test_a_service_user_of_another_organization_is_not_taken_over(acme: Services) -> None:
    """Its admins chose the name and have its API tokens: they would get what the file gives."""
    named = OTHER + '[organizations.other.service_users.deploy]\nname = "Deployer"\n'
    before = stored(acme)

    with pytest.raises(InvalidFile, match="is a service user of acme"):
        apply_text(acme.engine, ACME + named)

    assert stored(acme) == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (DAVE.replace("dave", "david").format("dave@elsewhere.example"), "is the address of dave"),
        (DAVE.format("dave2@acme.example").replace("dave", "deploy", 1), "name of another user"),
    ],
)
def test_nobody_who_is_left_alone_is_taken_for_somebody_else(
    acme: Services, text: str, words: str
) -> None:
    before = stored(acme)

    with pytest.raises(InvalidFile, match=words):
        apply_text(acme.engine, ACME + text)

    assert stored(acme) == before


def test_a_requirement_by_the_api_stays_until_a_file_speaks_of_it(acme: Services) -> None:
    require_by_api(acme)
    asked = Item("requirement", ("organization", "acme"))

    assert apply_text(acme.engine, ACME) == []
    assert asked in stored(acme)

    assert [str(one) for one in apply_text(acme.engine, ACME + NOTHING)] == [f"- {asked}"]
    require_by_api(acme)
    again = apply_text(acme.engine, ACME + NOTHING)
    assert [str(one) for one in again] == [f"- {asked}"], "the file says that there is none"


def test_a_requirement_of_a_file_goes_with_it(acme: Services) -> None:
    apply_text(acme.engine, ACME + REQUIREMENT)

    assert [change.sign for change in apply_text(acme.engine, ACME)] == ["-"]


def test_a_provider_does_not_go_while_the_api_requires_it(acme: Services) -> None:
    # As `sso/acme/enable` does.
    with writing(acme.engine) as connection:
        acme_id = connection.execute(tables.organizations.select()).one().id
        asked = {"subject": acme_id, "amr": ["sso:acme"], "max_age": None, "device": False}
        connection.execute(insert(tables.requirements).values(asked))
    without = ACME.replace("[organizations.acme.sso.acme]", "")
    before = stored(acme)

    with pytest.raises(InvalidFile, match="'acme' is required here, by the API"):
        apply_text(acme.engine, without)

    assert stored(acme) == before
    gone = {str(change) for change in apply_text(acme.engine, without + NOTHING)}
    assert gone == {"- provider acme", "- requirement organization acme"}


def test_a_file_that_requires_what_nobody_has_tried_says_so(
    acme: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    requiring = ACME.replace(
        "[organizations.acme.sso.acme]",
        '[organizations.acme.sso.acme]\nissuer = "https://login.example"\nclient_id = "us"',
    ) + REQUIREMENT.replace('"mfa"', '"mfa", "sso:acme"')
    document = Document(requiring, "acme.toml")

    assert rehearse(acme.engine, document).plan.untried == ["acme"]
    apply_text(acme.engine, requiring.replace(', "sso:acme"', ""))
    with writing(acme.engine) as connection:
        provider = sso.find_provider(connection, "acme")
        assert provider
        sso.note_tested(connection, provider, int(time.time()))
    assert rehearse(acme.engine, document).plan.untried == []

    moved = Document(requiring.replace("login.example", "id.example"), "acme.toml")
    planned = rehearse(acme.engine, moved).plan
    assert planned.untried == ["acme"], "it is as new"
    show(planned, ("to add", "to change", "to remove"))
    assert 'no owner or admin has logged in with "acme" yet' in capsys.readouterr().out


@pytest.mark.parametrize("owned", [frozenset[Item](), frozenset(BY_API)])
def test_only_what_is_owned_or_hangs_on_it_goes(owned: frozenset[Item]) -> None:
    assert going(BY_API, {}, owned) == owned
