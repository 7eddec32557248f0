"""A service user comes in by its API tokens alone, whatever it should have of a person's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from ca.directory import invitations
from ca.errors import CAError
from ca.identity import accounts, links, mailbox
from ca.identity.sessions import hash_of
from ca.identity.sso import logins
from ca.identity.sso.id_token import Login
from ca.store import directory, people
from ca.store import invitations as invitation_store
from ca.store.engine import writing
from ca.store.invitations import Invitation
from ca.store.tables import users
from tests.databases import new_sqlite
from tests.directory import ACME, apply_text
from tests.providers import OpenIDProvider, link, register
from tests.security_keys import Desk, acting, authenticator
from tests.web import PASSWORD, Person, add_person, new_services

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ca.services import Services

    Way = Callable[[], object]


NOW = int(time.time())


def by_password(services: Services, person: Person) -> Way:
    return lambda: accounts.check_password(
        services.engine, services.keys.seal, person.username, PASSWORD, NOW
    )


def by_asking_for_a_new_password(services: Services, person: Person) -> Way:
    def ask() -> None:
        if mailbox.ask_reset(services.engine, person.username, NOW) is None:
            raise links.LinkOver

    return ask


def by_a_mailed_link(services: Services, person: Person) -> Way:
    with writing(services.engine) as connection:
        token = links.issue(connection, links.PASSWORD, person.id, "dora@acme.example", NOW)
    return lambda: mailbox.reset(services.engine, token, "thunder lamp orbit fig", NOW)


def by_single_sign_on(services: Services, person: Person) -> Way:
    far = OpenIDProvider("http://127.0.0.1:9")
    provider = register(services, far)
    link(services, person, far)
    login = Login(far.subject, NOW, frozenset())
    return lambda: logins.log_in(services.engine, provider, login, NOW)


def by_passkey(services: Services, person: Person) -> Way:
    desk, key = Desk(services), authenticator()
    desk.register(acting(person, "pwd"), key)
    return lambda: desk.use(key)


def by_invitation(services: Services, person: Person) -> Way:
    token = "a token of an invitation"
    with writing(services.engine) as connection:
        acme = directory.find_organization(connection, "acme")
        bob = people.find_user_by_name(connection, "bob")
        assert acme
        assert bob
        made = Invitation("1", acme.id, "dora@acme.example", "viewer", (), bob.id, NOW, NOW + 3600)
        invitation_store.add(connection, made, hash_of(token))

    def accept() -> None:
        with writing(services.engine) as connection:
            directory.lock(connection)
            user = people.find_user(connection, person.id)
            assert user
            invitations.accept(connection, token, user, NOW)

    return accept


@pytest.mark.parametrize(
    "way_of",
    [
        by_password,
        by_asking_for_a_new_password,
        by_a_mailed_link,
        by_single_sign_on,
        by_passkey,
        by_invitation,
    ],
)
@pytest.mark.parametrize("kind", ["person", "service"])
def test_no_way_of_a_person_lets_a_service_user_in(
    tmp_path: Path, way_of: Callable[[Services, Person], Way], kind: str
) -> None:
    with new_services(new_sqlite(tmp_path), tmp_path) as services:
        apply_text(services.engine, ACME)
        way = way_of(services, add_person(services, "dora"))
        with writing(services.engine) as connection:
            connection.execute(update(users).where(users.c.username == "dora").values(kind=kind))
        if kind == "person":
            way()
        else:
            with pytest.raises(CAError):
                way()
