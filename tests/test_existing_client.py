"""An existing client works unchanged: the exchanges of contract/existing-client.md over HTTP."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx2
import pyotp
import pytest

from ca.identity import accounts
from ca.store import people
from ca.store.engine import writing
from ca.store.revocations import Cause
from ca.store.sessions import end_sessions
from machine.people import PASSWORD_ONLY
from tests.certificates import keygen
from tests.directory import ACME, SERVICE, apply_text
from tests.existing_client import ExistingClient, StepUp, read_refusal
from tests.web import Browser, Person, listening, pass_time, password_hash

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ca.services import Services
    from machine.host import Host

PROJECT = "abcdefg123456"
REQUIREMENT = '\n[organizations.acme.requirement]\namr = ["mfa"]\n'


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with listening(tmp_path_factory.mktemp("ca")) as services:
        yield services


@pytest.fixture
def services(ca: Services) -> Services:
    apply_text(ca.engine, ACME)
    return ca


def equip(services: Services, username: str, *, app: bool = False) -> Person:
    """One of the example's people, with a password, and with an app if that is asked for."""
    now = int(time.time())
    with writing(services.engine) as connection:
        user = people.find_user_by_name(connection, username)
        assert user
        person = Person(user.id, username)
        people.put_password(connection, user.id, password_hash(), now - 86400)
        people.remove_totp(connection, user.id)
        if app:
            person.secret = pyotp.random_base32()
            sealed = services.keys.seal.seal(
                person.secret.encode(), accounts.totp_purpose(person.id)
            )
            people.add_totp(connection, person.id, sealed, 0, now - 86400)
    return person


def client_of(services: Services, person: Person) -> ExistingClient:
    browser = Browser(services)

    def browse(url: str) -> str:
        page = browser.log_in(browser.get(url), person)
        location: str = browser.submit(page, decision="allow").headers["location"]
        return location

    return ExistingClient(services.settings.issuer, browse)


@pytest.fixture
def public_key(tmp_path: Path) -> str:
    keygen("-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(tmp_path / "key"))
    return (tmp_path / "key.pub").read_text().strip()


def test_a_login_gets_tokens_and_a_certificate(services: Services, public_key: str) -> None:
    person = equip(services, "alice", app=True)
    client = client_of(services, person)

    client.login()
    certificate = client.load_certificate(public_key)
    shown = client.get("/users/me")

    assert client.user_id() == person.id == shown["id"]
    assert (shown["username"], shown["email"]) == ("alice", "alice@acme.example")
    assert certificate.key_id == person.id  # else it is asked for anew before each connection
    assert certificate.is_valid
    assert certificate.extensions["has-mfa@platform.sh"] == ""
    assert certificate.extensions["amr@amrgate"] == "mfa,otp,pwd"
    # Claims in it would be compared with the token's; as the old ones they would be fatal.
    names = ("token-claims", "access-id", "access", "token-id", "is-app")
    assert not {f"{name}@platform.sh" for name in names} & certificate.extensions.keys()


def test_without_a_second_factor_it_is_not_called_verified(
    services: Services, public_key: str
) -> None:
    client = client_of(services, equip(services, "alice"))
    client.login()

    assert "has-mfa@platform.sh" not in client.load_certificate(public_key).extensions


def test_a_second_login_revokes_the_first_and_not_itself(services: Services) -> None:
    client = client_of(services, equip(services, "alice"))
    client.login()
    before = client.access_token

    client.login(force=True)

    assert client.get("/users/me")["username"] == "alice"
    assert client.refresh().status == 200
    client.access_token = before
    with pytest.raises(AssertionError):
        client.get("/users/me")


def test_a_refresh_goes_on(services: Services) -> None:
    client = client_of(services, equip(services, "alice"))
    client.login()
    before = client.access_token, client.refresh_token

    client.refresh()

    assert client.access_token != before[0]
    assert client.refresh_token != before[1]
    assert client.get("/me")["ssh_keys"] == []


def test_a_session_that_ended_is_said_to_be_over(services: Services) -> None:
    person = equip(services, "alice")
    client = client_of(services, person)
    client.login()
    with writing(services.engine) as connection:
        end_sessions(connection, person.id, Cause(int(time.time()), "", "test:end"))

    answer = client.refresh()

    # What the client reads: any `error`, whatever the status, is the end of its session.
    assert answer.json()["error"] == "invalid_grant"
    client.revoke(client.refresh_token, client.access_token)  # it still gives back what is dead


def test_a_logout_gives_back_both_tokens(services: Services) -> None:
    client = client_of(services, equip(services, "alice"))
    client.login()

    client.revoke(client.refresh_token, client.access_token)
    client.revoke("unknown", "unknown")

    assert client.refresh().json()["error"] == "invalid_grant"
    with pytest.raises(AssertionError):
        client.get("/users/me")


def test_an_api_token_logs_in(services: Services, public_key: str) -> None:
    person = equip(services, "alice")
    engineer = client_of(services, person)
    engineer.login()
    made = httpx2.post(
        f"{services.settings.issuer}/users/{person.id}/api-tokens",
        headers={"authorization": f"Bearer {engineer.access_token}"},
        json={"name": "ci"},
        trust_env=False,
    )
    client = client_of(services, person)

    assert client.login_by_api_token("none").json()["error_description"]
    client.login_by_api_token(made.json()["token"])

    assert client.get("/users/me")["id"] == person.id
    assert client.load_certificate(public_key).key_id == person.id


def test_lists_have_what_the_client_needs(services: Services) -> None:
    client = client_of(services, equip(services, "alice"))
    client.login()

    assert client.project_list() == {PROJECT: "The shop"}
    assert client.environment_list(PROJECT) == ["main-bvxea6i"]
    assert client.organization_list() == ["acme"]
    assert client.user_list(PROJECT)["bob@acme.example"] == ["admin"]
    assert client.ssh_address(PROJECT, "main-bvxea6i", "app") == f"{SERVICE}@ssh.acme.example"


def test_who_may_not_connect_is_given_no_address(services: Services) -> None:
    with_less = 'carol = { production = "viewer" }'
    apply_text(services.engine, ACME.replace('carol = { production = "contributor" }', with_less))
    client = client_of(services, equip(services, "carol"))
    client.login()

    assert client.ssh_address(PROJECT, "main-bvxea6i", "app") is None


def test_a_step_up_is_followed_by_a_login_and_one_more_try(services: Services) -> None:
    apply_text(services.engine, ACME + REQUIREMENT)
    person = equip(services, "alice")
    client = client_of(services, person)
    client.login()
    with pytest.raises(StepUp) as asked:
        client.get(f"/projects/{PROJECT}")
    assert (asked.value.amr, asked.value.max_age) == (["mfa"], None)
    # What it asks after each login must never ask for another one: it would not end.
    assert client.get("/users/me")["mfa_enabled"] is False
    assert client.project_list()

    client = client_of(services, equip(services, "alice", app=True))
    client.login(*asked.value.amr)

    assert client.get(f"/projects/{PROJECT}")["title"] == "The shop"


def test_a_step_up_may_ask_for_a_recent_login(services: Services) -> None:
    apply_text(services.engine, f"{ACME}{REQUIREMENT}max_age = 600\n")
    person = equip(services, "alice", app=True)
    client = client_of(services, person)
    client.login()
    pass_time(services, 700)
    with pytest.raises(StepUp) as asked:
        client.get(f"/projects/{PROJECT}")
    assert (asked.value.amr, asked.value.max_age) == (["mfa"], 600)

    client.login("mfa", max_age=600)

    assert client.get(f"/projects/{PROJECT}/environments")


@pytest.mark.parametrize("command", ["whoami", "exit"])
def test_a_refusal_reads_the_same_for_the_second_connection(host: Host, command: str) -> None:
    """After ssh's status 255 the client connects again, runs `exit`, and reads that."""
    host.require("mfa,sso:acme")
    host.certify("alice", PASSWORD_ONLY)

    result = host.ssh("alice", command)

    assert result.status == 255
    assert read_refusal(result.err) == ["mfa", "sso:acme"]
