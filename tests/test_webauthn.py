"""Passkeys and security keys in use: what a use amounts to, and each answer once."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import func, select

from ca.errors import InvalidRequest, TooManyAttempts
from ca.identity import accounts, attempts, webauthn
from ca.identity.ceremony import LIFETIME
from ca.identity.proofs import Proof
from ca.identity.webauthn import Question, WrongKey
from ca.store import attempts as counts
from ca.store import directory, tables
from ca.store import webauthn as store
from ca.store.engine import open_engine, reading, writing
from ca.store.tables import webauthn_challenges
from tests.authenticator import ELIGIBLE, PRESENT, VERIFIED, Authenticator
from tests.security_keys import BROWSER, Desk, acting, authenticator, user
from tests.test_totp import at_once
from tests.web import PASSWORD, add_person


@pytest.mark.attack(133)
@pytest.mark.parametrize(
    ("flags", "amr", "verified"), [(PRESENT, "hwk", 0), (PRESENT | ELIGIBLE, "swk", VERIFIED)]
)
def test_a_key_says_who_it_is_and_how(desk: Desk, flags: int, amr: str, verified: int) -> None:
    alice = add_person(desk.services, "alice")
    key = authenticator(flags | verified)
    desk.register(acting(alice, "pwd"), key)

    use = desk.use(key)

    assert use.user == user(desk.services, alice)
    assert use.proof == Proof(amr, use.proof.at, verified=bool(verified))
    assert not use.counter_fell
    assert desk.keys(alice)[0].used_at == use.proof.at


@pytest.mark.attack(132)
def test_an_answer_counts_once(desk: Desk) -> None:
    alice = add_person(desk.services, "alice")
    key = authenticator()
    desk.register(acting(alice, "pwd"), key)
    question = desk.ask()
    answer = key.get(question.options)
    desk.check(BROWSER, question, answer)
    for again in (answer, key.get(question.options)):
        with pytest.raises(WrongKey):
            desk.check(BROWSER, question, again)


@pytest.mark.attack(132)
def test_two_answers_at_once_on_two_nodes_are_one(desk: Desk) -> None:
    alice = add_person(desk.services, "alice")
    keys = [authenticator(), authenticator()]
    desk.register(acting(alice, "pwd"), keys[0])
    desk.register(acting(alice, "pwd", "hwk"), keys[1])
    nodes = [
        desk,
        Desk(replace(desk.services, engine=open_engine(desk.services.settings.database))),
    ]
    for _ in range(10):
        question = desk.ask()
        answers = [key.get(question.options) for key in keys]
        outcomes = at_once(
            [
                partial(node.check, BROWSER, question, answer)
                for node, answer in zip(nodes, answers, strict=True)
            ]
        )
        assert sum(isinstance(one, webauthn.Use) for one in outcomes) == 1, outcomes
        assert sum(isinstance(one, WrongKey) for one in outcomes) == 1, outcomes
        for key in keys:
            desk.use(key)  # or the one that was too late five times would have to wait
    nodes[1].services.engine.dispose()


@pytest.mark.attack(132)
def test_a_thousand_challenges_are_spent_once_each(desk: Desk) -> None:
    nodes = [desk.services.engine, open_engine(desk.services.settings.database)]
    spent = [0, 0]

    def spend_all(place: int) -> None:
        for number in range(1000):
            with writing(nodes[place]) as connection:
                spent[place] += store.spend_challenge(connection, f"{number:064}", 10**9, 10**9)

    at_once([partial(spend_all, 0), partial(spend_all, 1)])
    nodes[1].dispose()
    assert sum(spent) == 1000


@pytest.mark.attack(132)
def test_a_question_is_answered_where_it_was_put(desk: Desk) -> None:
    alice, bob = add_person(desk.services, "alice"), add_person(desk.services, "bob")
    key = authenticator()
    desk.register(acting(alice, "pwd"), key)
    asked = webauthn.for_second("a session", alice.id)
    question = desk.ask(asked)
    answer = key.get(question.options)
    for other in (
        BROWSER,
        webauthn.for_login("a session"),
        webauthn.for_second("another session", alice.id),
        webauthn.for_second("a session", bob.id),
        webauthn.for_registration(acting(alice, "pwd")),
    ):
        with pytest.raises(InvalidRequest):
            desk.check(other, question, answer)
    with pytest.raises(InvalidRequest):
        desk.check(asked, Question("", "made up"), answer)
    with pytest.raises(WrongKey):
        desk.check(asked, desk.ask(asked), answer)
    assert desk.check(asked, question, answer).user.id == alice.id


@pytest.mark.attack(132)
@pytest.mark.parametrize(("ago", "taken"), [(LIFETIME, True), (LIFETIME + 1, False)])
def test_a_question_grows_old(desk: Desk, ago: int, *, taken: bool) -> None:
    alice = add_person(desk.services, "alice")
    key = authenticator()
    desk.register(acting(alice, "pwd"), key)
    question = desk.ask(ago=ago)
    answer = key.get(question.options)
    if taken:
        desk.check(BROWSER, question, answer)
    else:
        with pytest.raises(InvalidRequest, match="older than ten minutes"):
            desk.check(BROWSER, question, answer)


def test_spent_challenges_do_not_pile_up(desk: Desk) -> None:
    for expires_at in (1000, 1000 + store.SPENT_KEPT, 9000):
        with writing(desk.services.engine) as connection:
            assert store.spend_challenge(connection, f"{expires_at:064}", expires_at, 4601)
    with reading(desk.services.engine) as connection:
        left = connection.execute(select(webauthn_challenges.c.expires_at)).scalars().all()
    assert sorted(left) == [4600, 9000]


@pytest.mark.attack(134)
def test_the_key_of_another_does_not_lift_a_session(desk: Desk) -> None:
    alice, mallory = add_person(desk.services, "alice"), add_person(desk.services, "mallory")
    key, others = authenticator(), authenticator()
    desk.register(acting(alice, "pwd"), key)
    desk.register(acting(mallory, "pwd"), others)
    asked = webauthn.for_second("a session", alice.id)
    with pytest.raises(WrongKey):
        desk.use(others, asked)
    question = desk.ask(asked)
    named = json.loads(others.get(question.options)) | {
        name: json.loads(key.get(question.options))[name] for name in ("id", "rawId")
    }
    with pytest.raises(WrongKey):
        desk.check(asked, question, json.dumps(named))


def test_a_key_that_does_not_know_its_person_needs_a_name_first(desk: Desk) -> None:
    alice = add_person(desk.services, "alice")
    key = authenticator()
    desk.register(acting(alice, "pwd"), key)
    key.handle = None
    with pytest.raises(WrongKey):
        desk.use(key)
    assert desk.use(key, webauthn.for_second("a session", alice.id)).user.id == alice.id


@pytest.mark.attack(121)
@pytest.mark.attack(134)
def test_whatever_is_wrong_is_told_alike(desk: Desk) -> None:
    alice, gone = add_person(desk.services, "alice"), add_person(desk.services, "gone")
    removed, disabled, forged, unknown = (authenticator() for _ in range(4))
    desk.register(acting(alice, "pwd"), forged)
    desk.register(acting(alice, "pwd", "hwk"), removed)
    desk.register(acting(gone, "pwd"), disabled)
    unknown.handle = forged.handle
    [key_id] = [one.id for one in desk.keys(alice) if one.credential_id == removed.id]
    webauthn.remove(desk.services.engine, acting(alice, "pwd", "hwk"), key_id, desk.now)
    with writing(desk.services.engine) as connection:
        directory.set_disabled(connection, gone.id, 1)
    forged._key = authenticator().key
    told = set()
    for key in (removed, disabled, forged, unknown):
        for _ in range(attempts.FREE):
            with pytest.raises(WrongKey) as wrong:
                desk.use(key)
            told.add(wrong.value.message)
        with pytest.raises(TooManyAttempts) as late:
            desk.use(key)
        told.add(late.value.message)
    assert len(told) == 2, told


@pytest.mark.attack(133)
def test_a_counter_that_falls_is_flagged_and_stays_high(desk: Desk) -> None:
    alice = add_person(desk.services, "alice")
    key = authenticator(count=7)
    desk.register(acting(alice, "pwd"), key)
    for count, fell in ((8, False), (9, False), (9, True), (5, True), (6, True), (0, True)):
        key.count = count
        assert desk.use(key).counter_fell is fell, count
        assert desk.keys(alice)[0].sign_count == max(8, min(count, 9) if not fell else 9)
    key.count = 10
    assert not desk.use(key).counter_fell
    assert desk.keys(alice)[0].counter_fell_at
    assert desk.events("webauthn:counter") == 4


@pytest.mark.attack(133)
def test_a_key_without_a_counter_is_never_flagged(desk: Desk) -> None:
    alice = add_person(desk.services, "alice")
    key = authenticator(count=0)
    desk.register(acting(alice, "pwd"), key)
    assert not any(desk.use(key).counter_fell for _ in range(3))
    assert desk.keys(alice)[0].counter_fell_at is None


@pytest.mark.attack(118)
@pytest.mark.attack(120)
def test_who_guesses_a_password_does_not_lock_out_the_key(desk: Desk) -> None:
    alice = add_person(desk.services, "alice")
    key = authenticator()
    desk.register(acting(alice, "pwd"), key)
    engine, now = desk.services.engine, desk.now
    for guess in range(attempts.MAX_FAILURES):
        attempts.admit(engine, alice.id, now - (attempts.MAX_FAILURES - guess) * 3600)
    with pytest.raises(TooManyAttempts):
        accounts.check_password(engine, desk.services.keys.seal, "alice", PASSWORD, now)

    use = desk.use(key)

    assert use.user.id == alice.id
    accounts.settle(engine, alice.id, replace(use.proof, verified=False), complete=False)
    with pytest.raises(TooManyAttempts):
        accounts.check_password(engine, desk.services.keys.seal, "alice", PASSWORD, now)
    accounts.settle(engine, alice.id, use.proof, complete=True)
    accounts.check_password(engine, desk.services.keys.seal, "alice", PASSWORD, now)


@pytest.mark.attack(117)
@pytest.mark.attack(118)
def test_wrong_answers_of_a_key_are_counted_before_they_are_checked(desk: Desk) -> None:
    alice = add_person(desk.services, "alice")
    key = authenticator()
    desk.register(acting(alice, "pwd"), key)
    thief = replace(key, _key=authenticator().key)
    for _ in range(attempts.FREE):
        with pytest.raises(WrongKey):
            desk.use(thief)
    with pytest.raises(TooManyAttempts):
        desk.use(key)
    assert desk.events("login:fail") == attempts.FREE


@pytest.mark.attack(120)
def test_who_is_told_a_keys_id_does_not_lock_its_owner_out(desk: Desk) -> None:
    """Whoever knows the password is told it, with the question for the second factor."""
    alice = add_person(desk.services, "alice")
    key = authenticator()
    desk.register(acting(alice, "pwd"), key)
    accounts.know_browser(desk.services.engine, alice.id, "hers", "", desk.now)
    thief = replace(key, _key=authenticator().key)
    for _ in range(attempts.FREE):
        with pytest.raises(WrongKey):
            desk.use(thief)
    with pytest.raises(TooManyAttempts):
        desk.use(key, browser="another one")

    assert desk.use(key, browser="hers").user.id == alice.id
    assert desk.use(key).user.id == alice.id, "and then everywhere"


@pytest.mark.attack(120, 121)
def test_who_makes_up_keys_fills_nothing_up_and_keeps_nobody_out(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webauthn, "MAX_FAILED", 3)
    alice, key = add_person(desk.services, "alice"), authenticator()
    desk.register(acting(alice, "pwd"), key)

    def fail(key: Authenticator, address: str) -> tuple[int, int]:
        """Fail with it, and return how many audit records and counts there are then."""
        with pytest.raises(WrongKey):
            desk.use(key, address=address)
        with reading(desk.services.engine) as connection:
            rows = select(func.count()).select_from(tables.attempts)
            return desk.events("login:fail"), connection.execute(rows).scalar_one()

    for number in range(3):
        made_up, counted = fail(authenticator(), f"2001:db8::{number}")
    assert (made_up, desk.events("login:flood")) == (3, 1)

    # One that somebody has and one that nobody has are the same to whoever tries them, ever so often.
    known, unknown = replace(key, _key=authenticator().key), authenticator()
    for _ in range(attempts.FREE + 2):
        assert fail(known, "2001:db8::f") == fail(unknown, "2001:db8::f") == (3, counted)
    assert desk.use(key, address="2001:db8::f").user.id == alice.id
    assert fail(unknown, "2001:db8:0:1::1")[0] == 4, "another network"
    assert desk.events("login:flood") == 1


@pytest.mark.attack(105, 118)
def test_a_key_that_is_called_like_something_else_brings_no_guesses_back(desk: Desk) -> None:
    """Keys choose their ids: this one's is what codes of devices are counted by."""
    mallory = add_person(desk.services, "mallory")
    counted = f"Device {mallory.id}"
    name = f"{counted} {desk.now // attempts.WINDOW}".encode()
    key = replace(authenticator(), id=name)
    desk.register(acting(mallory, "pwd"), key)
    engine, subject = desk.services.engine, attempts.in_window(counted, desk.now)
    with writing(engine) as connection:
        assert counts.count_below(connection, subject, 10, desk.now)

    desk.use(key)

    with reading(engine) as connection:
        assert counts.find_count(connection, subject).failures == 1
