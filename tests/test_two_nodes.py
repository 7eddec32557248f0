"""Tokens at two services on one database: what one node ends, the other takes no more."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import pyotp
import pytest

from ca.directory import people
from tests.drills.client import Client
from tests.drills.nodes import Caller, two_nodes
from tests.drills.people import begin_sessions
from tests.oauth import claims_of
from tests.web import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.drills.nodes import Answer, Nodes
    from tests.web import Person


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with two_nodes() as running:
        yield running


def callers_of(nodes: Nodes, count: int) -> list[Caller]:
    issuer = nodes.services.settings.issuer
    return [Caller(nodes.urls[number % 2], issuer) for number in range(count)]


@pytest.mark.attack(103)
@pytest.mark.parametrize("parallel", [2, 50])
def test_a_refresh_token_has_one_successor(nodes: Nodes, parallel: int) -> None:
    client, callers = Client(nodes), callers_of(nodes, parallel)
    old, barrier = client.begin(callers[0]), Barrier(parallel)

    def refresh(caller: Caller) -> Answer:
        barrier.wait()
        return client.refresh(caller, old)

    with ThreadPoolExecutor(parallel) as pool:
        answers = list(pool.map(refresh, callers))
    assert {answer.status for answer in answers} == {200}
    (successor,) = {client.refresh_token(answer) for answer in answers}
    assert client.refresh_token(client.refresh(callers[1], successor)) != successor
    for caller in callers:
        caller.close()


def tokens(nodes: Nodes, caller: Caller) -> dict[str, str]:
    """The tokens of a new login of a new person."""
    client = Client(nodes)
    (code,) = client.codes(1)
    given: dict[str, str] = json.loads(client.exchange(caller, code).text)
    return given


def user_name(nodes: Nodes, given: dict[str, str]) -> str:
    from ca.store.engine import reading
    from ca.store.people import find_user

    with reading(nodes.services.engine) as connection:
        user = find_user(connection, claims_of(given["access_token"])["sub"])
    assert user
    return user.username


@pytest.mark.attack(90)
def test_what_one_node_ends_the_other_takes_no_more(nodes: Nodes) -> None:
    one, other = callers_of(nodes, 2)

    def is_good(given: dict[str, str]) -> bool:
        return other.get("/users/me", token=given["access_token"]).status == 200

    def revoke(name: str, given: dict[str, str]) -> None:
        form = {"client_id": "amrgate", "token": given[name]}
        assert one.post("/oauth2/revoke", form).status == 200

    def disable(given: dict[str, str]) -> None:
        people.disable(nodes.services.engine, user_name(nodes, given), "operator", 1)

    for end in (
        lambda given: revoke("access_token", given),
        lambda given: revoke("refresh_token", given),
        disable,
    ):
        given = tokens(nodes, one)
        assert is_good(given)
        end(given)
        assert not is_good(given)
    refused = other.post(
        "/oauth2/token",
        {
            "grant_type": "refresh_token",
            "client_id": "amrgate",
            "refresh_token": given["refresh_token"],
        },
    )
    assert refused.status == 400
    one.close()
    other.close()


NEW = "purple umbrella thunder violin"


def log_out(one: Caller, cookie: str, _person: Person, _nodes: Nodes) -> Answer:
    return one.post("/logout", {}, cookie)


def change_password(one: Caller, cookie: str, _person: Person, _nodes: Nodes) -> Answer:
    form = {"present": PASSWORD, "password": NEW, "again": NEW}
    return one.post("/security/password", form, cookie)


def add_a_factor(one: Caller, cookie: str, _person: Person, _nodes: Nodes) -> Answer:
    page = one.get("/security/application", cookie).text
    (secret,) = re.findall(r'name="secret" value="(\w+)"', page)
    form = {"secret": secret, "code": pyotp.TOTP(secret).now()}
    return one.post("/security/application", form, cookie)


def disable(one: Caller, _cookie: str, person: Person, nodes: Nodes) -> Answer:
    people.disable(nodes.services.engine, person.username, "operator test", 1)
    return one.get("/health/ready")


@pytest.mark.attack(127)
@pytest.mark.parametrize("end", [log_out, change_password, add_a_factor, disable])
def test_what_ends_sessions_at_one_node_ends_them_at_the_other(
    nodes: Nodes, end: Callable[[Caller, str, Person, Nodes], Answer]
) -> None:
    one, other = callers_of(nodes, 2)
    client = Client(nodes)
    person = client.person
    ((_, acting), (_, elsewhere)) = begin_sessions(nodes.services, person, 2)
    refresh_token = client.begin(other)
    given = json.loads(client.refresh(other, refresh_token).text)

    def alive() -> list[bool]:
        """The browser that acts, another one, and what a client was given; all at the other node."""
        return [
            *(other.get("/security", cookie).status == 200 for cookie in (acting, elsewhere)),
            other.get("/users/me", token=given["access_token"]).status == 200,
            client.refresh(other, given["refresh_token"]).status == 200,
        ]

    assert alive() == [True] * 4
    answer = end(one, acting, person, nodes)
    assert answer.status in (200, 303), answer.text

    # A browser that logs out takes no other one along; nor is its old cookie good after a change.
    assert alive() == [False, end is log_out, False, False]
    if end is change_password:
        assert other.get("/security", answer.cookie).status == 200, "but its new one is"
    one.close()
    other.close()


@pytest.mark.attack(93)
def test_no_token_gets_into_a_log(nodes: Nodes) -> None:
    one, other = callers_of(nodes, 2)
    given = tokens(nodes, one)
    for name, token in given.items():
        assert other.get(f"/users/me?{name}={token}").status == 401
        other.get(f"/device?user_code={token}")
        other.get("/users/me", token=f"{token}x")
    logs = "".join(log.read_text() for log in nodes.folder.glob("*.log"))
    assert "serving" in logs
    for name in ("access_token", "refresh_token"):
        assert given[name] not in logs
    one.close()
    other.close()
