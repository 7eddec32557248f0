"""Certificates as they are issued: what is in them, for how long, and who gets one."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, insert, update

from ca.issuance import draft
from ca.issuance.subject_key import parse_subject_key
from ca.issuance.verify import ACTIVE, verify_certificate
from ca.store import sessions
from ca.store.engine import writing
from ca.store.revocations import Cause
from ca.store.tables import members, organizations, revoked_access_tokens, users
from sshd_hook.wire import unb64
from tests.certificates import keygen
from tests.issuing import add_session, intents, issue, new_key, post, read, token_of
from tests.web import Browser, Client, Person

if TYPE_CHECKING:
    from pathlib import Path

    from ca.services import Services
    from ca.store.sessions import GrantSession


def test_it_says_who_and_how_and_until_when(services: Services) -> None:
    session = add_session(services, amr="pwd otp", via="device")
    before = int(time.time())

    line = issue(services, session)

    found = verify_certificate(
        unb64(line.split(" ")[1]), {services.keys.user_ca.public_key: ACTIVE}
    )
    assert found.key_id == session.user.id
    assert found.principals == (session.user.id,)
    assert found.serial >> 32 >= before - 60
    assert before - 60 <= found.valid_after <= before - 55
    assert found.valid_before == found.valid_after + 60 + 3600
    assert found.critical_options == ()


def test_its_options_are_the_bytes_that_ssh_keygen_writes(
    services: Services, tmp_path: Path
) -> None:
    session = add_session(services, amr="pwd otp", via="device")
    line = issue(services, session)
    (tmp_path / "subject.pub").write_text(new_key() + "\n")
    keygen("-t", "ed25519", "-N", "", "-f", tmp_path / "ca")
    options = [
        "amr@amrgate=mfa,otp,pwd",
        f"auth-time@amrgate={session.auth_time}",
        f"session@amrgate={session.handle}",
        "name@amrgate=Alice",
        "via@amrgate=device",
        "has-mfa@platform.sh",
    ]
    words = [word for option in options for word in ("-O", f"extension:{option}")]
    permits = ["pty", "port-forwarding", "agent-forwarding", "X11-forwarding"]
    words += ["-O", "clear", *[word for one in permits for word in ("-O", f"permit-{one}")]]
    keygen("-s", tmp_path / "ca", "-I", "x", "-n", "x", *words, tmp_path / "subject.pub")

    theirs = read((tmp_path / "subject-cert.pub").read_text().strip())

    assert read(line).extensions == theirs.extensions


def test_a_password_alone_is_not_mfa(services: Services) -> None:
    found = dict(read(issue(services, add_session(services))).extensions)

    assert found["amr@amrgate"] == b"\0\0\0\x03pwd"
    assert "has-mfa@platform.sh" not in found
    assert "via@amrgate" not in found


def test_one_line_end_is_taken_off_and_nothing_else_is_taken(services: Services) -> None:
    session = add_session(services)
    key = new_key()

    line = issue(services, session, key=f"{key}\n", principals=["root"], amr=["mfa"])

    assert read(line).public_key == parse_subject_key(key)
    assert read(line).principals == (session.user.id,)


# --- how long it lives ----------------------------------------------------------------------

ABSENT = object()


@pytest.mark.attack(75)
@pytest.mark.parametrize(
    ("asked", "lifetime"),
    [
        pytest.param(ABSENT, 3600, id="missing"),
        pytest.param(300, 300, id="the shortest"),
        pytest.param(1800, 1800, id="shorter"),
        pytest.param(3600, 3600, id="the longest"),
        pytest.param(3601, 3600, id="one more"),
        pytest.param(2**63, 3600, id="2^63"),
        pytest.param(10**400, 3600, id="absurd"),
        pytest.param(299, None, id="one less"),
        pytest.param(1, None, id="1"),
        pytest.param(0, None, id="0"),
        pytest.param(-1, None, id="-1"),
        pytest.param(1800.0, None, id="float"),
        pytest.param("1e9", None, id="text"),
        pytest.param("1800", None, id="digits"),
        pytest.param(None, None, id="null"),
        pytest.param(True, None, id="true"),
        pytest.param([1800], None, id="list"),
    ],
)
def test_a_lifetime_is_granted_cut_or_refused(
    services: Services, asked: object, lifetime: int | None
) -> None:
    session = add_session(services)
    fields = {} if asked is ABSENT else {"lifetime": asked}

    response = post(services, token_of(services, session), **fields)

    if lifetime is None:
        assert response.status_code == 400, response.text
        assert "lifetime" in response.json()["error_description"]
        assert intents(services.engine) == []
    else:
        found = read(response.json()["certificate"])
        assert found.valid_before - found.valid_after == 60 + lifetime


@pytest.mark.attack(75)
@pytest.mark.parametrize(
    ("limits", "lifetime"),
    [((), 3600), ((None, 1800), 1800), ((7200, 1200), 1200), ((10, None), 300), ((-5,), 300)],
)
def test_the_strictest_limit_wins(limits: tuple[int | None, ...], lifetime: int) -> None:
    assert draft.lifetime(draft.MAX_LIFETIME, limits) == lifetime
    assert draft.lifetime(300, limits) == 300


@pytest.mark.attack(75)
def test_an_organization_of_the_person_or_the_session_may_say_less(services: Services) -> None:
    session = add_session(services, life=1000)
    now = int(time.time())
    found = read(issue(services, session))
    assert 990 <= found.valid_before - now <= 1000

    with writing(services.engine) as connection:
        for name, limit in (("acme", 600), ("other", None)):
            values = {"id": name, "name": name, "label": name, "created_at": now}
            connection.execute(insert(organizations).values(**values, certificate_lifetime=limit))
            values = {"organization_id": name, "user_id": session.user.id, "role": "viewer"}
            connection.execute(insert(members).values(**values))

    found = read(issue(services, session))
    assert found.valid_before - found.valid_after == 60 + 600


# --- who gets one ---------------------------------------------------------------------------


@pytest.mark.attack(68)
def test_nobody_gets_one_without_an_access_token(services: Services) -> None:
    session = add_session(services)
    alice = Person(session.user.id, "alice")
    browser = Browser(services)
    client = Client(services)
    tokens = client.exchange(client.log_in(browser, alice)).json()
    assert browser.cookie
    key = {"key": new_key()}
    cases = {
        "no token": browser.http.post(
            "/ssh", json=key, headers={"origin": "http://127.0.0.1:8080"}
        ),
        "an empty one": post(services, ""),
        "a refresh token": post(services, tokens["refresh_token"]),
        "a cookie": post(services, browser.cookie),
        "a session's id": post(services, session.sid),
        "another scheme": Browser(services).http.post(
            "/ssh", json=key, headers={"authorization": f"Basic {tokens['access_token']}"}
        ),
        "in the address": Browser(services).http.post(
            f"/ssh?access_token={tokens['access_token']}", json=key
        ),
    }

    assert {name: answer.status_code for name, answer in cases.items()} == dict.fromkeys(cases, 401)
    assert intents(services.engine) == []
    assert post(services, tokens["access_token"]).status_code == 200


def end(services: Services, session: GrantSession, how: str) -> None:
    now = int(time.time())
    with writing(services.engine) as connection:
        if how == "ended":
            sessions.end_grant_session(connection, session.sid, Cause(now, "", ""))
        elif how == "disabled":
            connection.execute(update(users).values(disabled_at=now))
        elif how == "deleted":
            connection.execute(delete(users).where(users.c.id == session.user.id))


@pytest.mark.parametrize("how", ["ended", "disabled", "deleted"])
def test_what_ended_gets_none_at_the_very_next_request(services: Services, how: str) -> None:
    session = add_session(services)
    token = token_of(services, session)
    assert post(services, token).status_code == 200

    end(services, session, how)

    answer = post(services, token)
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_token"
    assert "amrgate login" in answer.json()["error_description"]
    assert len(intents(services.engine)) == 1


def test_a_revoked_token_gets_none(services: Services) -> None:
    session = add_session(services)
    token = token_of(services, session)
    payload = token.split(".")[1]
    jti = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"]
    with writing(services.engine) as connection:
        connection.execute(insert(revoked_access_tokens).values(jti=jti, expires_at=2**40))

    assert post(services, token).status_code == 401
    assert post(services, token_of(services, session)).status_code == 200


def test_a_token_for_somebody_else_s_session_gets_none(services: Services) -> None:
    alice, bob = add_session(services), add_session(services, "bob")
    forged = replace(alice, user=bob.user)

    assert post(services, token_of(services, forged)).status_code == 401


def test_a_session_without_a_time_gets_none(services: Services) -> None:
    session = add_session(services, "robot", amr="")

    assert post(services, token_of(services, session)).status_code == 403


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", '{"key"'),
        (b'{"key": null}', '{"key"'),
        (b'{"key": ["ssh-ed25519 A"]}', '{"key"'),
        (b'{"key": "a", "key": "b"}', "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(services: Services, body: bytes, words: str) -> None:
    token = token_of(services, add_session(services))
    http = Browser(services).http

    answer = http.post("/ssh", content=body, headers={"authorization": f"Bearer {token}"})

    assert answer.status_code == 400
    assert words in answer.json()["error_description"]
    assert answer.json()["error"] == "invalid_request"
