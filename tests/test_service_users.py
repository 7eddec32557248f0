"""Service users: who makes them, and that they log in by API tokens alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from ca.directory import people as directory_people
from ca.errors import InsufficientAuthentication, InvalidRequest
from ca.identity import accounts, factors
from ca.identity.factors import Acting
from ca.store import directory, people, tables
from ca.store.engine import reading, writing
from sshd_hook.certificate import AMR, AUTH_TIME, parse
from sshd_hook.wire import unb64
from tests.api_tokens import access_token, exchange, is_good
from tests.directory import apply_text, log_in, records, version
from tests.host_client import GLOBEX, public_key
from tests.oauth import claims_of
from tests.service_users import DEPLOY, OWNED, SERVICE_USERS, admin, made, mails, token_for
from tests.web import PASSWORD, Browser, Client, Person, password_hash

if TYPE_CHECKING:
    from ca.services import Services

pytest_plugins = ["tests.web"]


# --- making them ----------------------------------------------------------------------------


def test_an_admin_makes_one_which_is_no_member_and_not_exempt(each_owned: Services) -> None:
    before = version(each_owned.engine)
    user = made(admin(each_owned))

    listed = log_in(each_owned, "alice", "pwd").get(SERVICE_USERS).json()

    assert listed["items"] == [user]
    assert (user["username"], user["exempt"], user["deactivated"]) == ("deploy", False, False)
    assert version(each_owned.engine) > before
    carol = admin(each_owned).user.id
    assert ("service_user:add", carol, "deploy") in records(each_owned.engine)
    with reading(each_owned.engine) as connection:
        organization = directory.find_organization(connection, "acme")
        assert organization
        assert directory.member_role(connection, organization.id, user["id"]) is None
        found = people.find_user(connection, user["id"])
    assert found
    assert found.kind == "service"
    assert found.email.endswith(".invalid")


@pytest.mark.parametrize(
    ("who", "proofs", "ago", "status"),
    [
        pytest.param("alice", ("pwd", "otp"), 0, 403, id="a viewer"),
        pytest.param("mallory", ("pwd", "otp"), 0, 404, id="a stranger"),
        pytest.param("carol", ("pwd",), 0, 401, id="a login without mfa"),
        pytest.param("carol", ("pwd", "otp"), 601, 401, id="a login of eleven minutes ago"),
    ],
)
def test_it_takes_an_admin_and_a_recent_login_with_mfa(
    owned: Services, who: str, proofs: tuple[str, ...], ago: int, status: int
) -> None:
    user = made(admin(owned))
    api = log_in(owned, who, *proofs, ago=ago)
    before = records(owned.engine)
    one = f"{SERVICE_USERS}/{user['id']}"

    answers = [
        api.post(SERVICE_USERS, {**DEPLOY, "username": "other"}),
        api.http.patch(one, json={"name": "Other"}),
        api.http.delete(one),
        api.post(f"/users/{user['id']}/api-tokens", {"name": "mine"}),
    ]

    assert [answer.status_code for answer in answers] == [status] * 4
    assert records(owned.engine) == before
    if status == 401:
        assert {(*answer.json()["amr"], answer.json()["max_age"]) for answer in answers} == {
            ("mfa", 600)
        }


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"username": "alice"}, 409),
        ({"username": "deploy"}, 409),
        ({"username": "De ploy"}, 400),
        ({"username": ""}, 400),
        ({"username": "robot", "name": "\x1b[2J"}, 400),
        ({"username": "robot", "exempt": "true"}, 400),
    ],
)
def test_what_cannot_be_made(owned: Services, changed: dict[str, str], status: int) -> None:
    api = admin(owned)
    made(api)

    assert api.post(SERVICE_USERS, {**DEPLOY, **changed}).status_code == status


def test_others_organizations_have_their_own(owned: Services) -> None:
    apply_text(owned.engine, OWNED + GLOBEX)
    mallory = log_in(owned, "mallory", "pwd", "otp")
    user = made(admin(owned))
    theirs = f"/organizations/globex/service-users/{user['id']}"

    assert mallory.get("/organizations/globex/service-users").json()["items"] == []
    for answer in (
        mallory.get(theirs),
        mallory.http.patch(theirs, json={"exempt": True}),
        mallory.http.delete(theirs),
        mallory.get(f"/users/{user['id']}/api-tokens"),
        mallory.post(f"/users/{user['id']}/api-tokens", {"name": "mine"}),
    ):
        assert answer.status_code == 404
    unknown = mallory.get("/users/nobody/api-tokens")
    assert mallory.get(f"/users/{user['id']}/api-tokens").json() == unknown.json()


# --- their tokens ---------------------------------------------------------------------------


@pytest.mark.attack(91, 111)
def test_a_token_proves_nothing_but_when_it_was_made(owned: Services) -> None:
    user = made(admin(owned))
    secret = token_for(admin(owned), user["id"])
    with reading(owned.engine) as connection:
        made_at = connection.execute(select(tables.api_tokens.c.created_at)).scalar_one()

    claims = claims_of(access_token(owned, secret))
    answer = Client(owned).api("POST", "/ssh", access_token(owned, secret), {"key": public_key()})

    assert claims["amr"] == []
    assert claims["auth_time"] == made_at
    certificate, _signed, _signature = parse(unb64(answer.json()["certificate"].split()[1]))
    extensions = dict(certificate.extensions)
    assert AMR not in extensions
    assert extensions[AUTH_TIME][4:] == str(made_at).encode()
    assert certificate.key_id == user["id"]
    told = [mail for mail in mails(owned) if "pipeline" in mail or "API token" in mail]
    assert len(told) == 2  # bob and carol, who decide in acme; alice does not
    assert not [mail for mail in told if secret in mail]


def test_its_admin_sees_and_removes_its_tokens(owned: Services) -> None:
    user = made(admin(owned))
    secret = token_for(admin(owned), user["id"])
    path = f"/users/{user['id']}/api-tokens"
    opened = access_token(owned, secret)

    (token,) = log_in(owned, "bob", "pwd").get(path).json()
    assert token["mfa_on_creation"] is False
    assert log_in(owned, "alice", "pwd", "otp").get(path).status_code == 403

    assert log_in(owned, "bob", "pwd").http.delete(f"{path}/{token['id']}").status_code == 204
    assert not is_good(owned, opened)
    assert exchange(owned, secret).status_code == 400


def test_the_organizations_certificate_lifetime_holds_for_it(owned: Services) -> None:
    apply_text(owned.engine, OWNED.replace("label =", "certificate_lifetime = 600\nlabel ="))
    secret = token_for(admin(owned), made(admin(owned))["id"])

    answer = Client(owned).api("POST", "/ssh", access_token(owned, secret), {"key": public_key()})

    certificate, _signed, _signature = parse(unb64(answer.json()["certificate"].split()[1]))
    assert certificate.valid_before - time.time() <= 600


@pytest.mark.parametrize("how", ["removed", "disabled"])
@pytest.mark.attack(90, 91)
def test_without_it_there_is_nothing_left(each_owned: Services, how: str) -> None:
    user = made(admin(each_owned))
    secret = token_for(admin(each_owned), user["id"])
    opened = access_token(each_owned, secret)
    assert Client(each_owned).api("POST", "/ssh", opened, {"key": public_key()}).status_code == 200

    if how == "removed":
        assert admin(each_owned).http.delete(f"{SERVICE_USERS}/{user['id']}").status_code == 204
    else:
        directory_people.disable(each_owned.engine, "deploy", "operator test", int(time.time()))
        assert (
            admin(each_owned).post(f"/users/{user['id']}/api-tokens", {"name": "x"}).status_code
            == 409
        )

    assert not is_good(each_owned, opened)
    assert exchange(each_owned, secret).status_code == 400
    with reading(each_owned.engine) as connection:
        assert len(connection.execute(select(tables.revocations)).all()) == 1


# --- no other way in ------------------------------------------------------------------------


@pytest.mark.attack(80)
def test_it_logs_in_no_other_way(owned: Services) -> None:
    user = made(admin(owned))
    person = Person(user["id"], "deploy")
    now = int(time.time())
    with pytest.raises(InvalidRequest):
        accounts.set_password(owned.engine, "operator", person.id, PASSWORD, now)
    with writing(owned.engine) as connection:  # not even if there were one
        people.put_password(connection, person.id, password_hash(), now)

    browser = Browser(owned)
    page = browser.log_in(browser.get("/login"), person)

    assert "do not belong together" in page.text


@pytest.mark.attack(80)
def test_its_token_gives_it_nothing_that_one_logs_in_with(owned: Services) -> None:
    user = made(admin(owned))
    token = access_token(owned, token_for(admin(owned), user["id"]))
    client, here = Client(owned), f"/users/{user['id']}"

    for method, path, status in (
        ("GET", f"{here}/totp", 403),
        ("DELETE", f"{here}/totp", 403),
        ("POST", f"{here}/codes", 403),
    ):
        assert client.api(method, path, token).status_code == status
    answer = client.api("POST", f"{here}/api-tokens", token, {"name": "another"})
    assert answer.status_code == 403
    session = claims_of(token)["sid"]
    acting = Acting(user["id"], session, ())
    with pytest.raises(InsufficientAuthentication):
        factors.offer_totp(owned.engine, owned.keys.seal, acting, int(time.time()))
    assert client.api("GET", "/users/me", token).status_code == 200
