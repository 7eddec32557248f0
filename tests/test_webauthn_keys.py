"""Whose keys there are: who may add and remove one, and what goes with it."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from ca.errors import Conflict, InsufficientAuthentication, InvalidRequest, NotFound
from ca.identity import factors, webauthn
from ca.identity.factors import Acting
from ca.identity.proofs import Proof
from ca.identity.webauthn import KeyRefused
from ca.store import people
from ca.store import webauthn as store
from ca.store.engine import reading
from tests.directory import ACME, apply_text
from tests.security_keys import Desk, acting, authenticator
from tests.web import add_person


def test_several_keys_have_names(desk: Desk) -> None:
    alice = add_person(desk.services, "alice")
    codes = desk.register(acting(alice, "pwd"), authenticator(), "  Läptop ")
    assert len(set(codes)) == 10
    assert desk.register(acting(alice, "pwd", "hwk"), authenticator(), "phone") == []
    assert sorted(key.name for key in desk.keys(alice)) == ["Läptop", "phone"]
    for name in ("", "  ", "a" * 65, "a\nb", "a\x00"):
        with pytest.raises(InvalidRequest, match="name"):
            desk.register(acting(alice, "pwd", "hwk"), authenticator(), name)


def test_there_are_enough_keys_at_some_point(desk: Desk) -> None:
    alice = add_person(desk.services, "alice")
    me = acting(alice, "pwd", "hwk")
    for _ in range(webauthn.MAX_KEYS):
        desk.register(me, authenticator())
    with pytest.raises(Conflict, match="20 keys"):
        desk.register(me, authenticator())


@pytest.mark.attack(134)
def test_a_key_is_registered_once_and_to_one_person(desk: Desk) -> None:
    alice, mallory = add_person(desk.services, "alice"), add_person(desk.services, "mallory")
    key = authenticator()
    desk.register(acting(alice, "pwd"), key)
    for me in (acting(alice, "pwd", "hwk"), acting(mallory, "pwd")):
        with pytest.raises(Conflict):
            desk.register(me, key)
    assert [len(desk.keys(one)) for one in (alice, mallory)] == [1, 0]
    offer = json.loads(desk.offer(acting(alice, "pwd", "hwk")).options)
    assert len(offer["excludeCredentials"]) == 1


@pytest.mark.attack(132)
def test_an_offer_is_taken_once_and_where_it_was_made(desk: Desk) -> None:
    alice, mallory = add_person(desk.services, "alice"), add_person(desk.services, "mallory")
    me, key = acting(alice, "pwd"), authenticator()
    offer = desk.offer(me)
    made = key.create(offer.options)
    elsewhere = replace(me, session_id="another session")
    for other in (elsewhere, acting(mallory, "pwd")):
        with pytest.raises(InvalidRequest):
            desk.take(other, offer, made)
    with pytest.raises(KeyRefused):
        desk.take(me, desk.offer(me), made)
    desk.take(me, offer, made)
    with pytest.raises(Conflict):
        desk.take(acting(alice, "pwd", "hwk"), offer, authenticator().create(offer.options))


def test_a_person_is_called_alike_by_all_their_keys_and_not_by_their_id(desk: Desk) -> None:
    alice, bob = add_person(desk.services, "alice"), add_person(desk.services, "bob")
    handles = [
        json.loads(desk.offer(acting(one, "pwd")).options)["user"]["id"]
        for one in (alice, alice, bob)
    ]
    assert handles[0] == handles[1] != handles[2]
    key = authenticator()
    desk.register(acting(alice, "pwd"), key)
    assert key.handle
    assert len(key.handle) == store.HANDLE
    assert alice.id.encode() not in key.handle


@pytest.mark.attack(202)
def test_a_stolen_password_adds_and_removes_no_key(desk: Desk) -> None:
    alice, bob = add_person(desk.services, "alice"), add_person(desk.services, "bob", app=True)
    desk.register(acting(alice, "pwd"), authenticator())
    now = int(time.time())
    for person in (alice, bob):
        for thief in (
            acting(person, "pwd"),
            acting(person, "pwd", "otp", ago=700),
            acting(person, "otp"),
            acting(person, "hwk"),
        ):
            with pytest.raises(InsufficientAuthentication) as refused:
                desk.offer(thief)
            assert (refused.value.amr, refused.value.max_age) == (("mfa",), 600)
            with pytest.raises(InsufficientAuthentication):
                webauthn.remove(desk.services.engine, thief, desk.keys(alice)[0].id, now)
    offer = desk.offer(acting(bob, "pwd", "otp"))
    with pytest.raises(InsufficientAuthentication):
        desk.take(acting(bob, "pwd"), offer, authenticator().create(offer.options))
    assert [len(desk.keys(one)) for one in (alice, bob)] == [1, 0]


@pytest.mark.attack(134)
def test_nobody_removes_the_key_of_another(desk: Desk) -> None:
    alice, mallory = add_person(desk.services, "alice"), add_person(desk.services, "mallory")
    desk.register(acting(alice, "pwd"), authenticator())
    for key_id in (desk.keys(alice)[0].id, "nothing"):
        with pytest.raises(NotFound):
            webauthn.remove(desk.services.engine, acting(mallory, "pwd"), key_id, int(time.time()))
    assert len(desk.keys(alice)) == 1


def test_recovery_codes_go_with_the_last_second_factor(desk: Desk) -> None:
    bob = add_person(desk.services, "bob", app=True)
    me, engine, now = acting(bob, "pwd", "otp"), desk.services.engine, int(time.time())
    factors.renew_recovery_codes(engine, me, now)
    assert desk.register(me, authenticator()) == []
    factors.remove_totp(engine, me, now)
    assert factors.of_user(engine, bob.id).recovery_codes == 10
    webauthn.remove(engine, me, desk.keys(bob)[0].id, now)
    assert factors.of_user(engine, bob.id) == factors.Overview(None, 0)


def test_an_organization_that_requires_mfa_keeps_its_members_last_factor(desk: Desk) -> None:
    engine, now = desk.services.engine, int(time.time())
    apply_text(engine, f'{ACME}\n[organizations.acme.requirement]\namr = ["mfa"]\n')
    with reading(engine) as connection:
        alice = people.find_user_by_name(connection, "alice")
    assert alice
    me = Acting(alice.id, "a session", (Proof("pwd", now), Proof("otp", now)))
    desk.register(me, authenticator())
    desk.register(me, authenticator())
    with reading(engine) as connection:
        first, last = (key.id for key in store.keys_of(connection, alice.id))
    webauthn.remove(engine, me, first, now)
    with pytest.raises(Conflict, match="required by acme"):
        webauthn.remove(engine, me, last, now)
    assert len(factors.of_user(engine, alice.id).keys) == 1
    apply_text(engine, ACME)
    webauthn.remove(engine, me, last, now)
