"""What is over is forgotten, when its person comes again; what something rests on is not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, insert, select

from ca.oauth.authorize import CODE_LIFETIME
from ca.store import tables
from ca.store.engine import reading, writing
from ca.store.over import KEPT, forget_over
from ca.store.sessions import GRANT_IDLE
from tests.web import Browser, Client, Person, add_person, pass_time

if TYPE_CHECKING:
    from ca.services import Services

EVERYTHING = ("browser_sessions", "grant_sessions", "refresh_tokens", "authorization_codes")


@pytest.fixture
def alice(services: Services) -> Person:
    return add_person(services, "alice")


def rows(services: Services) -> dict[str, int]:
    with reading(services.engine) as connection:
        return {
            name: connection.execute(
                select(func.count()).select_from(tables.metadata.tables[name])
            ).scalar_one()
            for name in EVERYTHING
        }


def forget(services: Services, person: Person) -> dict[str, int]:
    """What is left then of all this."""
    with writing(services.engine) as connection:
        forget_over(connection, person.id, int(time.time()))
    return rows(services)


def each(count: int) -> dict[str, int]:
    return dict.fromkeys(EVERYTHING, count)


def test_a_login_forgets_what_was_over_a_day_ago(services: Services, alice: Person) -> None:
    bob = add_person(services, "bob")
    for person in (alice, alice, bob):
        Client(services).tokens(person)
    for person in (alice, bob):
        Client(services).log_in(Browser(services), person)  # a code that nobody exchanges
    pass_time(services, GRANT_IDLE + 2 * KEPT)

    Client(services).tokens(alice)

    of_bob = each(1) | {"browser_sessions": 2, "authorization_codes": 2}
    assert rows(services) == {name: count + 1 for name, count in of_bob.items()}


def test_what_is_over_is_known_for_a_day(services: Services, alice: Person) -> None:
    Client(services).tokens(alice)
    pass_time(services, GRANT_IDLE + KEPT - 60)

    assert forget(services, alice) == each(1)


def test_what_was_ended_needs_not_wait_until_it_would_have_been_idle(
    services: Services, alice: Person
) -> None:
    browser, client = Browser(services), Client(services)
    client.exchange(client.log_in(browser, alice))
    browser.post("/logout", {})
    pass_time(services, KEPT - 60)
    assert forget(services, alice) == each(1)
    pass_time(services, 60 + CODE_LIFETIME + 1)

    assert forget(services, alice) == each(0)


def test_a_browser_is_known_for_as_long_as_what_it_granted(
    services: Services, alice: Person
) -> None:
    client = Client(services)
    tokens = client.tokens(alice)
    pass_time(services, 3 * KEPT)

    assert forget(services, alice) == each(1)
    again = client.refresh(tokens["refresh_token"])
    assert again.status_code == 200


def test_a_code_that_began_something_ends_it_when_it_is_used_again(
    services: Services, alice: Person
) -> None:
    client = Client(services)
    code = client.log_in(Browser(services), alice)
    given = client.exchange(code).json()
    pass_time(services, 3 * KEPT)
    forget(services, alice)

    assert client.exchange(code).status_code == 400
    assert client.refresh(given["refresh_token"]).status_code == 400


def test_a_session_is_known_for_as_long_as_a_connection_is_open(
    services: Services, alice: Person
) -> None:
    Client(services).tokens(alice)
    with writing(services.engine) as connection:
        handle = connection.execute(select(tables.grant_sessions.c.handle)).scalar_one()
        connection.execute(
            insert(tables.hosts).values(id="host", name="ssh.acme.example", names=[])
        )
        connection.execute(
            insert(tables.open_connections).values(
                host_id="host", service="shop", session=handle, address="", connections=1
            )
        )
    pass_time(services, GRANT_IDLE + 2 * KEPT)

    assert forget(services, alice)["grant_sessions"] == 1
    with writing(services.engine) as connection:
        connection.execute(tables.open_connections.delete())
    assert forget(services, alice) == each(0)
