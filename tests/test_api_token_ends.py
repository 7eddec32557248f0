"""How API tokens end, on each database: with what they rest on, and what they opened with them."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import select, update

from ca.directory import people as directory_people
from ca.identity import accounts, factors, webauthn
from ca.identity.factors import Acting
from ca.identity.proofs import Proof, Proofs, to_fields
from ca.identity.token_ends import end_tokens_resting_on
from ca.store import tables
from ca.store import webauthn as keys
from ca.store.engine import reading, writing
from ca.store.revocations import Cause
from ca.store.webauthn import Key
from tests.api_tokens import access_token, exchange, is_good, made, tokens_path
from tests.directory import log_in, records
from tests.web import Client, Person, add_person

if TYPE_CHECKING:
    from ca.services import Services

pytest_plugins = ["tests.web"]


@pytest.fixture
def alice(services: Services) -> Person:
    return add_person(services, "alice", app=True)


def key_of(person: Person, backup_eligible: bool) -> Key:  # noqa: FBT001 -- as authenticators say
    return Key(
        id=secrets.token_hex(16),
        user_id=person.id,
        credential_id=secrets.token_bytes(16),
        public_key=b"-",
        sign_count=0,
        backup_eligible=backup_eligible,
        backed_up=False,
        transports=(),
        name="a key",
        created_at=int(time.time()) - 86400,
        used_at=None,
        counter_fell_at=None,
    )


class Held:
    """Tokens of alice, one for each login that she may have made it in, and what they opened."""

    def __init__(self, services: Services, alice: Person, logins: dict[str, Proofs]) -> None:
        self.services = services
        api = log_in(services, alice.username, "pwd", "otp")
        self.secrets = {}
        self.opened = {}
        for name, proofs in logins.items():
            token = made(api, name)
            with writing(services.engine) as connection:
                connection.execute(
                    update(tables.api_tokens)
                    .where(tables.api_tokens.c.id == token["id"])
                    .values(proofs=to_fields(proofs))
                )
            self.secrets[name] = token["token"]
            self.opened[name] = access_token(services, token["token"])

    def alive(self) -> set[str]:
        """Those that can still be exchanged."""
        return {
            name
            for name, secret in self.secrets.items()
            if exchange(self.services, secret).status_code == 200
        }

    def opening(self) -> set[str]:
        """Those whose first access token still opens something."""
        return {name for name, token in self.opened.items() if is_good(self.services, token)}


NOW = int(time.time())
PWD, OTP, HWK, SWK = (Proof(one, NOW) for one in ("pwd", "otp", "hwk", "swk"))
RECOVERY, SSO, TOLD = (Proof(one, NOW) for one in ("recovery", "sso:acme", "sso:acme:mfa"))
EVERY = {
    "pwd": (PWD,),
    "otp": (PWD, OTP),
    "hwk": (PWD, HWK),
    "swk": (replace(SWK, verified=True),),
    "recovery": (PWD, RECOVERY),
    "sso": (SSO, OTP),
    "told": (PWD, TOLD),
    "other": (Proof("sso:acmes", NOW),),
}


@pytest.fixture
def held(services: Services, alice: Person) -> Held:
    return Held(services, alice, EVERY)


def fresh(services: Services, alice: Person) -> Acting:
    session = log_in(services, alice.username, "pwd", "otp").session
    return Acting(alice.id, session.sid, session.proofs)


@pytest.mark.attack(91, 127)
def test_removing_a_factor_ends_the_tokens_that_rest_on_it(
    services: Services, alice: Person, held: Held
) -> None:
    now = int(time.time())
    bound, synced = key_of(alice, backup_eligible=False), key_of(alice, backup_eligible=True)
    with writing(services.engine) as connection:
        assert keys.add_key(connection, bound)
        assert keys.add_key(connection, synced)
    acting = fresh(services, alice)

    webauthn.remove(services.engine, acting, bound.id, now)
    assert held.alive() == EVERY.keys() - {"hwk"}
    assert held.opening() == set()  # all other sessions end with any change of factors

    factors.remove_totp(services.engine, acting, now)
    assert held.alive() == EVERY.keys() - {"hwk", "otp", "sso"}


@pytest.mark.attack(91)
def test_with_the_last_factor_go_the_recovery_codes_and_what_rests_on_them(
    services: Services, alice: Person, held: Held
) -> None:
    factors.remove_totp(services.engine, fresh(services, alice), int(time.time()))

    assert held.alive() == EVERY.keys() - {"otp", "sso", "recovery"}


@pytest.mark.attack(91)
def test_new_recovery_codes_end_what_rests_on_the_old_ones(
    services: Services, alice: Person, held: Held
) -> None:
    factors.renew_recovery_codes(services.engine, fresh(services, alice), int(time.time()))

    assert held.alive() == held.opening() == EVERY.keys() - {"recovery"}


@pytest.mark.attack(91)
def test_an_identity_that_is_gone_ends_what_rests_on_it_and_on_what_its_provider_told(
    services: Services, alice: Person, held: Held
) -> None:
    cause = Cause(int(time.time()), alice.id, "sso:unlink")
    with writing(services.engine) as connection:
        end_tokens_resting_on(connection, alice.id, ("sso:acme",), cause)

    assert held.alive() == held.opening() == EVERY.keys() - {"sso", "told"}
    ends = [record for record in records(services.engine) if record[0] == "api_token:end"]
    assert ends == [("api_token:end", alice.id, alice.id)] * 2


@pytest.mark.attack(91, 127)
@pytest.mark.parametrize("what", ["password", "disabled", "revoked"])
def test_with_the_password_and_with_the_person_all_of_them_end(
    services: Services, alice: Person, held: Held, what: str
) -> None:
    now = int(time.time())
    match what:
        case "password":
            accounts.set_password(services.engine, "alice", alice.id, "another good password", now)
        case "disabled":
            directory_people.disable(services.engine, "alice", "operator test", now)
            directory_people.enable(services.engine, "alice", "operator test", now)
        case _:
            directory_people.revoke(services.engine, "alice", "operator test", now)

    assert held.alive() == held.opening() == set()


def test_the_operator_who_forgets_factors_ends_what_rests_on_them(
    services: Services, held: Held
) -> None:
    directory_people.forget_factors(services.engine, "alice", "operator test", int(time.time()))

    assert held.alive() == {"pwd", "told", "other"}


@pytest.mark.attack(90, 91)
def test_a_removed_token_ends_its_sessions_at_the_next_request(
    services: Services, alice: Person
) -> None:
    api = log_in(services, alice.username, "pwd", "otp")
    token, other = made(api), made(api, "other")
    opened = [access_token(services, token["token"]) for _ in range(2)]
    opened_by_other = access_token(services, other["token"])

    assert api.http.delete(f"{tokens_path(api)}/{token['id']}").status_code == 204

    assert not any(is_good(services, one) for one in opened)
    assert exchange(services, token["token"]).json()["error"] == "invalid_grant"
    assert is_good(services, opened_by_other)
    assert api.get("/users/me").status_code == 200
    assert api.http.delete(f"{tokens_path(api)}/{token['id']}").status_code == 404
    assert records(services.engine)[-2][0] == "api_token:remove"


def test_removing_one_needs_no_recent_login(services: Services, alice: Person) -> None:
    token = made(log_in(services, alice.username, "pwd", "otp"))
    api = log_in(services, alice.username, "pwd", ago=3600)

    assert api.http.delete(f"{tokens_path(api)}/{token['id']}").status_code == 204


@pytest.mark.attack(91)
def test_its_certificates_are_revoked_with_it(services: Services, alice: Person) -> None:
    api = log_in(services, "alice", "pwd", "otp")
    token = made(api)
    opened = access_token(services, token["token"])
    key = Ed25519PrivateKey.generate().public_key()
    line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    answer = Client(services).api("POST", "/ssh", opened, {"key": line})
    assert answer.status_code == 200, answer.text

    api.http.delete(f"{tokens_path(api)}/{token['id']}")

    with reading(services.engine) as connection:
        (revoked,) = connection.execute(select(tables.revocations)).all()
        (issued,) = connection.execute(select(tables.certificates)).all()
    assert (revoked.serial, revoked.event) == (issued.serial, "api_token:remove")
    assert revoked.actor == alice.id
