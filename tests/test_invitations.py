"""Invitations: a link for one mailbox, once, worth what its inviter may still give."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes
from email.policy import default
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from ca.directory import invitations, people
from ca.errors import CAError
from ca.identity.links import EVERY
from ca.store import directory, tables
from ca.store import people as store
from ca.store.engine import reading, writing
from tests.databases import new_sqlite
from tests.directory import ACME, Api, apply_text, log_in, records
from tests.web import PASSWORD, Browser, Person, new_services, password_hash

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ca.services import Services

HERE = "/organizations/acme/invitations"
NEW = "dave@elsewhere.example"
GOOD = "purple umbrella thunder violin"


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[Services]:
    with new_services(new_sqlite(tmp_path), tmp_path) as services:
        apply_text(services.engine, ACME)
        yield services


def invite(services: Services, who: Api, email: str = NEW, **more: Any) -> str:
    """Invite somebody; return the token in their mail."""
    answer = who.post(HERE, {"email": email, **more})
    assert answer.status_code == 201, answer.text
    folder = services.settings.data / "mail"
    mails = [message_from_bytes(file.read_bytes(), policy=default) for file in folder.glob("*.eml")]
    newest = [
        re.findall(r"/invitation\?token=(\S+)", mail.get_content())
        for mail in mails
        if mail["To"] == email.lower()
    ]
    open_now = {token for found in newest for token in found if is_good(services, token)}
    assert len(open_now) == 1
    return str(open_now.pop())


def is_good(services: Services, token: str) -> bool:
    try:
        with reading(services.engine) as connection:
            invitations.look(connection, token, int(time.time()))
    except CAError:
        return False
    return True


def sign_up(services: Services, token: str, browser: Browser | None = None, **changed: str) -> Any:
    form = {"token": token, "username": "dave", "name": "Dave Dunn", "password": GOOD}
    return (browser or Browser(services)).post("/invitation/sign-up", form | changed)


def signed_in(services: Services, username: str) -> Browser:
    with writing(services.engine) as connection:
        user = store.find_user_by_name(connection, username)
        assert user
        store.put_password(connection, user.id, password_hash(), int(time.time()))
    browser = Browser(services)
    page = browser.log_in(browser.get("/login"), Person(user.id, username), PASSWORD)
    assert "Security" in page.text
    return browser


def role_of(services: Services, username: str) -> str | None:
    with reading(services.engine) as connection:
        user = store.find_user_by_name(connection, username)
        acme = directory.find_organization(connection, "acme")
        assert acme
        return directory.member_role(connection, acme.id, user.id) if user else None


def test_whoever_is_new_signs_up_and_is_in(acme: Services) -> None:
    bob = log_in(acme, "bob", "pwd")
    grants = {"abcdefg123456": ["production:contributor"]}
    token = invite(acme, bob, projects=grants)
    listed = bob.get(HERE).json()["items"]
    assert [(one["email"], one["role"], one["projects"]) for one in listed] == [
        (NEW, "viewer", grants)
    ]

    page = Browser(acme).get(f"/invitation?token={token}")
    assert page.status_code == 200
    assert NEW in page.text
    assert "Bob Baker" in page.text
    done = sign_up(acme, token)

    assert done.status_code == 200
    assert "You have joined" in done.text
    assert role_of(acme, "dave") == "viewer"
    assert bob.get(HERE).json()["items"] == []
    dave = log_in(acme, "dave", "pwd")
    assert dave.get("/users/me").json()["email_verified"] is True
    project = f"/projects/abcdefg123456/user-access/{dave.user.id}"
    assert dave.get(project).json()["permissions"] == ["production:contributor"]
    browser = Browser(acme)
    person = Person(dave.user.id, "dave")
    assert "Security" in browser.log_in(browser.get("/login"), person, GOOD).text
    events = [event for event, _, _ in records(acme.engine)]
    assert {"invitation:add", "user:add", "member:add", "invitation:accept"} <= set(events)


def test_who_has_an_account_accepts_with_a_click(acme: Services) -> None:
    token = invite(acme, log_in(acme, "bob", "pwd"), "Mallory@Elsewhere.example", role="admin")
    stranger = Browser(acme).get(f"/invitation?token={token}")
    assert "You have an account" in stranger.text
    browser = signed_in(acme, "mallory")

    done = browser.submit(browser.get(f"/invitation?token={token}"))

    assert "You have joined" in done.text
    assert role_of(acme, "mallory") == "admin"


def test_the_login_leads_back_to_the_invitation(acme: Services) -> None:
    token = invite(acme, log_in(acme, "bob", "pwd"), "mallory@elsewhere.example")
    signed_in(acme, "mallory")
    browser = Browser(acme)
    page = browser.get(f"/invitation?token={token}")
    link = re.search(r'class="button" href="([^"]+)"', page.text)
    assert link
    with reading(acme.engine) as connection:
        mallory = store.find_user_by_name(connection, "mallory")
    assert mallory

    back = browser.log_in(browser.get(link[1].replace("&amp;", "&")), Person(mallory.id, "mallory"))

    assert 'action="/invitation"' in back.text


@pytest.mark.attack(125, 155)
def test_a_link_is_good_once(acme: Services) -> None:
    token = invite(acme, log_in(acme, "bob", "pwd"))
    assert sign_up(acme, token).status_code == 200

    again = sign_up(acme, token, username="eve", name="Eve")

    assert again.status_code == 410
    assert Browser(acme).get(f"/invitation?token={token}").status_code == 410
    assert role_of(acme, "eve") is None


@pytest.mark.attack(125)
def test_of_many_at_once_one_is_taken(acme: Services) -> None:
    for attempt in range(4):
        token = invite(acme, log_in(acme, "bob", "pwd"), f"new{attempt}@elsewhere.example")
        names = [f"new{attempt}{letter}" for letter in "ab"]
        asking = [partial(sign_up, acme, token, Browser(acme), username=name) for name in names]
        with ThreadPoolExecutor(2) as pool:
            done = [one.result() for one in [pool.submit(ask) for ask in asking]]

        assert sorted(one.status_code for one in done) in ([200, 409], [200, 410])
        assert sum(role_of(acme, name) is not None for name in names) == 1


@pytest.mark.attack(155)
def test_it_is_for_one_address(acme: Services) -> None:
    token = invite(acme, log_in(acme, "bob", "pwd"), "carol@elsewhere.example")
    browser = signed_in(acme, "mallory")

    page = browser.get(f"/invitation?token={token}")
    refused = browser.post("/invitation", {"token": token})

    assert "This invitation is for another" in page.text
    assert 'action="/invitation"' not in page.text
    assert refused.status_code == 403
    assert role_of(acme, "mallory") is None
    assert is_good(acme, token)


@pytest.mark.attack(155)
def test_no_role_above_the_inviters(acme: Services) -> None:
    bob = log_in(acme, "bob", "pwd")

    assert bob.post(HERE, {"email": NEW, "role": "owner"}).status_code == 403
    assert log_in(acme, "alice", "pwd").post(HERE, {"email": NEW}).status_code == 403
    assert bob.get(HERE).json()["items"] == []


@pytest.mark.attack(155)
@pytest.mark.parametrize("how", ["removed", "demoted", "disabled"])
def test_it_is_worth_what_the_inviter_may_still_give(acme: Services, how: str) -> None:
    apply_text(acme.engine, ACME.replace('alice = "viewer"', 'alice = "owner"'))
    bob, alice = log_in(acme, "bob", "pwd"), log_in(acme, "alice", "pwd")
    token = invite(acme, bob, role="admin")
    member = f"/organizations/acme/members/{bob.user.id}"
    if how == "removed":
        assert alice.http.delete(member).status_code == 204
    elif how == "demoted":
        assert alice.http.patch(member, json={"role": "viewer"}).status_code == 200
    else:
        people.disable(acme.engine, "bob", "operator test", int(time.time()))

    assert sign_up(acme, token).status_code == 410
    assert role_of(acme, "dave") is None


def rest(services: Services) -> None:
    """Let five minutes pass."""
    created_at = tables.invitations.c.created_at
    with writing(services.engine) as connection:
        connection.execute(update(tables.invitations).values(created_at=created_at - EVERY))


def test_no_mailbox_is_filled(acme: Services) -> None:
    bob = log_in(acme, "bob", "pwd")
    made = bob.post(HERE, {"email": NEW})
    assert bob.http.delete(f"{HERE}/{made.json()['id']}").status_code == 204
    for email in (NEW, NEW.upper()):
        again = bob.post(HERE, {"email": email})
        assert (again.status_code, int(again.headers["retry-after"]) > 0) == (429, True)
    assert bob.post(HERE, {"email": f"another-{NEW}"}).status_code == 201
    rest(acme)
    assert bob.post(HERE, {"email": NEW}).status_code == 201


@pytest.mark.attack(125, 155)
def test_withdrawn_replaced_and_old_links_are_over(acme: Services) -> None:
    bob = log_in(acme, "bob", "pwd")
    replaced = invite(acme, bob)
    rest(acme)
    withdrawn = invite(acme, bob)
    listed = bob.get(HERE).json()["items"]
    assert len(listed) == 1
    assert bob.http.delete(f"{HERE}/{listed[0]['id']}").status_code == 204
    assert bob.http.delete(f"{HERE}/{listed[0]['id']}").status_code == 404
    rest(acme)
    old = invite(acme, bob)
    with writing(acme.engine) as connection:
        table = tables.invitations
        connection.execute(update(table).values(expires_at=int(time.time())))

    pages = [
        Browser(acme).get(f"/invitation?token={one}") for one in (replaced, withdrawn, old, "")
    ]

    assert [page.status_code for page in pages] == [410] * 4
    assert len({page.text for page in pages}) == 1


@pytest.mark.attack(121)
def test_whether_there_is_an_account_is_not_told(acme: Services) -> None:
    bob = log_in(acme, "bob", "pwd")

    known = bob.post(HERE, {"email": "mallory@elsewhere.example"}).json()
    unknown = bob.post(HERE, {"email": "nobody1@elsewhere.example"}).json()

    told = ("id", "email", "_links", "created_at", "expires_at")
    assert {k: v for k, v in known.items() if k not in told} == {
        k: v for k, v in unknown.items() if k not in told
    }


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"username": "Dave"}, 400),
        ({"username": "alice"}, 409),
        ({"name": 'Dave "root"'}, 400),
        ({"password": "too short"}, 400),
        ({"password": "davedavedavedave"}, 400),
    ],
)
def test_what_cannot_be_is_said_and_the_link_stays_good(
    acme: Services, changed: dict[str, str], status: int
) -> None:
    token = invite(acme, log_in(acme, "bob", "pwd"))

    page = sign_up(acme, token, None, **changed)

    assert page.status_code == status
    assert 'role="alert"' in page.text
    assert GOOD not in page.text
    assert role_of(acme, "dave") is None
    assert is_good(acme, token)


@pytest.mark.attack(128)
def test_another_site_accepts_nothing(acme: Services) -> None:
    token = invite(acme, log_in(acme, "bob", "pwd"), "mallory@elsewhere.example")
    browser = signed_in(acme, "mallory")

    response = browser.http.post(
        "/invitation", data={"token": token}, headers={"origin": "https://evil.example"}
    )

    assert response.status_code == 403
    assert role_of(acme, "mallory") is None


@pytest.mark.attack(192)
def test_only_a_hash_of_the_link_is_kept(acme: Services) -> None:
    token = invite(acme, log_in(acme, "bob", "pwd"))

    with reading(acme.engine) as connection:
        rows = [tuple(row) for row in connection.execute(select(tables.invitations))]
        log = [tuple(row) for row in connection.execute(select(tables.audit_records))]

    assert rows
    assert token not in str(rows) + str(log)


def test_an_invitation_gives_roles_in_the_organizations_own_projects_alone(acme: Services) -> None:
    evil = (
        '\n[organizations.evil]\nmembers = { mallory = "owner" }\n'
        '[projects.evilevilevil1]\norganization = "evil"\n'
    )
    apply_text(acme.engine, ACME + evil)
    bob = log_in(acme, "bob", "pwd")

    for project in ("evilevilevil1", "nobodynobody1"):
        refused = bob.post(HERE, {"email": NEW, "projects": {project: ["admin"]}})
        assert refused.status_code == 400
        assert "none of this organization's" in refused.json()["error_description"]
