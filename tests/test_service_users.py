"""Service users: they log in by API tokens alone, and an owner may exempt them, told to all admins."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from ca import settings
from ca.directory import people as directory_people
from ca.directory.apply.document import Document, InvalidFile
from ca.errors import InsufficientAuthentication, InvalidRequest
from ca.hosts.content import content_of
from ca.identity import accounts, factors
from ca.identity.factors import Acting
from ca.ops.apply import apply
from ca.store import directory, hosts, people, service_users, tables
from ca.store.engine import reading, writing
from sshd_hook.certificate import AMR, AUTH_TIME, parse
from sshd_hook.policy import CONTRIBUTOR
from sshd_hook.wire import unb64
from tests.api_tokens import access_token, exchange, http_of, is_good
from tests.databases import new_sqlite
from tests.directory import ACME, apply_text, log_in, records, version
from tests.host_client import GLOBEX, public_key
from tests.oauth import claims_of
from tests.web import (
    PASSWORD,
    Browser,
    Client,
    Person,
    new_services,
    pass_time,
    password_hash,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ca.services import Services
    from tests.directory import Api

pytest_plugins = ["tests.web"]

OWNED = ACME.replace('{ bob = "admin", alice', '{ bob = "owner", carol = "admin", alice').replace(
    ', carol = "viewer" }', " }"
)
MFA = '\n[organizations.acme.requirement]\namr = ["mfa"]\n'
SERVICE_USERS = "/organizations/acme/service-users"
PROJECT = "/projects/abcdefg123456"
DEPLOY = {"username": "deploy", "name": "Deployer"}


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with new_services(new_sqlite(tmp_path), tmp_path) as new:
        yield new


@pytest.fixture
def acme(services: Services) -> Services:
    apply_text(services.engine, OWNED)
    return services


@pytest.fixture
def each_acme(database_url: str, tmp_path: Path) -> Iterator[Services]:
    """Once on each database."""
    with new_services(database_url, tmp_path) as new:
        apply_text(new.engine, OWNED)
        yield new


def owner(services: Services) -> Api:
    return log_in(services, "bob", "pwd", "otp")


def admin(services: Services) -> Api:
    return log_in(services, "carol", "pwd", "otp")


def made(api: Api, **changed: str) -> dict[str, Any]:
    response = api.post(SERVICE_USERS, {**DEPLOY, **changed})
    assert response.status_code == 201, response.text
    user: dict[str, Any] = response.json()
    return user


def give_role(services: Services, user_id: str, project: str = "abcdefg123456") -> None:
    row = {"project_id": project, "user_id": user_id, "scope": "production", "role": "contributor"}
    with writing(services.engine) as connection:
        connection.execute(tables.project_access.insert().values(row))


def token_for(api: Api, user_id: str) -> str:
    response = api.post(f"/users/{user_id}/api-tokens", {"name": "pipeline"})
    assert response.status_code == 201, response.text
    return str(response.json()["token"])


def call(services: Services, secret: str, path: str) -> Any:
    headers = {"authorization": f"Bearer {access_token(services, secret)}"}
    return http_of(services).get(path, headers=headers)


def mails(services: Services) -> list[str]:
    folder = services.settings.data / "mail"
    return [file.read_text() for file in folder.iterdir()] if folder.exists() else []


def exempt(api: Api, user_id: str, value: object = True) -> Any:  # noqa: FBT002 -- what is sent
    return api.http.patch(f"{SERVICE_USERS}/{user_id}", json={"exempt": value})


# --- making them ----------------------------------------------------------------------------


def test_an_admin_makes_one_which_is_no_member_and_not_exempt(each_acme: Services) -> None:
    before = version(each_acme.engine)
    user = made(admin(each_acme))

    listed = log_in(each_acme, "alice", "pwd").get(SERVICE_USERS).json()

    assert listed["items"] == [user]
    assert (user["username"], user["exempt"], user["deactivated"]) == ("deploy", False, False)
    assert version(each_acme.engine) > before
    carol = admin(each_acme).user.id
    assert ("service_user:add", carol, "deploy") in records(each_acme.engine)
    with reading(each_acme.engine) as connection:
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
    acme: Services, who: str, proofs: tuple[str, ...], ago: int, status: int
) -> None:
    user = made(admin(acme))
    api = log_in(acme, who, *proofs, ago=ago)
    before = records(acme.engine)
    one = f"{SERVICE_USERS}/{user['id']}"

    answers = [
        api.post(SERVICE_USERS, {**DEPLOY, "username": "other"}),
        api.http.patch(one, json={"name": "Other"}),
        api.http.delete(one),
        api.post(f"/users/{user['id']}/api-tokens", {"name": "mine"}),
    ]

    assert [answer.status_code for answer in answers] == [status] * 4
    assert records(acme.engine) == before
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
def test_what_cannot_be_made(acme: Services, changed: dict[str, str], status: int) -> None:
    api = admin(acme)
    made(api)

    assert api.post(SERVICE_USERS, {**DEPLOY, **changed}).status_code == status


def test_others_organizations_have_their_own(acme: Services) -> None:
    apply_text(acme.engine, OWNED + GLOBEX)
    mallory = log_in(acme, "mallory", "pwd", "otp")
    user = made(admin(acme))
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
def test_a_token_proves_nothing_but_when_it_was_made(acme: Services) -> None:
    user = made(admin(acme))
    secret = token_for(admin(acme), user["id"])
    with reading(acme.engine) as connection:
        made_at = connection.execute(select(tables.api_tokens.c.created_at)).scalar_one()

    claims = claims_of(access_token(acme, secret))
    answer = Client(acme).api("POST", "/ssh", access_token(acme, secret), {"key": public_key()})

    assert claims["amr"] == []
    assert claims["auth_time"] == made_at
    certificate, _signed, _signature = parse(unb64(answer.json()["certificate"].split()[1]))
    extensions = dict(certificate.extensions)
    assert AMR not in extensions
    assert extensions[AUTH_TIME][4:] == str(made_at).encode()
    assert certificate.key_id == user["id"]
    told = [mail for mail in mails(acme) if "pipeline" in mail or "API token" in mail]
    assert len(told) == 2  # bob and carol, who decide in acme; alice does not
    assert not [mail for mail in told if secret in mail]


def test_its_admin_sees_and_removes_its_tokens(acme: Services) -> None:
    user = made(admin(acme))
    secret = token_for(admin(acme), user["id"])
    path = f"/users/{user['id']}/api-tokens"
    opened = access_token(acme, secret)

    (token,) = log_in(acme, "bob", "pwd").get(path).json()
    assert token["mfa_on_creation"] is False
    assert log_in(acme, "alice", "pwd", "otp").get(path).status_code == 403

    assert log_in(acme, "bob", "pwd").http.delete(f"{path}/{token['id']}").status_code == 204
    assert not is_good(acme, opened)
    assert exchange(acme, secret).status_code == 400


def test_the_organizations_certificate_lifetime_holds_for_it(acme: Services) -> None:
    apply_text(acme.engine, OWNED.replace("label =", "certificate_lifetime = 600\nlabel ="))
    secret = token_for(admin(acme), made(admin(acme))["id"])

    answer = Client(acme).api("POST", "/ssh", access_token(acme, secret), {"key": public_key()})

    certificate, _signed, _signature = parse(unb64(answer.json()["certificate"].split()[1]))
    assert certificate.valid_before - time.time() <= 600


@pytest.mark.parametrize("how", ["removed", "disabled"])
@pytest.mark.attack(90, 91)
def test_without_it_there_is_nothing_left(each_acme: Services, how: str) -> None:
    user = made(admin(each_acme))
    secret = token_for(admin(each_acme), user["id"])
    opened = access_token(each_acme, secret)
    assert Client(each_acme).api("POST", "/ssh", opened, {"key": public_key()}).status_code == 200

    if how == "removed":
        assert admin(each_acme).http.delete(f"{SERVICE_USERS}/{user['id']}").status_code == 204
    else:
        directory_people.disable(each_acme.engine, "deploy", "operator test", int(time.time()))
        assert (
            admin(each_acme).post(f"/users/{user['id']}/api-tokens", {"name": "x"}).status_code
            == 409
        )

    assert not is_good(each_acme, opened)
    assert exchange(each_acme, secret).status_code == 400
    with reading(each_acme.engine) as connection:
        assert len(connection.execute(select(tables.revocations)).all()) == 1


# --- no other way in ------------------------------------------------------------------------


@pytest.mark.attack(80)
def test_it_logs_in_no_other_way(acme: Services) -> None:
    user = made(admin(acme))
    person = Person(user["id"], "deploy")
    now = int(time.time())
    with pytest.raises(InvalidRequest):
        accounts.set_password(acme.engine, "operator", person.id, PASSWORD, now)
    with writing(acme.engine) as connection:  # not even if there were one
        people.put_password(connection, person.id, password_hash(), now)

    browser = Browser(acme)
    page = browser.log_in(browser.get("/login"), person)

    assert "do not belong together" in page.text


@pytest.mark.attack(80)
def test_its_token_gives_it_nothing_that_one_logs_in_with(acme: Services) -> None:
    user = made(admin(acme))
    token = access_token(acme, token_for(admin(acme), user["id"]))
    client, here = Client(acme), f"/users/{user['id']}"

    for method, path, status in (
        ("GET", f"{here}/totp", 401),
        ("DELETE", f"{here}/totp", 401),
        ("POST", f"{here}/codes", 401),
    ):
        assert client.api(method, path, token).status_code == status
    answer = client.api("POST", f"{here}/api-tokens", token, {"name": "another"})
    assert answer.status_code == 403
    session = claims_of(token)["sid"]
    acting = Acting(user["id"], session, ())
    with pytest.raises(InsufficientAuthentication):
        factors.offer_totp(acme.engine, acme.keys.seal, acting, int(time.time()))
    assert client.api("GET", "/users/me", token).status_code == 200


# --- exempt ---------------------------------------------------------------------------------


def test_it_takes_an_owner_and_all_admins_are_told(acme: Services) -> None:
    user = made(admin(acme))

    assert exempt(admin(acme), user["id"]).status_code == 403
    for weak in (log_in(acme, "bob", "pwd"), log_in(acme, "bob", "pwd", "otp", ago=601)):
        assert exempt(weak, user["id"]).status_code == 401
    assert mails(acme) == []
    before = version(acme.engine)
    answer = exempt(owner(acme), user["id"])

    assert answer.status_code == 200
    assert answer.json()["exempt"] is True
    assert version(acme.engine) > before
    with reading(acme.engine) as connection:
        detail = connection.execute(
            select(tables.audit_records.c.detail).order_by(tables.audit_records.c.seq.desc())
        ).scalar()
    assert detail
    assert '"exempt":true' in detail.partition('"before"')[0]
    assert '"exempt":false' in detail.partition('"before"')[2]
    told = mails(acme)
    assert len(told) == 2
    assert all("Bob Baker has exempted the service user deploy of acme" in one for one in told)

    assert (
        admin(acme).http.patch(f"{SERVICE_USERS}/{user['id']}", json={"name": "D"}).json()["exempt"]
    )
    assert exempt(admin(acme), user["id"], value=False).status_code == 403
    assert exempt(owner(acme), user["id"], value=False).json()["exempt"] is False
    assert len(mails(acme)) == 4


@pytest.mark.attack(111)
def test_exempt_it_reaches_its_projects_whatever_a_login_must_show(each_acme: Services) -> None:
    user = made(admin(each_acme))
    give_role(each_acme, user["id"])
    secret = token_for(admin(each_acme), user["id"])
    assert call(each_acme, secret, PROJECT).status_code == 200
    apply_service_users(each_acme, user["id"], MFA + "max_age = 600\n")
    pass_time(each_acme, 3600)

    refused = call(each_acme, secret, PROJECT)
    assert exempt(owner(each_acme), user["id"]).status_code == 200
    allowed = call(each_acme, secret, PROJECT)

    assert refused.status_code == 401
    assert (refused.json()["amr"], refused.json()["max_age"]) == (["mfa"], 600)
    assert allowed.status_code == 200
    assert (
        claims_of(access_token(each_acme, secret))["amr"] == []
    )  # claims are never altered to fit
    # It frees nobody of their role, nor of the networks.
    assert call(each_acme, secret, "/organizations/acme").status_code == 404
    apply_service_users(
        each_acme, user["id"], MFA + 'networks = ["198.51.100.0/24"]\n', exempt=True
    )
    assert call(each_acme, secret, PROJECT).status_code == 404


def apply_service_users(
    services: Services, user_id: str, text: str, *, exempt: bool = False
) -> None:
    """Require something, with a file that knows the service user."""
    with reading(services.engine) as connection:
        found = people.find_user(connection, user_id)
    assert found
    service_user = f"\n[organizations.acme.service_users.{found.username}]\nname = {found.name!r}\n"
    service_user += "exempt = true\n" if exempt else ""
    access = f'{found.username} = {{ production = "contributor" }}\nbob = {{ project'
    file = OWNED.replace("bob = { project", access) + service_user + text
    apply_text(services.engine, file)


def test_hosts_are_told_who_is_exempt_in_its_own_organization_alone(each_acme: Services) -> None:
    apply_text(each_acme.engine, OWNED + GLOBEX)
    user = made(admin(each_acme))
    give_role(each_acme, user["id"])
    give_role(each_acme, user["id"], "globexa654321")

    def told() -> list[tuple[int, bool]]:
        found = []
        with reading(each_acme.engine) as connection:
            for name in ("ssh.acme.example", "ssh.globex.example"):
                host = hosts.find_host(connection, name)
                assert host
                (access_list,) = content_of(connection, host, ()).access_lists
                found.append(access_list[user["id"]])
                people_there = access_list.keys() - {user["id"]}
                assert not any(access_list[one][1] for one in people_there)
        return found

    assert told() == [(CONTRIBUTOR, False), (CONTRIBUTOR, False)]
    assert exempt(owner(each_acme), user["id"]).status_code == 200
    assert told() == [(CONTRIBUTOR, True), (CONTRIBUTOR, False)]


def test_nobody_but_a_service_user_can_be_exempt(acme: Services) -> None:
    alice = log_in(acme, "alice", "pwd").user.id

    assert exempt(owner(acme), alice).status_code == 404
    with reading(acme.engine) as connection:
        assert service_users.find(connection, alice) is None


# --- by a file ------------------------------------------------------------------------------


def test_a_file_names_service_users_and_exempts_them(services: Services) -> None:
    text = OWNED + '\n[organizations.acme.service_users.deploy]\nname = "Deployer"\n'
    (added,) = (one for one in apply_text(services.engine, text) if "deploy" in str(one))
    assert str(added) == (
        '+ service_user deploy  organization "acme"  name "Deployer"  exempt false'
    )
    assert apply_text(services.engine, text) == []

    (changed,) = apply_text(services.engine, text + "exempt = true\n")

    assert str(changed) == "~ service_user deploy  exempt false → true"
    (listed,) = owner(services).get(SERVICE_USERS).json()["items"]
    assert listed["exempt"] is True
    user_id = listed["id"]
    secret = token_for(owner(services), user_id)
    opened = access_token(services, secret)

    assert [one.sign for one in apply_text(services.engine, OWNED)] == ["-"]
    assert not is_good(services, opened)
    with reading(services.engine) as connection:
        assert people.find_user(connection, user_id) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[organizations.acme.service_users.alice]", "is also the name of another user"),
        ("[organizations.acme.service_users.Deploy]", "is not a user name"),
        ('[organizations.acme.service_users.deploy]\nexempt = "yes"', "neither true nor false"),
        ("[organizations.acme.service_users.deploy]\nemail = 'a@b.example'", "no such key"),
        (
            (
                '[organizations.globex]\nmembers = { mallory = "owner" }\n'
                "[organizations.globex.service_users.deploy]\n"
                "[projects.abcdefg123457]\norganization = 'acme'\n"
                "[projects.abcdefg123457.access]\ndeploy = { project = 'viewer' }"
            ),
            "another organization's service user",
        ),
        (
            (
                "[organizations.globex.service_users.deploy]\n"
                '[organizations.globex.members]\ndeploy = "owner"'
            ),
            "there is no user",
        ),
    ],
)
def test_what_a_file_must_not_say_of_them(text: str, fault: str) -> None:
    with pytest.raises(InvalidFile, match=fault):
        Document(f"{OWNED}\n{text}\n", "acme.toml")


def test_the_operator_who_exempts_one_tells_the_admins_as_well(
    acme: Services, tmp_path: Path
) -> None:
    (tmp_path / settings.SETTINGS_FILE).write_text(settings.render(acme.settings))
    file = tmp_path / "acme.toml"
    file.write_text(f"{OWNED}\n[organizations.acme.service_users.deploy]\nexempt = true\n")

    answer = CliRunner().invoke(apply, [str(file), "--data", str(tmp_path)])

    assert answer.exit_code == 0, answer.output
    assert "+ service_user deploy" in answer.output
    told = mails(acme)
    assert len(told) == 2
    assert all("has exempted the service user deploy of acme" in one for one in told)
