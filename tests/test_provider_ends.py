"""What ends with a provider of single sign-on, and whom nobody may be left without."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, select, update

from ca import audit
from ca.errors import NotAuthenticated
from ca.identity import sessions as own_sessions
from ca.identity.factors import Acting
from ca.identity.proofs import Proof
from ca.identity.sso import identities, logins
from ca.identity.sso.id_token import Login
from ca.identity.sso.providers import NoProvider
from ca.oauth.grants import Agreement, begin_grant
from ca.store import sessions, sso, tables
from ca.store.engine import reading, writing
from ca.store.sessions import BrowserSession, is_live_browser_session
from ca.store.sso import Identity
from tests.api_tokens import access_token, exchange, is_good, made
from tests.directory import ACME, Api, apply_text, log_in, records
from tests.issuing import new_key
from tests.web import VISITOR

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from ca.services import Services
    from ca.store.sso import Provider

pytest_plugins = ["tests.web"]

PROVIDER = {"slug": "work", "issuer": "https://login.example", "client_id": "us"}
WITH_WORK = ACME.replace(
    "[organizations.acme.sso.acme]", "[organizations.acme.sso.acme]\n[organizations.acme.sso.work]"
)
HERE = "/organizations/acme/sso/work"


@pytest.fixture
def acme(services: Services) -> Services:
    apply_text(services.engine, WITH_WORK)
    bob = log_in(services, "bob", "pwd", "otp")
    assert bob.post("/organizations/acme/sso", PROVIDER).status_code == 201
    return services


def link(services: Services, api: Api, slug: str = "work") -> str:
    identity = Identity(
        f"{slug}-{api.user.username}", api.user.id, PROVIDER["issuer"], api.user.id, slug, 1, None
    )
    with writing(services.engine) as connection:
        assert sso.add_identity(connection, identity)
    return identity.id


def give_password(services: Services, api: Api) -> None:
    values = {"user_id": api.user.id, "argon2": "-", "changed_at": 1}
    with writing(services.engine) as connection:
        connection.execute(insert(tables.passwords).values(values))


def give_app(services: Services, api: Api) -> None:
    values = {"user_id": api.user.id, "secret_sealed": b"-", "last_step": 0, "confirmed_at": 1}
    with writing(services.engine) as connection:
        connection.execute(insert(tables.totp_credentials).values(values))


def browse(services: Services, api: Api, *amr: str) -> str:
    """A browser session of somebody, and its id."""
    now = int(time.time())
    proofs = tuple(Proof(one, now) for one in amr)
    session = BrowserSession(
        f"{api.user.username} {' '.join(amr)}"[:36], api.user, proofs, now, now
    )
    with writing(services.engine) as connection:
        sessions.add_browser_session(connection, session, f"of {session.id}", "", "")
    return session.id


def lives(services: Services, session_id: str) -> bool:
    with reading(services.engine) as connection:
        return is_live_browser_session(connection, session_id, int(time.time()))


def by_api(services: Services) -> None:
    answer = log_in(services, "bob", "pwd", "otp").http.delete(HERE)
    assert answer.status_code == 204, answer.text


def by_file(services: Services) -> None:
    gone = {str(one) for one in apply_text(services.engine, ACME)}
    assert gone == {"- provider work", *(one for one in gone if one.startswith("- client work"))}


@pytest.mark.attack(127, 142)
@pytest.mark.parametrize("end", [by_api, by_file])
def test_with_a_provider_ends_what_rests_on_it(
    acme: Services, end: Callable[[Services], None]
) -> None:
    alice, bob = (
        log_in(acme, name, "pwd", "sso:work", "sso:work:mfa", "otp") for name in ("alice", "bob")
    )
    locally = log_in(acme, "alice", "pwd", "otp")
    elsewhere = log_in(acme, "alice", "sso:workshop")
    for one in (alice, bob):
        link(acme, one)
        give_password(acme, one)
        give_app(acme, one)
    kept = link(acme, alice, "workshop")
    resting, other = made(alice, "resting"), made(locally, "other")
    opened, opened_by_other = (access_token(acme, one["token"]) for one in (resting, other))
    browser, local = browse(acme, alice, "sso:work", "otp"), browse(acme, alice, "pwd")
    for api in (alice, locally):
        assert api.post("/ssh", {"key": new_key()}).status_code == 200

    end(acme)

    assert [api.get("/users/me").status_code for api in (alice, bob)] == [401, 401]
    assert [api.get("/users/me").status_code for api in (locally, elsewhere)] == [200, 200]
    assert exchange(acme, resting["token"]).json()["error"] == "invalid_grant"
    assert (is_good(acme, opened), is_good(acme, opened_by_other)) == (False, True)
    assert (lives(acme, browser), lives(acme, local)) == (False, True)
    with reading(acme.engine) as connection:
        (linked,) = sso.identities_of(connection, alice.user.id)
        (revoked,) = connection.execute(select(tables.revocations)).all()
        issued = connection.execute(select(tables.certificates).order_by("serial")).first()
        audit.verify(connection)
    assert linked.id == kept
    assert issued
    assert (revoked.serial, revoked.event) == (issued.serial, "provider:end")
    assert ("provider:end", revoked.actor, "work") in records(acme.engine)


def at_work(services: Services, api: Api) -> tuple[Provider, Login]:
    """Somebody who comes back from the provider just now, and is known by it."""
    with reading(services.engine) as connection:
        provider = sso.find_provider(connection, "work")
    assert provider
    now = int(time.time())
    login = Login(api.user.id, now, frozenset())
    assert logins.log_in(services.engine, provider, login, now) == api.user
    return provider, login


@pytest.mark.attack(127, 142)
@pytest.mark.parametrize("end", [by_api, by_file])
def test_no_login_in_flight_outlives_the_provider(
    acme: Services, end: Callable[[Services], None]
) -> None:
    alice, bob = (log_in(acme, name, "pwd", "otp") for name in ("alice", "bob"))
    link(acme, alice)
    now = int(time.time())
    provider, login = at_work(acme, alice)
    proofs = logins.proofs_of(provider, login)
    visitor = own_sessions.Visitor("", "")
    local = (Proof("pwd", now),)
    present, _cookie = own_sessions.begin(acme.engine, alice.user, local, visitor, None, now=now)

    end(acme)

    with pytest.raises(NotAuthenticated):
        own_sessions.begin(acme.engine, alice.user, proofs, visitor, None, now=now)
    with pytest.raises(NotAuthenticated):
        own_sessions.add_proofs(acme.engine, present, proofs, now)
    acting = Acting(bob.user.id, present.id, bob.session.proofs)
    with pytest.raises(NoProvider):
        identities.link(acme.engine, acting, provider, replace(login, subject="bob"), now)
    assert lives(acme, present.id)


def store_session(connection: Connection, api: Api, _before: str, now: int) -> str:
    """As a login does; the id of the session."""
    assert sso.hold_identity(connection, api.user.id, "work")
    session = BrowserSession("in flight", api.user, (Proof("sso:work", now),), now, now)
    sessions.add_browser_session(connection, session, "of it", "", "")
    return session.id


def store_grant(connection: Connection, api: Api, before: str, now: int) -> str:
    """As the exchange of a code does; the `sid`."""
    agreed = Agreement(api.user.id, before, "amrgate", "", (Proof("sso:work", now),))
    return begin_grant(connection, agreed, VISITOR, now).session.sid


@pytest.mark.attack(127, 142)
@pytest.mark.parametrize("store", [store_session, store_grant])
def test_what_is_stored_while_the_provider_ends_ends_with_it(
    acme: Services, store: Callable[[Connection, Api, str, int], str]
) -> None:
    """It is in a transaction that begins before the end and is finished after that began."""
    alice = log_in(acme, "alice", "pwd", "otp")
    link(acme, alice)
    before = browse(acme, alice, "sso:work")
    now = int(time.time())
    with ThreadPoolExecutor(1) as pool:
        with writing(acme.engine) as connection:
            stored = store(connection, alice, before, now)
            ending = pool.submit(by_api, acme)
            with pytest.raises(TimeoutError):
                ending.result(timeout=1)
        ending.result(timeout=30)

    with reading(acme.engine) as connection:
        assert not sessions.is_live(connection, stored, now)


def able_by_the_provider_alone(services: Services) -> Api:
    """The only one who decides in acme logs in at the provider."""
    bob = log_in(services, "bob", "sso:work", "otp")
    link(services, bob)
    give_app(services, bob)
    return bob


@pytest.mark.attack(146)
@pytest.mark.parametrize("end", [by_api, by_file])
def test_a_provider_stays_by_which_alone_the_last_admin_logs_in(
    acme: Services, end: Callable[[Services], None]
) -> None:
    bob = able_by_the_provider_alone(acme)

    with pytest.raises(Exception, match="last admin of acme"):
        end(acme)

    assert bob.get(HERE.removesuffix("/work")).status_code == 200
    give_password(acme, bob)
    end(acme)


def require_work(services: Services) -> None:
    """As an admin does who has come back from there."""
    with writing(services.engine) as connection:
        provider = sso.find_provider(connection, "work")
        assert provider
        sso.put_client(connection, replace(provider, tested_at=1))
    bob = log_in(services, "bob", "sso:work", "otp", "pwd")
    assert bob.post(f"{HERE}/enable").status_code == 204


@pytest.mark.attack(146)
def test_the_last_admin_does_not_unlink_what_the_organization_requires(
    acme: Services,
) -> None:
    bob = able_by_the_provider_alone(acme)
    give_password(acme, bob)
    require_work(acme)
    bob = log_in(acme, "bob", "sso:work", "otp", "pwd")
    identity = f"/users/{bob.user.id}/identities/work-bob"

    answer: Any = bob.http.delete(identity)

    assert answer.status_code == 409, answer.text
    assert "last admin of acme" in answer.json()["error_description"]
    assert [one["id"] for one in bob.get(identity.rpartition("/")[0]).json()] == ["work-bob"]
    # With a second one who can, it goes.
    alice = log_in(acme, "alice", "sso:work", "otp", "pwd")
    link(acme, alice)
    give_password(acme, alice)
    with writing(acme.engine) as connection:
        connection.execute(
            update(tables.members)
            .where(tables.members.c.user_id == alice.user.id)
            .values(role="admin")
        )
    assert bob.http.delete(identity).status_code == 204
