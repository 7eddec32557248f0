"""Service users that are exempt from what a login must show: by an owner, or by a file, told to all admins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from ca import settings
from ca.directory.apply.document import Document, InvalidFile
from ca.hosts.content import content_of
from ca.ops.apply import apply
from ca.store import hosts, people, service_users, tables
from ca.store.engine import reading
from sshd_hook.policy import CONTRIBUTOR
from tests.api_tokens import access_token, is_good
from tests.directory import apply_text, log_in, version
from tests.host_client import GLOBEX
from tests.oauth import claims_of
from tests.service_users import (
    MFA,
    OWNED,
    PROJECT,
    SERVICE_USERS,
    admin,
    apply_service_users,
    call,
    exempt,
    give_role,
    made,
    mails,
    owner,
    token_for,
)
from tests.web import pass_time

if TYPE_CHECKING:
    from pathlib import Path

    from ca.services import Services


def test_it_takes_an_owner_and_all_admins_are_told(owned: Services) -> None:
    user = made(admin(owned))

    assert exempt(admin(owned), user["id"]).status_code == 403
    for weak in (
        log_in(owned, "bob", "pwd"),
        log_in(owned, "bob", "pwd", "otp", ago=601),
    ):
        assert exempt(weak, user["id"]).status_code == 401
    assert mails(owned) == []
    before = version(owned.engine)
    answer = exempt(owner(owned), user["id"])

    assert answer.status_code == 200
    assert answer.json()["exempt"] is True
    assert version(owned.engine) > before
    with reading(owned.engine) as connection:
        detail = connection.execute(
            select(tables.audit_records.c.detail).order_by(tables.audit_records.c.seq.desc())
        ).scalar()
    assert detail
    assert '"exempt":true' in detail.partition('"before"')[0]
    assert '"exempt":false' in detail.partition('"before"')[2]
    told = mails(owned)
    assert len(told) == 2
    assert all("Bob Baker has exempted the service user deploy of acme" in one for one in told)

    assert (
        admin(owned)
        .http.patch(f"{SERVICE_USERS}/{user['id']}", json={"name": "D"})
        .json()["exempt"]
    )
    assert exempt(admin(owned), user["id"], value=False).status_code == 403
    assert exempt(owner(owned), user["id"], value=False).json()["exempt"] is False
    assert len(mails(owned)) == 4


@pytest.mark.attack(111)
def test_exempt_it_reaches_its_projects_whatever_a_login_must_show(each_owned: Services) -> None:
    user = made(admin(each_owned))
    give_role(each_owned, user["id"])
    secret = token_for(admin(each_owned), user["id"])
    assert call(each_owned, secret, PROJECT).status_code == 200
    apply_service_users(each_owned, user["id"], MFA + "max_age = 600\n")
    pass_time(each_owned, 3600)

    refused = call(each_owned, secret, PROJECT)
    assert exempt(owner(each_owned), user["id"]).status_code == 200
    allowed = call(each_owned, secret, PROJECT)

    assert refused.status_code == 401
    assert (refused.json()["amr"], refused.json()["max_age"]) == (["mfa"], 600)
    assert allowed.status_code == 200
    assert (
        claims_of(access_token(each_owned, secret))["amr"] == []
    )  # claims are never altered to fit
    # It frees nobody of their role, nor of the networks.
    assert call(each_owned, secret, "/organizations/acme").status_code == 404
    apply_service_users(
        each_owned, user["id"], MFA + 'networks = ["198.51.100.0/24"]\n', exempt=True
    )
    assert call(each_owned, secret, PROJECT).status_code == 404


def test_before_mfa_is_required_those_are_named_that_it_would_keep_out(owned: Services) -> None:
    boss = owner(owned)
    users = {
        name: made(boss, username=name, name=name)["id"] for name in ("deploy", "backup", "idle")
    }
    for name in ("deploy", "backup"):
        give_role(owned, users[name])
        assert call(owned, token_for(boss, users[name]), PROJECT).status_code == 200
    exempt(boss, users["backup"])
    enforcement = "/organizations/acme/mfa-enforcement"

    found = boss.get(f"{enforcement}/preview").json()
    assert boss.post(f"{enforcement}/enable").status_code == 204
    after = boss.get(f"{enforcement}/preview").json()

    told = {"user_id": users["deploy"], "username": "deploy", "name": "deploy"}
    assert found["service_users"] == after["service_users"] == [told]
    assert (found["sessions"], after["sessions"]) == (1, 0)  # its own


def test_hosts_are_told_who_is_exempt_in_its_own_organization_alone(each_owned: Services) -> None:
    apply_text(each_owned.engine, OWNED + GLOBEX)
    user = made(admin(each_owned))
    give_role(each_owned, user["id"])
    give_role(each_owned, user["id"], "globexa654321")

    def told() -> list[tuple[int, bool]]:
        found = []
        with reading(each_owned.engine) as connection:
            for name in ("ssh.acme.example", "ssh.globex.example"):
                host = hosts.find_host(connection, name)
                assert host
                (access_list,) = content_of(connection, host, ()).access_lists
                found.append(access_list[user["id"]])
                people_there = access_list.keys() - {user["id"]}
                assert not any(access_list[one][1] for one in people_there)
        return found

    assert told() == [(CONTRIBUTOR, False), (CONTRIBUTOR, False)]
    assert exempt(owner(each_owned), user["id"]).status_code == 200
    assert told() == [(CONTRIBUTOR, True), (CONTRIBUTOR, False)]


def test_nobody_but_a_service_user_can_be_exempt(owned: Services) -> None:
    alice = log_in(owned, "alice", "pwd").user.id

    assert exempt(owner(owned), alice).status_code == 404
    with reading(owned.engine) as connection:
        assert service_users.find(connection, alice) is None


# --- by a file ------------------------------------------------------------------------------


def test_a_file_names_service_users_and_exempts_them(owned: Services) -> None:
    text = OWNED + '\n[organizations.acme.service_users.deploy]\nname = "Deployer"\n'
    (added,) = (one for one in apply_text(owned.engine, text) if "deploy" in str(one))
    assert str(added) == (
        '+ service_user deploy  organization "acme"  name "Deployer"  exempt false'
    )
    assert apply_text(owned.engine, text) == []

    (changed,) = apply_text(owned.engine, text + "exempt = true\n")

    assert str(changed) == "~ service_user deploy  exempt false → true"
    (listed,) = owner(owned).get(SERVICE_USERS).json()["items"]
    assert listed["exempt"] is True
    user_id = listed["id"]
    secret = token_for(owner(owned), user_id)
    opened = access_token(owned, secret)

    assert [one.sign for one in apply_text(owned.engine, OWNED)] == ["-"]
    assert not is_good(owned, opened)
    with reading(owned.engine) as connection:
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
    owned: Services, tmp_path: Path
) -> None:
    (tmp_path / settings.SETTINGS_FILE).write_text(settings.render(owned.settings))
    file = tmp_path / "acme.toml"
    file.write_text(f"{OWNED}\n[organizations.acme.service_users.deploy]\nexempt = true\n")

    answer = CliRunner().invoke(apply, [str(file), "--data", str(tmp_path)])

    assert answer.exit_code == 0, answer.output
    assert "+ service_user deploy" in answer.output
    told = mails(owned)
    assert len(told) == 2
    assert all("has exempted the service user deploy of acme" in one for one in told)
