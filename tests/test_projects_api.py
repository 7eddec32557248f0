"""Projects, environments and services by the API: who sees what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event

from tests.directory import SERVICE, apply_text, log_in
from tests.shop import HERE, HOST, MAIN, SHOP, everything, links_to_ssh

if TYPE_CHECKING:
    from ca.services import Services

pytest_plugins = ["tests.web"]


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
