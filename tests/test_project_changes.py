"""Projects, environments and services by the API: who may make what, and what of it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from ca.api.rules import RULES
from ca.directory import model
from ca.store import hosts
from ca.store.engine import reading, writing
from tests.directory import SERVICE, apply_text, log_in, records, version
from tests.documents import ROOT, commands
from tests.shop import HERE, HOST, MAIN, SHOP, names

if TYPE_CHECKING:
    from ca.services import Services


def test_an_admin_makes_changes_and_removes_an_environment(either_shop: Services) -> None:
    bob = log_in(either_shop, "bob", "pwd")
    told, before = len(records(either_shop.engine)), version(either_shop.engine)

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
    assert records(either_shop.engine)[told:] == [(one, bob.user.id, where) for one in events]
    assert version(either_shop.engine) > before


def test_an_environment_goes_with_its_services(shop: Services) -> None:
    bob = log_in(shop, "bob", "pwd")

    assert bob.http.delete(MAIN).status_code == 204

    with reading(shop.engine) as connection:
        served = [one.names for one in hosts.services_on(connection, HOST)]
    assert served == [("abcdefg123456-dev-abc1234--app",)]


def test_services_are_made_moved_and_removed(either_shop: Services) -> None:
    bob = log_in(either_shop, "bob", "pwd")
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
    either_shop: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "MAX_NEW_SERVICES", 2)
    bob = log_in(either_shop, "bob", "pwd")

    made = []
    for app in ("a", "b", "c"):
        made.append(bob.post(f"{MAIN}/services", {"app": app, "host": HOST}).status_code)
        bob.http.delete(f"{MAIN}/services/{app}")

    assert made == [201, 201, 409]


def test_a_project_is_renamed_by_its_admins_and_removed_by_its_organizations(
    either_shop: Services,
) -> None:
    bob, dave = log_in(either_shop, "bob", "pwd"), log_in(either_shop, "dave", "pwd")
    told = len(records(either_shop.engine))

    assert bob.http.patch(HERE, json={"title": "Other"}).json()["title"] == "Other"
    assert bob.http.patch(HERE, json={"title": "a\nb"}).status_code == 400
    assert dave.http.delete(HERE).status_code == 204

    assert dave.get(HERE).status_code == 404
    events = [one[0] for one in records(either_shop.engine)[told:]]
    assert events[:2] == ["project:change", "project:remove"]
    assert events.count("access:remove") == 5
    assert events.count("service:remove") == 4
    with writing(either_shop.engine) as connection:
        assert not hosts.services_on(connection, HOST)


def test_the_api_makes_what_apply_makes(either_shop: Services) -> None:
    bob = log_in(either_shop, "bob", "pwd")
    bob.post(f"{HERE}/environments", {"name": "new-abc1234", "type": "staging"})
    bob.post(f"{HERE}/environments/new-abc1234/services", {"app": "app", "host": HOST})
    new = SHOP.replace(
        "dev-abc1234 = { type", 'new-abc1234 = { type = "staging" }\ndev-abc1234 = { type'
    )

    changes = apply_text(
        either_shop.engine, new + f'\n[services.abcdefg123456-new-abc1234--app]\nhost = "{HOST}"\n'
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
