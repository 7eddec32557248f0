"""Members: who gives which role, and that somebody who can decide is always left."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from ca.directory import governed, people
from ca.errors import Conflict
from ca.store import directory, members
from ca.store import people as store
from ca.store.engine import reading, writing
from tests.certificates import line, subject_key
from tests.databases import new_sqlite
from tests.directory import ACME, Api, apply_text, log_in, records, version
from tests.web import ISSUER, new_services, password_hash

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ca.services import Services

HERE = "/organizations/acme/members"
ROLES = ACME.replace('alice = "viewer"', 'alice = "owner"')


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[Services]:
    """One database: what depends on the kind is in test_gate and in the drills."""
    with new_services(new_sqlite(tmp_path), tmp_path) as services:
        apply_text(services.engine, ROLES)  # alice owns it, bob is an admin, carol a viewer
        yield services


def mails(services: Services) -> list[str]:
    folder = services.settings.data / "mail"
    return sorted(file.read_text() for file in folder.glob("*.eml")) if folder.exists() else []


def patch(who: Api, path: str, body: Any) -> Any:
    return who.http.patch(path, json=body)


def role_of(services: Services, username: str) -> str | None:
    with reading(services.engine) as connection:
        acme = directory.find_organization(connection, "acme")
        user = store.find_user_by_name(connection, username)
        assert acme
        assert user
        return directory.member_role(connection, acme.id, user.id)


@pytest.mark.attack(154)
@pytest.mark.parametrize("giver", ["alice", "bob", "carol"])
@pytest.mark.parametrize("before", ["owner", "admin", "viewer"])
@pytest.mark.parametrize("after", ["owner", "admin", "viewer"])
def test_nobody_gives_or_takes_above_their_own(
    acme: Services, giver: str, before: str, after: str
) -> None:
    with_mallory = f'carol = "viewer", mallory = "{before}" }}'
    apply_text(acme.engine, ROLES.replace('carol = "viewer" }', with_mallory))
    mallory = log_in(acme, "mallory", "pwd").user.id
    ladder = {"alice": 3, "bob": 2, "carol": 0}
    heights = {"owner": 3, "admin": 2, "viewer": 1}
    allowed = ladder[giver] >= max(2, heights[before], heights[after])

    changed = patch(log_in(acme, giver, "pwd"), f"{HERE}/{mallory}", {"role": after})

    assert changed.status_code == (200 if allowed else 403)
    assert role_of(acme, "mallory") == (after if allowed else before)


@pytest.mark.attack(146)
def test_the_last_admin_stays_on_every_path(acme: Services) -> None:
    apply_text(acme.engine, ACME)  # bob alone decides
    bob = log_in(acme, "bob", "pwd")
    before = version(acme.engine), records(acme.engine)

    removed = bob.http.delete(f"{HERE}/{bob.user.id}")
    demoted = patch(bob, f"{HERE}/{bob.user.id}", {"role": "viewer"})
    with pytest.raises(Conflict):
        people.disable(acme.engine, "bob", "operator test", int(time.time()))
    with writing(acme.engine) as connection:  # whoever would follow bob is kept out
        alice = store.find_user_by_name(connection, "alice")
        assert alice
        directory.set_disabled(connection, alice.id, int(time.time()))
    followed = ACME.replace('bob = "admin", alice = "viewer"', 'alice = "owner"')
    with pytest.raises(Conflict, match="the last admin of acme"):
        apply_text(acme.engine, followed)

    assert (removed.status_code, demoted.status_code) == (409, 409)
    assert role_of(acme, "bob") == "admin"
    assert (version(acme.engine), records(acme.engine)) == before


@pytest.mark.attack(146)
def test_who_cannot_meet_the_requirement_does_not_count(acme: Services) -> None:
    now = int(time.time())
    with writing(acme.engine) as connection:
        for name in ("alice", "bob"):
            user = store.find_user_by_name(connection, name)
            assert user
            store.put_password(connection, user.id, password_hash(), now)
            if name == "bob":
                store.add_totp(connection, user.id, b"", 0, now)
    bob = log_in(acme, "bob", "pwd", "otp")
    assert bob.post("/organizations/acme/mfa-enforcement/enable").status_code == 204
    acme_id = bob.get("/organizations/acme").json()["id"]
    with reading(acme.engine) as connection:
        assert governed.able_admins(connection, acme_id) == {bob.user.id}

    # alice owns acme, but has no second factor: without bob, nobody would be let in.
    assert bob.http.delete(f"{HERE}/{bob.user.id}").status_code == 409
    assert patch(bob, f"{HERE}/{bob.user.id}", {"role": "viewer"}).status_code == 409
    with pytest.raises(Conflict):
        people.disable(acme.engine, "bob", "operator test", now)
    assert bob.http.delete(f"/users/{bob.user.id}/totp").status_code in (401, 409)

    with writing(acme.engine) as connection:
        alice = store.find_user_by_name(connection, "alice")
        assert alice
        store.add_totp(connection, alice.id, b"", 0, now)
    assert bob.http.delete(f"{HERE}/{bob.user.id}").status_code == 204


def test_who_goes_goes_with_their_roles_in_projects(acme: Services) -> None:
    bob, carol = log_in(acme, "bob", "pwd"), log_in(acme, "carol", "pwd")
    assert carol.get("/projects/abcdefg123456").status_code == 200
    before = version(acme.engine)

    assert bob.http.delete(f"{HERE}/{carol.user.id}").status_code == 204

    assert version(acme.engine) > before
    with reading(acme.engine) as connection:
        assert not members.organizations_of(connection, carol.user.id)
    assert carol.get("/projects/abcdefg123456").status_code == 404
    assert carol.get("/organizations/acme").status_code == 404
    assert carol.get("/users/me").status_code == 200
    assert [record[::2] for record in records(acme.engine)[-2:]] == [
        ("member:remove", "acme carol"),
        ("access:remove", "abcdefg123456 carol production"),
    ]


def test_whom_one_does_not_know_one_invites(acme: Services) -> None:
    bob, mallory = log_in(acme, "bob", "pwd"), log_in(acme, "mallory", "pwd")

    answers = [
        bob.post(HERE, {"user_id": one}) for one in (mallory.user.id, "00000000-0000-4000-8000-0")
    ]

    assert [one.status_code for one in answers] == [400, 400]
    texts = [one.json()["error_description"].partition(" is ")[2] for one in answers]
    assert texts[0] == texts[1]


@pytest.mark.attack(149)
def test_members_without_mfa_are_listed_to_admins_alone(acme: Services) -> None:
    with writing(acme.engine) as connection:
        alice = store.find_user_by_name(connection, "alice")
        assert alice
        store.add_totp(connection, alice.id, b"", 0, 1)

    seen = log_in(acme, "bob", "pwd").get(HERE).json()["items"]
    less = log_in(acme, "carol", "pwd").get(HERE).json()["items"]

    assert {one["user_id"]: one["mfa_enabled"] for one in seen}[alice.id] is True
    assert sum(one["mfa_enabled"] for one in seen) == 1
    assert all("mfa_enabled" not in one for one in less)


@pytest.mark.attack(148, 152, 153)
def test_the_preview_counts_who_would_be_locked_out(acme: Services) -> None:
    now = int(time.time())
    with writing(acme.engine) as connection:
        bob = store.find_user_by_name(connection, "bob")
        assert bob
        store.put_password(connection, bob.id, password_hash(), now)
        store.add_totp(connection, bob.id, b"", 0, now)
    admin = log_in(acme, "bob", "pwd", "otp")
    carol = log_in(acme, "carol", "pwd")
    key = line(subject_key("ssh-ed25519"))
    assert carol.post("/ssh", {"key": key}).status_code == 200

    found = admin.get("/organizations/acme/mfa-enforcement/preview").json()

    assert {one["username"] for one in found["locked_out"]} == {"alice", "carol"}
    assert (found["sessions"], found["certificates"]) == (1, 1)
    stricter = "/organizations/acme/mfa-enforcement/preview?max_age=300"
    log_in(acme, "bob", "pwd", "otp", ago=900)
    assert admin.get(stricter).json()["sessions"] == 2
    assert admin.post("/organizations/acme/mfa-enforcement/enable").status_code == 204
    after = admin.get("/organizations/acme/mfa-enforcement/preview").json()
    assert (after["sessions"], after["certificates"]) == (0, 0)


def test_reminders_go_out_once_an_hour(acme: Services) -> None:
    with writing(acme.engine) as connection:
        alice = store.find_user_by_name(connection, "alice")
        assert alice
        store.add_totp(connection, alice.id, b"", 0, 1)
    bob, carol = log_in(acme, "bob", "pwd"), log_in(acme, "carol", "pwd").user
    path = "/organizations/acme/mfa/remind"

    first = bob.post(path).json()
    asked = {"user_ids": [carol.id, alice.id, "nobody", carol.id]}
    again = bob.post(path, asked).json()

    assert {name: one["code"] for name, one in first.items()} == {carol.id: 200, bob.user.id: 200}
    assert {name: one["code"] for name, one in again.items()} == {
        carol.id: 429,
        alice.id: 409,
        "nobody": 404,
    }
    sent = mails(acme)
    assert len(sent) == 2
    assert any("carol@acme.example" in text and f"{ISSUER}/security" in text for text in sent)
    with writing(acme.engine) as connection:
        acme_id = directory.find_organization(connection, "acme")
        assert acme_id
        an_hour_later = int(time.time()) + 3600
        assert members.remind(connection, acme_id.id, carol.id, an_hour_later, an_hour_later - 3600)


@pytest.mark.attack(150)
def test_the_other_admins_hear_of_less(acme: Services) -> None:
    bob = log_in(acme, "bob", "pwd", "otp")
    path = "/organizations/acme/mfa-enforcement"
    assert bob.post(f"{path}/enable", {"max_age": 3600}).status_code == 204
    assert mails(acme) == []

    assert bob.post(f"{path}/enable", {"max_age": 7200}).status_code == 204
    assert bob.post(f"{path}/disable").status_code == 204

    told = mails(acme)
    assert len(told) == 2
    assert all("To: alice@acme.example" in text and "Bob Baker" in text for text in told)
    assert any("It is now: nothing" in text for text in told)


def test_an_organization_is_the_operators_to_make(acme: Services) -> None:
    bob = log_in(acme, "bob", "pwd")

    refused = bob.post("/organizations", {"label": "Mine"})

    assert refused.status_code == 403
    assert "operator" in refused.json()["error_description"]
    mine = bob.get(f"/organizations?filter[owner_id][eq]={bob.user.id}").json()
    assert mine["items"] == []
    alice = log_in(acme, "alice", "pwd")
    owned = alice.get(f"/organizations?filter[owner_id][eq]={alice.user.id}").json()
    assert [one["name"] for one in owned["items"]] == ["acme"]


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"label": "Acme Ltd", "name": "acme", "country": "", "security_contact": ""}, ""),
        ({"label": "Acme Ltd", "country": "FR"}, "country: nothing else is kept here."),
        ({"billing_profile_id": "42"}, "billing_profile_id: nothing else is kept here."),
        ({"security_contact": "a@acme.example"}, "security_contact: nothing else is kept here."),
    ],
)
def test_what_is_not_kept_of_an_organization_may_be_sent_back(
    acme: Services, change: dict[str, str], refused: str
) -> None:
    bob = log_in(acme, "bob", "pwd", "otp")
    before = bob.get("/organizations/acme").json()

    answer = bob.http.patch("/organizations/acme", json=change)

    assert answer.status_code == (400 if refused else 200)
    assert answer.json().get("error_description", "") == refused
    assert bob.get("/organizations/acme").json() == before | (
        {} if refused else {"label": "Acme Ltd"}
    )


def test_a_project_comes_and_its_organization_stays_while_it_is_there(acme: Services) -> None:
    alice = log_in(acme, "alice", "pwd", "otp")

    made = alice.post("/organizations/acme/projects", {"region": "eu", "title": "New"})

    assert made.status_code == 201
    assert alice.get(f"/projects/{made.json()['id']}").json()["title"] == "New"
    refused = alice.http.delete("/organizations/acme")
    assert refused.status_code == 409
    assert "projects" in refused.json()["error_description"]
