"""Projects, environments and services by the API: who sees what, and who may make what."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from ca.api.rules import RULES
from ca.directory import model
from ca.store import hosts
from ca.store.engine import reading, writing
from tests.databases import new_sqlite
from tests.directory import ACME, SERVICE, Api, apply_over_all, apply_text, log_in, records, version
from tests.documents import ROOT, commands
from tests.web import new_services

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ca.services import Services

pytest_plugins = ["tests.web"]

HERE = "/projects/abcdefg123456"
MAIN = f"{HERE}/environments/main-bvxea6i"
HOST = "ssh.acme.example"
# The shop has more environments, and other people on the same hosts.
SHOP = (
    ACME.replace(
        'main-bvxea6i = { type = "production" }\n',
        'main-bvxea6i = { type = "production" }\n'
        'dev-abc1234 = { type = "development" }\n'
        'old-abc1234 = { type = "production", active = false }\n',
    ).replace('carol = "viewer" }', 'carol = "viewer", dave = "owner" }')
    + """
[users.dave]
name = "Dave Dunn"
email = "dave@acme.example"

[users.erin]
name = "Erin Eaton"
email = "erin@acme.example"

[hosts."other.example"]

[services.abcdefg123456-main-bvxea6i--app--queue]
host = "ssh.acme.example"

[services.abcdefg123456-dev-abc1234--app]
host = "ssh.acme.example"

[services.abcdefg123456-old-abc1234--app]
host = "ssh.acme.example"

[organizations.evil]
members = { mallory = "owner" }

[projects.evilevil12345]
organization = "evil"
environments = { main-abc1234 = { type = "production" } }

[services.evilevil12345-main-abc1234--app]
host = "other.example"
forwards = ["127.0.0.1:5432"]
"""
)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """On SQLite, and one for all tests, each of which begins with the same directory."""
    folder = tmp_path_factory.mktemp("ca")
    with new_services(new_sqlite(folder), folder) as services:
        yield services


@pytest.fixture
def shop(ca: Services) -> Services:
    apply_over_all(ca.engine, SHOP)
    return ca


@pytest.fixture
def either(services: Services) -> Services:
    """On each database."""
    apply_text(services.engine, SHOP)
    return services


def links_to_ssh(environment: dict[str, Any]) -> dict[str, str]:
    return {
        name: link["href"]
        for name, link in environment["_links"].items()
        if name.startswith("pf:ssh:")
    }


def names(answer: Any) -> list[str]:
    return [one["name"] for one in answer.json()]


def everything(api: Api) -> Any:
    return api.get(f"{HERE}/environments").json()


# --- reading --------------------------------------------------------------------------------


def test_a_project_is_shown_to_whoever_has_a_role_in_it(shop: Services) -> None:
    alice, dave, erin = (log_in(shop, name, "pwd") for name in ("alice", "dave", "erin"))

    shown = alice.get(HERE).json()

    assert (shown["title"], shown["owner"]) == ("The shop", dave.user.id)
    assert shown["_links"]["self"]["href"] == HERE
    assert shown["_links"]["environments"]["href"] == f"{HERE}/environments"
    assert "#edit" not in shown["_links"]
    assert dave.get(HERE).json()["_links"]["#edit"]["href"] == HERE
    assert erin.get(HERE).status_code == 404


def test_environments_are_a_bare_list_with_links_where_one_may_connect(shop: Services) -> None:
    found = everything(log_in(shop, "carol", "pwd"))

    main = next(one for one in found if one["id"] == "main-bvxea6i")
    assert links_to_ssh(main) == {
        "pf:ssh:app": f"ssh://{SERVICE}@{HOST}",
        "pf:ssh:app:0": f"ssh://{SERVICE}--0@{HOST}",
        "pf:ssh:app--queue": f"ssh://{SERVICE}--queue@{HOST}",
        "pf:ssh:app--queue:0": f"ssh://{SERVICE}--queue--0@{HOST}",
    }
    assert main["_links"]["self"]["href"] == MAIN


@pytest.mark.parametrize(
    ("username", "seen", "linked"),
    [
        pytest.param("alice", ["dev-abc1234", "main-bvxea6i", "old-abc1234"], 2, id="contributor"),
        pytest.param("carol", ["main-bvxea6i", "old-abc1234"], 1, id="of one type"),
        pytest.param("bob", ["dev-abc1234", "main-bvxea6i", "old-abc1234"], 2, id="admin"),
        # They decide about the project, but have no role that opens a service.
        pytest.param("dave", ["dev-abc1234", "main-bvxea6i", "old-abc1234"], 0, id="owner"),
    ],
)
def test_each_sees_their_environments(
    shop: Services, username: str, seen: list[str], linked: int
) -> None:
    found = everything(log_in(shop, username, "pwd"))

    assert [one["id"] for one in found] == seen
    assert len([one for one in found if links_to_ssh(one)]) == linked


def test_a_viewer_sees_what_runs_but_no_way_to_it(shop: Services) -> None:
    apply_text(
        shop.engine,
        SHOP.replace('carol = { production = "contributor" }', 'carol = { production = "viewer" }'),
    )
    carol = log_in(shop, "carol", "pwd")

    environment = carol.get(MAIN).json()
    running = carol.get(f"{MAIN}/deployments/current").json()

    assert not links_to_ssh(environment)
    assert running["webapps"] == {"app": {"name": "app", "type": ""}}
    assert list(running["workers"]) == ["app--queue"]
    assert running["_links"]["self"]["href"] == f"{MAIN}/deployments/current"
    assert HOST not in str((environment, running))


def test_nothing_runs_in_an_inactive_environment(shop: Services) -> None:
    alice = log_in(shop, "alice", "pwd")
    old = f"{HERE}/environments/old-abc1234"

    assert alice.get(old).json()["status"] == "inactive"
    assert not links_to_ssh(alice.get(old).json())
    assert alice.get(f"{old}/deployments/current").status_code == 404


@pytest.mark.parametrize("route", ["", "/deployments/current", "/services"])
def test_an_environment_that_one_may_not_see_looks_like_none(shop: Services, route: str) -> None:
    carol = log_in(shop, "carol", "pwd")

    unseen = carol.get(f"{HERE}/environments/dev-abc1234{route}")
    missing = carol.get(f"{HERE}/environments/dev-nothing{route}")

    assert unseen.status_code == 404
    assert (unseen.headers, unseen.json()) == (missing.headers, missing.json())


def test_a_service_that_is_for_another_network_is_not_named(shop: Services) -> None:
    guard = f'\n[services.{SERVICE}--queue.requirement]\nnetworks = ["198.51.100.0/24"]\n'
    apply_text(shop.engine, SHOP + guard)
    alice = log_in(shop, "alice", "pwd")

    assert "queue" not in alice.get(MAIN).text
    assert "queue" not in alice.get(f"{MAIN}/deployments/current").text


def test_a_service_that_asks_for_more_is_named(shop: Services) -> None:
    apply_text(shop.engine, SHOP + f'\n[services.{SERVICE}.requirement]\namr = ["mfa"]\n')

    # Who connects is told what to do; who is not shown the name could not.
    assert "pf:ssh:app" in log_in(shop, "alice", "pwd").get(MAIN).json()["_links"]


@pytest.mark.parametrize(
    "route", ["", "/environments", "/environments/main-bvxea6i", "/user-access"]
)
@pytest.mark.parametrize("of", ["organizations.acme", "projects.abcdefg123456"])
def test_what_organization_and_project_require_is_asked_for(
    shop: Services, route: str, of: str
) -> None:
    apply_text(shop.engine, f'{SHOP}\n[{of}.requirement]\namr = ["mfa", "sso:acme"]\n')

    refused = log_in(shop, "alice", "pwd", "otp").get(HERE + route)

    assert refused.status_code == 401
    assert refused.json()["amr"] == ["mfa", "sso:acme"]
    assert log_in(shop, "alice", "pwd", "otp", "sso:acme").get(HERE + route).status_code == 200
    assert log_in(shop, "mallory", "pwd").get(HERE + route).status_code == 404


def test_two_hundred_environments_take_no_more_queries_than_one(shop: Services) -> None:
    more = [f'e{number}-abc = {{ type = "production" }}\n' for number in range(200)]
    many = SHOP.replace("dev-abc1234 = { type", "".join(more) + "dev-abc1234 = { type")
    many += "".join(
        f'[services.abcdefg123456-e{number}-abc--app]\nhost = "{HOST}"\n' for number in range(200)
    )
    alice = log_in(shop, "alice", "pwd")
    asked: list[str] = []
    event.listen(shop.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    few = (len(everything(alice)), len(asked))
    apply_text(shop.engine, many)
    asked.clear()

    found = everything(alice)

    assert (len(found), few[0]) == (203, 3)
    assert len([one for one in found if links_to_ssh(one)]) == 202
    assert len(asked) == few[1]


# --- changing -------------------------------------------------------------------------------


def test_an_admin_makes_changes_and_removes_an_environment(either: Services) -> None:
    bob = log_in(either, "bob", "pwd")
    told, before = len(records(either.engine)), version(either.engine)

    made = bob.post(f"{HERE}/environments", {"name": "new-abc1234", "type": "staging"})
    here = made.json()["_links"]["self"]["href"]
    changed = bob.http.patch(here, json={"type": "development", "status": "inactive"})

    assert (made.status_code, made.json()["status"]) == (201, "active")
    assert (changed.json()["type"], changed.json()["status"]) == ("development", "inactive")
    assert bob.get(here).json() == changed.json()
    assert bob.http.delete(here).status_code == 204
    assert bob.get(here).status_code == 404
    events = ("environment:add", "environment:change", "environment:remove")
    where = "abcdefg123456 new-abc1234"
    assert records(either.engine)[told:] == [(one, bob.user.id, where) for one in events]
    assert version(either.engine) > before


def test_an_environment_goes_with_its_services(shop: Services) -> None:
    bob = log_in(shop, "bob", "pwd")

    assert bob.http.delete(MAIN).status_code == 204

    with reading(shop.engine) as connection:
        served = [one.names for one in hosts.services_on(connection, HOST)]
    assert served == [("abcdefg123456-dev-abc1234--app",)]


def test_services_are_made_moved_and_removed(either: Services) -> None:
    bob = log_in(either, "bob", "pwd")
    new = {"app": "app", "worker": "mail", "host": HOST, "forwards": ["127.0.0.1:8080"]}

    made = bob.post(f"{MAIN}/services", new)
    here = made.json()["_links"]["self"]["href"]
    changed = bob.http.patch(here, json={"forwards": []})

    assert (made.status_code, made.json()["name"]) == (201, f"{SERVICE}--mail")
    assert (changed.status_code, changed.json()["forwards"]) == (200, [])
    assert "pf:ssh:app--mail" in bob.get(MAIN).json()["_links"]
    assert names(bob.get(f"{MAIN}/services")) == [SERVICE, f"{SERVICE}--mail", f"{SERVICE}--queue"]
    assert bob.http.delete(here).status_code == 204
    assert bob.http.delete(here).status_code == 404
    assert names(bob.get(f"{MAIN}/services")) == [SERVICE, f"{SERVICE}--queue"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "", {"title": "Mine"}),
        ("DELETE", "", None),
        ("POST", "/environments", {"name": "a", "type": "staging"}),
        ("PATCH", "/environments/main-bvxea6i", {"status": "inactive"}),
        ("DELETE", "/environments/main-bvxea6i", None),
        ("GET", "/environments/main-bvxea6i/services", None),
        ("POST", "/environments/main-bvxea6i/services", {"app": "a", "host": HOST}),
        ("PATCH", "/environments/main-bvxea6i/services/app", {"forwards": []}),
        ("DELETE", "/environments/main-bvxea6i/services/app", None),
    ],
)
def test_others_change_nothing(
    shop: Services, method: str, path: str, body: dict[str, Any] | None
) -> None:
    before, told = version(shop.engine), len(records(shop.engine))

    contributor = log_in(shop, "alice", "pwd").http.request(method, HERE + path, json=body)
    stranger = log_in(shop, "mallory", "pwd").http.request(method, HERE + path, json=body)

    assert (contributor.status_code, stranger.status_code) == (403, 404)
    assert (version(shop.engine), len(records(shop.engine))) == (before, told)


@pytest.mark.parametrize(
    ("place", "status"),
    [
        pytest.param({"host": HOST}, 201, id="where the organization lives"),
        pytest.param({"host": "other.example"}, 400, id="another's host"),
        pytest.param({"host": "nowhere.example"}, 400, id="a host that there is not"),
        pytest.param({"host": HOST, "forwards": ["127.0.0.1:8080"]}, 201, id="what is open there"),
        pytest.param({"host": HOST, "forwards": ["127.0.0.1:5432"]}, 400, id="open to others"),
        pytest.param({"host": HOST, "forwards": ["169.254.169.254:80"]}, 400, id="open to nobody"),
    ],
)
def test_where_an_organization_lives_is_the_operators_to_say(
    shop: Services, place: dict[str, Any], status: int
) -> None:
    bob = log_in(shop, "bob", "pwd")

    made = bob.post(f"{MAIN}/services", {"app": "new", **place})
    moved = bob.http.patch(f"{MAIN}/services/app", json=place)

    assert (made.status_code, moved.status_code) == (status, 200 if status == 201 else 400)


def test_one_cannot_ask_which_hosts_others_have(shop: Services) -> None:
    bob = log_in(shop, "bob", "pwd")

    others = bob.post(f"{MAIN}/services", {"app": "new", "host": "other.example"}).text
    nobodys = bob.post(f"{MAIN}/services", {"app": "new", "host": "nohow.example"}).text

    assert others.replace("other", "nohow") == nobodys


@pytest.mark.parametrize(
    ("app", "worker"), [("", ""), ("A", ""), ("a--b", ""), ("0", ""), ("a", "0"), ("a" * 110, "")]
)
def test_a_name_outside_the_grammar_is_none(shop: Services, app: str, worker: str) -> None:
    new = {"app": app, "worker": worker, "host": HOST}

    assert log_in(shop, "bob", "pwd").post(f"{MAIN}/services", new).status_code == 400


@pytest.mark.parametrize(
    "new",
    [
        {"name": "a--b", "type": "staging"},
        {"name": "Main", "type": "staging"},
        {"name": "a", "type": "test"},
        {"name": "a", "type": "staging", "status": "deleting"},
        {"name": "a", "type": "staging", "parent": "b"},
        {"type": "staging"},
    ],
)
def test_an_environment_outside_the_grammar_is_none(shop: Services, new: dict[str, str]) -> None:
    assert log_in(shop, "bob", "pwd").post(f"{HERE}/environments", new).status_code == 400


def test_what_is_there_is_not_made_again(shop: Services) -> None:
    bob = log_in(shop, "bob", "pwd")
    again = {"name": "main-bvxea6i", "type": "staging"}

    assert bob.post(f"{HERE}/environments", again).status_code == 409
    assert bob.post(f"{MAIN}/services", {"app": "app", "host": HOST}).status_code == 409


@pytest.mark.parametrize("path", ["/services/app", ""])
def test_what_is_required_of_one_service_is_not_shaken_off(shop: Services, path: str) -> None:
    apply_text(shop.engine, SHOP + f'\n[services.{SERVICE}.requirement]\namr = ["mfa"]\n')
    bob, dave = log_in(shop, "bob", "pwd"), log_in(shop, "dave", "pwd")

    assert bob.http.delete(MAIN + path).status_code == 409
    assert dave.http.delete(HERE).status_code == 409


def test_an_organization_does_not_use_up_its_hosts_accounts(
    either: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "MAX_NEW_SERVICES", 2)
    bob = log_in(either, "bob", "pwd")

    made = []
    for app in ("a", "b", "c"):
        made.append(bob.post(f"{MAIN}/services", {"app": app, "host": HOST}).status_code)
        bob.http.delete(f"{MAIN}/services/{app}")

    assert made == [201, 201, 409]


def test_a_project_is_renamed_by_its_admins_and_removed_by_its_organizations(
    either: Services,
) -> None:
    bob, dave = log_in(either, "bob", "pwd"), log_in(either, "dave", "pwd")
    told = len(records(either.engine))

    assert bob.http.patch(HERE, json={"title": "Other"}).json()["title"] == "Other"
    assert bob.http.patch(HERE, json={"title": "a\nb"}).status_code == 400
    assert dave.http.delete(HERE).status_code == 204

    assert dave.get(HERE).status_code == 404
    events = [one[0] for one in records(either.engine)[told:]]
    assert events[:2] == ["project:change", "project:remove"]
    assert events.count("access:remove") == 5
    assert events.count("service:remove") == 4
    with writing(either.engine) as connection:
        assert not hosts.services_on(connection, HOST)


def test_the_api_makes_what_apply_makes(either: Services) -> None:
    bob = log_in(either, "bob", "pwd")
    bob.post(f"{HERE}/environments", {"name": "new-abc1234", "type": "staging"})
    bob.post(f"{HERE}/environments/new-abc1234/services", {"app": "app", "host": HOST})
    new = SHOP.replace(
        "dev-abc1234 = { type", 'new-abc1234 = { type = "staging" }\ndev-abc1234 = { type'
    )

    changes = apply_text(
        either.engine, new + f'\n[services.abcdefg123456-new-abc1234--app]\nhost = "{HOST}"\n'
    )

    assert changes == []


def test_the_document_names_only_routes_that_there_are() -> None:
    page = (ROOT / "docs" / "api.md").read_text()

    named = re.findall(r"`((?:GET|POST|PATCH|DELETE) /[\w{}/-]+)`", page)

    assert len(named) > 15
    assert set(named) <= RULES.keys()


def test_the_documents_request_does_what_it_says(shop: Services) -> None:
    page = ROOT / "docs" / "api.md"
    (text,) = [one.text for one in commands(page) if one.text.startswith("POST ")]
    method, path, body = text.split(maxsplit=2)

    made = log_in(shop, "bob", "pwd").http.request(method, path, json=json.loads(body))

    assert (made.status_code, made.json()["type"]) == (201, "staging")
