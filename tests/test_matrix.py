"""Everybody against every route: the answers are those that ca/api/rules.py says.

The table and the routes are held against each other from both sides: a route without a rule, a
rule without a route, and a route that no request is known for, fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fastapi import APIRouter

from ca.api.rules import (
    FRESH_MFA,
    HOST,
    LOGGED_IN,
    MEMBER_OR_SELF,
    ONESELF,
    ONESELF_OR_ADMIN,
    PROVIDER,
    RULES,
    rules_of,
)
from ca.app import bare_app
from ca.errors import Misconfigured
from tests.databases import new_sqlite
from tests.directory import apply_text, records, version
from tests.everybody import (
    ASKS,
    HERE,
    INVALID,
    LOGINS,
    MATRIX,
    MISSING,
    OK,
    OTHERS,
    PEOPLE,
    STEP_UP,
    WITHOUT_BODY,
    Stage,
    add_what_no_file_holds,
    expected,
    kind_of,
)
from tests.web import new_services

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    data = tmp_path_factory.mktemp("matrix")
    with new_services(new_sqlite(data), data) as services:
        apply_text(services.engine, HERE)
        add_what_no_file_holds(services)
        stage = Stage(services, data)
        with stage.http:  # one event loop, as in a worker, where each request would begin its own
            yield stage


@pytest.mark.attack(154)
@pytest.mark.parametrize("name", MATRIX)
def test_everybody_is_answered_as_the_table_says(stage: Stage, name: str) -> None:
    before = version(stage.services.engine), records(stage.services.engine)
    granted = []
    # When a login was is of no matter where the requirement says nothing of it.
    logins = [one for one in LOGINS if one != "mfa" or RULES[name].login == FRESH_MFA]
    for who, person in PEOPLE.items():
        for login in logins:
            wanted = expected(RULES[name], person, login)
            if wanted == OK:
                granted.append((who, login))
            else:
                assert (who, login, kind_of(stage.ask(name, who, login))) == (who, login, wanted)
    assert (version(stage.services.engine), records(stage.services.engine)) == before

    assert granted or RULES[name].login == PROVIDER
    for who, login in granted:
        answer = kind_of(stage.ask(name, who, login))
        if not name.startswith("GET "):
            stage.restore()
        assert (who, login, answer) == (who, login, OK)


@pytest.mark.attack(154)
@pytest.mark.parametrize("name", MATRIX)
def test_what_is_anothers_is_as_if_it_were_not(stage: Stage, name: str) -> None:
    nowhere = {"organization_id": "nobody", "project_id": "nobodynobody1"}
    for who, person in PEOPLE.items():
        if person.known and who != "mallory":
            theirs = stage.ask(name, who, "fresh", **OTHERS)
            nobodys = stage.ask(name, who, "fresh", **nowhere)
            assert kind_of(theirs) == MISSING, who
            assert (theirs.status_code, theirs.content) == (nobodys.status_code, nobodys.content)


@pytest.mark.attack(154)
@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule == ONESELF])
def test_others_are_as_if_they_were_not(stage: Stage, name: str) -> None:
    if name == "POST /users/{user_id}/totp":
        return  # what it takes is looked at first: test_totp sends it something that it takes
    for who, person in PEOPLE.items():
        theirs = stage.ask(name, who, "fresh")
        nobodys = stage.ask(name, who, "fresh", user_id="nobody")
        assert kind_of(theirs) == (MISSING if person.known else INVALID), who
        assert (theirs.status_code, theirs.content) == (nobodys.status_code, nobodys.content)


@pytest.mark.attack(68, 154)
@pytest.mark.parametrize(
    "name",
    [n for n, r in RULES.items() if r in (LOGGED_IN, ONESELF, ONESELF_OR_ADMIN, HOST)],
)
def test_without_a_good_token_there_is_nothing(stage: Stage, name: str) -> None:
    for who in ("nobody", "dora"):
        response = stage.ask(name, who, "fresh")
        if RULES[name] == HOST or name == "POST /ssh":
            assert response.status_code in (400, 401, 403, 404), who
        elif response.status_code != 400:  # what was sent may be looked at first
            assert kind_of(response) == INVALID, who


def test_a_member_may_leave(stage: Stage) -> None:
    name = "DELETE /organizations/{organization_id}/members/{user_id}"
    assert RULES[name] == MEMBER_OR_SELF
    for login, wanted in (("password", STEP_UP), ("mfa", OK)):
        assert kind_of(stage.ask(name, "alice", login, user_id="@alice")) == wanted
    stage.restore()


def test_each_route_has_a_rule_and_each_rule_a_route() -> None:
    assert RULES.keys() == {
        name for name, rule in rules_of(bare_app().routes) if RULES.get(name) == rule
    }


def test_each_request_that_needs_a_body_has_one() -> None:
    changing = {name for name in MATRIX if name.startswith(("POST ", "PATCH "))}
    assert changing == {name for name in MATRIX if name in ASKS and ASKS[name].body} | WITHOUT_BODY


def unguarded() -> None:
    """A route that asks nobody."""


@pytest.mark.attack(154)
def test_a_route_without_a_rule_stops_the_service() -> None:
    app = bare_app()
    router = APIRouter(prefix="/organizations/{organization_id}")
    router.add_api_route("/secrets", unguarded, methods=["GET"])
    app.include_router(router)

    with pytest.raises(Misconfigured, match="/secrets: say in"):
        list(rules_of(app.routes))
