"""What ends a session revokes its certificates, all of them, whatever happens meanwhile."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pyotp
import pytest
from sqlalchemy import insert, select, update
from starlette.testclient import TestClient

from ca import audit
from ca.app import create_app
from ca.directory import people
from ca.errors import NotAuthenticated
from ca.identity import accounts, factors
from ca.identity import sessions as browser
from ca.identity.factors import Acting
from ca.identity.proofs import Proof
from ca.issuance import abandoned, revocation
from ca.issuance.writer import Intent, Writer
from ca.oauth import refresh, revoke, token
from ca.oauth.grants import InvalidGrant, Server
from ca.store import oauth, revocations, sessions, tables
from ca.store import people as store
from ca.store.engine import reading, writing
from ca.store.revocations import Cause
from tests.directory import apply_text, log_in
from tests.issuing import add_session, new_key, post, token_of
from tests.oauth import AMRGATE
from tests.revoking import (
    another_session,
    last_record,
    listed,
    log_out,
    serial_of,
    serials,
    version,
)
from tests.web import ISSUER, PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from ca.services import Services
    from ca.store.sessions import GrantSession


def set_password(services: Services, session: GrantSession, now: int) -> None:
    accounts.set_password(services.engine, "operator olga", session.user.id, PASSWORD + "!", now)


def add_application(services: Services, session: GrantSession, now: int) -> None:
    acting = Acting(session.user.id, "another session", (Proof("pwd", now),))
    secret = factors.offer_totp(services.engine, services.keys.seal, acting, now)
    code = pyotp.TOTP(secret).at(now)
    factors.confirm_totp(services.engine, services.keys.seal, acting, secret, code, now=now)


def remove_application(services: Services, session: GrantSession, now: int) -> None:
    with writing(services.engine) as connection:
        store.add_totp(connection, session.user.id, b"", 0, now)
    proofs = (Proof("pwd", now), Proof("otp", now))
    acting = Acting(session.user.id, "another session", proofs)
    factors.remove_totp(services.engine, acting, now)


def forget_factors(services: Services, session: GrantSession, now: int) -> None:
    people.forget_factors(services.engine, session.user.username, "operator olga", now)


def disable(services: Services, session: GrantSession, now: int) -> None:
    people.disable(services.engine, session.user.username, "operator olga", now)


def revoke_user(services: Services, session: GrantSession, now: int) -> None:
    people.revoke(services.engine, session.user.username, "operator olga", now)


def remove_user(services: Services, session: GrantSession, _now: int) -> None:
    user = session.user
    named = f'[users.{user.username}]\nname = "{user.name}"\nemail = "{user.email}"\n'
    apply_text(services.engine, named)  # what no file named would stay
    apply_text(services.engine, "")


OF_A_USER: dict[str, tuple[str, Callable[[Services, GrantSession, int], None]]] = {
    "logout": ("session:logout", log_out),
    "a new password": ("password:set", set_password),
    "a new factor": ("totp:add", add_application),
    "a factor less": ("totp:remove", remove_application),
    "factors forgotten": ("factors:forget", forget_factors),
    "disabled": ("user:disable", disable),
    "revoked": ("user:revoke", revoke_user),
}


@pytest.mark.attack(62)
@pytest.mark.parametrize("how", OF_A_USER)
def test_what_ends_all_sessions_revokes_all_certificates(services: Services, how: str) -> None:
    event, end = OF_A_USER[how]
    bob = add_session(services, "bob")
    alice = add_session(services)
    others = serials(services, bob)
    revoked = serials(services, alice, 2) | serials(services, another_session(services, alice))
    before = version(services.engine)

    end(services, alice, int(time.time()))

    assert listed(services.engine) == revoked
    assert version(services.engine) > before
    found, actor, detail = last_record(services.engine)
    assert (found, actor) == (event, actor_of(event, alice))
    with reading(services.engine) as connection:
        audit.verify(connection)
    assert detail["revoked"] == [str(one) for one in sorted(revoked)]
    assert not others & listed(services.engine)


def actor_of(event: str, session: GrantSession) -> str:
    own = event in ("session:logout", "totp:add", "totp:remove")
    return session.user.id if own else "operator olga"


def test_a_user_who_is_no_more_has_no_certificates(services: Services) -> None:
    alice = log_in(services, add_session(services).user.username, "pwd").session
    revoked = serials(services, alice, 2)

    remove_user(services, alice, 0)

    assert listed(services.engine) == revoked


def test_the_session_that_changes_a_factor_keeps_its_certificates(services: Services) -> None:
    mine = add_session(services)
    kept = serials(services, mine)
    revoked = serials(services, another_session(services, mine))
    now = int(time.time())

    acting = Acting(mine.user.id, mine.sid, (Proof("pwd", now),))
    secret = factors.offer_totp(services.engine, services.keys.seal, acting, now)
    code = pyotp.TOTP(secret).at(now)
    factors.confirm_totp(services.engine, services.keys.seal, acting, secret, code, now=now)

    assert listed(services.engine) == revoked
    assert kept


def add_refresh_token(
    services: Services, session: GrantSession, text: str, *, used_at: int | None = None
) -> None:
    with writing(services.engine) as connection:
        oauth.add_refresh_token(connection, browser.hash_of(text), session.sid, 0)
        connection.execute(update(tables.refresh_tokens).values(used_at=used_at))


def revoke_token(services: Services, server: Server, session: GrantSession, now: int) -> None:
    add_refresh_token(services, session, "a token")
    revoke.revoke(server, "amrgate", "a token", now)


def use_a_token_twice(services: Services, server: Server, session: GrantSession, now: int) -> None:
    add_refresh_token(services, session, "a token", used_at=now - 60)
    with pytest.raises(InvalidGrant):
        refresh.refresh(server, AMRGATE, "a token", now)


def use_a_code_twice(services: Services, server: Server, session: GrantSession, now: int) -> None:
    code = browser.hash_of("a code")
    spent = oauth.Code("amrgate", "", "", "", session.user.id, "", (), now + 60)
    with writing(services.engine) as connection:
        oauth.add_code(connection, code, spent)
        oauth.spend_code(connection, code, now)
        oauth.note_session_of_code(connection, code, session.sid)
    with pytest.raises(InvalidGrant):
        token.exchange_code(server, AMRGATE, {"code": "a code"}, now)


def by_its_handle(services: Services, _server: Server, session: GrantSession, now: int) -> None:
    revocation.revoke_session(services.engine, session.handle, "operator olga", "theft", now)


OF_A_SESSION: dict[str, tuple[str, Callable[[Services, Server, GrantSession, int], None]]] = {
    "its token is revoked": ("grant:revoke", revoke_token),
    "its token is used twice": ("refresh:reuse", use_a_token_twice),
    "its code is used twice": ("code:reuse", use_a_code_twice),
    "by the operator": ("session:revoke", by_its_handle),
}


@pytest.mark.attack(62)
@pytest.mark.parametrize("how", OF_A_SESSION)
def test_what_ends_one_session_revokes_its_certificates(services: Services, how: str) -> None:
    event, end = OF_A_SESSION[how]
    alice = add_session(services)
    kept = serials(services, another_session(services, alice))
    revoked = serials(services, alice, 2)
    server = Server(services.settings, services.engine, services.keys.token)

    end(services, server, alice, int(time.time()))

    assert listed(services.engine) == revoked
    assert not kept & listed(services.engine)
    found, _actor, detail = last_record(services.engine)
    assert (found, detail["revoked"]) == (event, [str(one) for one in sorted(revoked)])
    assert post(services, token_of(services, alice)).status_code == 401


def test_what_was_given_back_is_spared_no_more_once_all_ends(services: Services) -> None:
    """A thief could give back what was stolen, and keep what is open through a new password."""
    alice = add_session(services)
    given = serials(services, alice)
    now = int(time.time())
    server = Server(services.settings, services.engine, services.keys.token)

    revoke_token(services, server, alice, now)
    assert spared(services.engine) == given
    log_out(services, another_session(services, alice), now)

    assert listed(services.engine) == given
    assert spared(services.engine) == set()


def spared(engine: Engine) -> set[int]:
    with reading(engine) as connection:
        return set(revocations.listed(connection).spared)


def test_a_session_without_certificates_changes_no_list(services: Services) -> None:
    alice = add_session(services)
    before = version(services.engine)

    log_out(services, alice, int(time.time()))

    assert version(services.engine) == before
    assert last_record(services.engine)[2] == {"revoked": []}


# --- no certificate slips through -----------------------------------------------------------


def test_a_session_that_ended_a_moment_ago_has_nothing_recorded_to_be_signed(
    services: Services,
) -> None:
    """Its end and its certificate's record cross each other: nobody would revoke that."""
    ended, alive = add_session(services), add_session(services, "bob")
    log_out(services, ended, int(time.time()))
    writer = Writer(services.engine)

    answers: list[object] = []
    for serial, session in ((1, ended), (2, alive), (3, ended)):
        now = int(time.time())
        intent = Intent(serial, "user", session.user.id, session.sid, now, now + 60, b"")
        try:
            writer.record(intent).result(timeout=20)
            answers.append("recorded")
        except NotAuthenticated as error:
            answers.append(type(error))
    writer.close()

    assert answers == [NotAuthenticated, "recorded", NotAuthenticated]
    with reading(services.engine) as connection:
        query = select(tables.certificates.c.serial, tables.certificates.c.outcome)
        assert dict(map(tuple, connection.execute(query))) == {1: "failed", 2: None, 3: "failed"}


def test_whoever_hammers_while_the_session_ends_has_nothing_that_counts(
    services: Services,
) -> None:
    got: list[int] = []

    def hammer(text: str, http: TestClient) -> None:
        headers = {"authorization": f"Bearer {text}"}
        while True:
            answer = http.post("/ssh", json={"key": new_key()}, headers=headers)
            if answer.status_code != 200:
                assert answer.status_code == 401
                return
            got.append(serial_of(answer.json()["certificate"]))

    app = create_app(services)
    with TestClient(app, base_url=ISSUER) as http:  # one event loop, as in a worker
        for number in range(4):
            alice = add_session(services, f"alice{number}")
            text, had = token_of(services, alice), len(got)
            threads = [threading.Thread(target=hammer, args=(text, http)) for _ in range(4)]
            for thread in threads:
                thread.start()
            while len(got) < had + 10:
                time.sleep(0.001)
            log_out(services, alice, int(time.time()))
            for thread in threads:
                thread.join(timeout=60)
                assert not thread.is_alive()

    assert set(got) <= listed(services.engine)


def test_what_a_killed_node_left_open_is_revoked_as_well(services: Services) -> None:
    alice = add_session(services)
    now = int(time.time())
    with writing(services.engine) as connection:
        for serial, issued_at in ((71, now), (72, now - 120)):
            connection.execute(
                insert(tables.certificates).values(
                    serial=serial,
                    kind="user",
                    subject=alice.user.id,
                    sid=alice.sid,
                    issued_at=issued_at,
                    valid_before=now + 3600,
                )
            )
        assert abandoned.close_abandoned(connection, now) == [72]

    log_out(services, alice, now)

    assert listed(services.engine) == {71, 72}


def test_each_change_is_all_or_nothing(services: Services) -> None:
    alice = add_session(services)
    serials(services, alice)
    before = version(services.engine)

    with writing(services.engine) as connection:
        cause = Cause(int(time.time()), "", "session:logout")
        assert sessions.end_sessions(connection, alice.user.id, cause)
        connection.rollback()

    assert (listed(services.engine), version(services.engine)) == (set(), before)
    assert post(services, token_of(services, alice)).status_code == 200
