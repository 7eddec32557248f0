"""Roles in projects by the API, and the references with which lists of people are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from ca.api import references
from ca.store import hosts
from ca.store.engine import reading
from tests.directory import ACME, Api, apply_over_all, apply_text, log_in, records, version

if TYPE_CHECKING:
    from ca.services import Services

pytest_plugins = ["tests.web"]

HERE = "/projects/abcdefg123456/user-access"
# dave decides about the organization, and erin is a member without a role in the project.
TEAM = (
    ACME.replace('carol = "viewer" }', 'carol = "viewer", dave = "owner", erin = "viewer" }')
    + '\n[users.dave]\nname = "Dave"\nemail = "dave@acme.example"\n'
    + '\n[users.erin]\nname = "Erin"\nemail = "erin@acme.example"\n'
)


@pytest.fixture
def team(one_ca: Services) -> Services:
    """One CA for all tests, each of which begins with the same directory."""
    apply_over_all(one_ca.engine, TEAM)
    return one_ca


def of(services: Services, username: str) -> str:
    return log_in(services, username, "pwd").user.id


def access(services: Services) -> set[tuple[str, str]]:
    """What the host is told: scope and role of erin."""
    erin = of(services, "erin")
    with reading(services.engine) as connection:
        rows = hosts.access_on(connection, "ssh.acme.example")
    return {(scope, role) for _, user, scope, role in rows if user == erin}


def give(api: Api, user_id: str, *permissions: str) -> Any:
    return api.post(HERE, [{"user_id": user_id, "permissions": list(permissions)}])


@pytest.mark.parametrize("who", ["bob", "dave"])
def test_roles_are_given_changed_and_taken_away(team: Services, who: str) -> None:
    api, erin = log_in(team, who, "pwd"), of(team, "erin")
    told, before = len(records(team.engine)), version(team.engine)

    assert give(api, erin, "viewer", "production:contributor").status_code == 204
    assert access(team) == {("project", "viewer"), ("production", "contributor")}
    given = version(team.engine)
    assert given > before
    shown = api.get(f"{HERE}/{erin}").json()
    assert shown["permissions"] == ["viewer", "production:contributor"]
    changed = api.http.patch(f"{HERE}/{erin}", json={"permissions": ["staging:admin"]})
    assert changed.status_code == 204
    assert access(team) == {("staging", "admin")}
    assert api.http.delete(f"{HERE}/{erin}").status_code == 204
    assert access(team) == set()
    assert version(team.engine) > given
    assert api.http.delete(f"{HERE}/{erin}").status_code == 404

    where = "abcdefg123456 erin"
    assert set(records(team.engine)[told:]) == {
        (f"access:{action}", api.user.id, f"{where} {scope}")
        for action, scope in (
            ("add", "project"),
            ("add", "production"),
            ("remove", "project"),
            ("remove", "production"),
            ("add", "staging"),
            ("remove", "staging"),
        )
    }


@pytest.mark.parametrize("who", ["alice", "erin", "mallory"])
def test_others_give_nobody_a_role_least_of_all_themselves(team: Services, who: str) -> None:
    api, erin = log_in(team, who, "pwd"), of(team, "erin")
    before = version(team.engine)
    refused = 403 if who == "alice" else 404

    assert give(api, api.user.id, "admin").status_code == refused
    assert give(api, erin, "viewer").status_code == refused
    change = {"permissions": ["admin"]}
    assert api.http.patch(f"{HERE}/{api.user.id}", json=change).status_code == refused
    assert api.http.delete(f"{HERE}/{of(team, 'bob')}").status_code == refused
    assert version(team.engine) == before


def test_whoever_is_not_a_member_is_not_told_from_nobody(team: Services) -> None:
    api, mallory = log_in(team, "bob", "pwd"), of(team, "mallory")
    nobody = "00000000-0000-4000-8000-000000000000"

    answers = [give(api, one, "viewer") for one in (mallory, nobody)]

    assert [one.status_code for one in answers] == [400, 400]
    assert answers[0].text.replace(mallory, nobody) == answers[1].text


def test_all_are_given_their_roles_or_nobody(team: Services) -> None:
    api, erin = log_in(team, "bob", "pwd"), of(team, "erin")
    again = {"user_id": of(team, "alice"), "permissions": ["viewer"]}

    response = api.post(HERE, [{"user_id": erin, "permissions": ["viewer"]}, again])

    assert response.status_code == 409
    assert access(team) == set()


@pytest.mark.parametrize(
    "permissions",
    [[], ["owner"], ["production"], ["project:admin"], ["viewer", "admin"], ["contributor"]],
)
def test_what_is_no_role_is_not_given(team: Services, permissions: list[str]) -> None:
    api, erin = log_in(team, "bob", "pwd"), of(team, "erin")

    assert give(api, erin, *permissions).status_code == 400


# --- lists and references -------------------------------------------------------------------


def test_a_list_is_read_page_by_page_in_both_directions(team: Services) -> None:
    api = log_in(team, "bob", "pwd")
    everybody = [one["user_id"] for one in api.get(HERE).json()["items"]]

    page = api.get(f"{HERE}?page[size]=2").json()
    last = api.get(page["_links"]["next"]["href"]).json()
    first = api.get(last["_links"]["previous"]["href"]).json()

    found = [[one["user_id"] for one in one["items"]] for one in (page, last, first)]
    assert found == [everybody[:2], everybody[2:], everybody[:2]]
    assert len(everybody) == 3
    assert "previous" not in page["_links"]
    assert "next" not in last["_links"]
    down = api.get(f"{HERE}?sort=-user_id&page[size]=2").json()
    rest = api.get(down["_links"]["next"]["href"]).json()
    items = [one["user_id"] for one in down["items"] + rest["items"]]
    assert items == everybody[::-1]


@pytest.mark.parametrize("direction", ["", "sort=-user_id&"])
def test_a_page_that_is_empty_by_now_is_answered(team: Services, direction: str) -> None:
    api = log_in(team, "dave", "pwd")
    page = api.get(f"{HERE}?{direction}page[size]=2").json()
    following = page["_links"]["next"]["href"]
    last = api.get(following).json()
    for one in last["items"]:
        api.http.delete(f"{HERE}/{one['user_id']}")
    assert api.get(following).json()["items"] == []
    for one in page["items"]:
        api.http.delete(f"{HERE}/{one['user_id']}")
    empty = api.get(last["_links"]["previous"]["href"])
    assert (empty.status_code, empty.json()["items"]) == (200, [])


@pytest.mark.parametrize(
    "query", ["page[size]=0", "page[size]=201", "page[after]=x", "sort=name", "filter[name]=x"]
)
def test_what_a_list_does_not_know_is_refused(team: Services, query: str) -> None:
    assert log_in(team, "bob", "pwd").get(f"{HERE}?{query}").status_code == 400


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 2),
        ("filter[resource_type]=project", 1),
        ("filter[resource_type][eq]=organization", 1),
        ("filter[resource_type][ne]=project", 1),
        ("filter[resource_type][in]=project,organization", 2),
        ("filter[resource_type][nin]=project,organization", 0),
        ("filter[resource_id][starts]=abcdefg", 1),
        ("filter[resource_id][contains]=cdef", 1),
        ("filter[resource_id][ends]=456", 1),
        ("filter[permissions]=production:contributor", 1),
        ("filter[permissions][ne]=production:contributor", 1),
        ("filter[resource_type]=project&filter[resource_id]=other", 0),
    ],
)
def test_a_list_is_filtered(team: Services, query: str, found: int) -> None:
    alice = log_in(team, "alice", "pwd")
    path = f"/users/{alice.user.id}/extended-access?{quote(query, safe='=&')}"

    assert len(alice.get(path).json()["items"]) == found


@pytest.mark.parametrize(
    ("words", "found"), [("gt", 0), ("gte", 1), ("lt", 0), ("lte", 1), ("between", 1)]
)
def test_times_are_compared_as_times(team: Services, words: str, found: int) -> None:
    alice = log_in(team, "alice", "pwd")
    path = f"/users/{alice.user.id}/organizations"
    made: str = alice.get(path).json()["items"][0]["created_at"]
    value = quote(made.replace("Z", "+00:00"))
    value = f"{value},{value}" if words == "between" else value

    answer = alice.get(f"{path}?filter[created_at][{words}]={value}")

    assert len(answer.json()["items"]) == found


def link(api: Api) -> str:
    href: str = api.get(HERE).json()["_links"]["ref:users:0"]["href"]
    return href


def test_references_are_only_for_whoever_was_given_them(team: Services) -> None:
    bob, alice = log_in(team, "bob", "pwd"), log_in(team, "alice", "pwd")
    given, mallory = link(bob), of(team, "mallory")

    assert len(bob.get(given).json()) == 3
    for changed in (
        given.replace("in=", f"in={mallory},"),
        given.replace("/ref/users", "/ref/projects"),
        given[:-2],
        given.partition("&sig=")[0] + "&sig=",
        given.partition("&sig=")[0],
        given.replace("sig=", "sig=9"),
    ):
        assert bob.get(changed).status_code == 400
    assert alice.get(given).status_code == 400


def test_references_grow_old(team: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = log_in(team, "bob", "pwd")
    monkeypatch.setattr(references, "LIFETIME", -1)

    assert bob.get(link(bob)).status_code == 400


def test_whoever_is_gone_is_null_and_nobodys_factors_are_told(team: Services) -> None:
    bob, carol = log_in(team, "bob", "pwd"), of(team, "carol")
    given = link(bob)
    head, _, tail = TEAM.replace('carol = "viewer", ', "").partition("[users.carol]")
    without = head + tail.partition("\n\n")[2]
    apply_text(team.engine, without.replace('carol = { production = "contributor" }\n', ""))

    found = bob.get(given).json()

    assert found[carol] is None
    assert {"id", "email", "username", "first_name", "last_name"} <= found[bob.user.id].keys()
    assert not found[bob.user.id]["mfa_enabled"]


def test_many_references_are_several_links(team: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "IN_ONE_LINK", 2)
    bob = log_in(team, "bob", "pwd")

    links = bob.get(HERE).json()["_links"]

    found = [bob.get(links[f"ref:users:{number}"]["href"]).json() for number in (0, 1)]
    assert [len(one) for one in found] == [2, 1]


# --- oneself --------------------------------------------------------------------------------


def test_one_gives_oneself_another_name(team: Services) -> None:
    alice = log_in(team, "alice", "pwd")
    here = f"/users/{alice.user.id}"
    told = len(records(team.engine))

    changed = alice.http.patch(here, json={"first_name": "Zoë Ann", "company": ""})

    assert changed.json()["first_name"] == "Zoë Ann"
    assert alice.get("/users/me").json()["last_name"] == "Archer"
    assert records(team.engine)[told:] == [("user:change", alice.user.id, "alice")]
    assert alice.http.patch(here, json={"first_name": "Zoë Ann"}).status_code == 200
    assert len(records(team.engine)) == told + 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"first_name": "Alice (root)"}, id="parentheses"),
        pytest.param({"first_name": "A\x1b[2J"}, id="an escape"),
        pytest.param({"first_name": "A" * 64}, id="too long"),
        pytest.param({"first_name": "", "last_name": ""}, id="nothing"),
        pytest.param({"last_name": "Zoe\u0308"}, id="not in NFC"),
        pytest.param({"username": "dave2"}, id="a user name that a file may give to another"),
        pytest.param({"email": "alice at home"}, id="what is no address"),
        pytest.param({"company": "Acme"}, id="what is not kept"),
        pytest.param({"id": "x"}, id="what there is not"),
        pytest.param({"first_name": 1}, id="no text"),
    ],
)
def test_one_cannot_give_oneself_more(team: Services, change: dict[str, Any]) -> None:
    alice = log_in(team, "alice", "pwd")
    before = alice.get("/users/me").json()

    assert alice.http.patch(f"/users/{alice.user.id}", json=change).status_code == 400
    assert alice.get("/users/me").json() == before


def test_nobody_else_is_renamed(team: Services) -> None:
    bob, alice = log_in(team, "bob", "pwd", "otp"), log_in(team, "alice", "pwd")

    response = bob.http.patch(f"/users/{alice.user.id}", json={"first_name": "Al"})

    assert response.status_code == 404
