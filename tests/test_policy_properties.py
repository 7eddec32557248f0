"""The decision against a second reading of the rules, and its properties."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from sshd_hook.policy import (
    ALLOWED,
    CONTRIBUTOR,
    MORE_AUTHENTICATION,
    NO_ACCESS,
    VIEWER,
    Access,
    Claims,
    Decision,
    Requirement,
    decide,
    in_order,
    join,
)
from tests import oracle
from tests.certificates import NOW
from tests.oracle import Question

if TYPE_CHECKING:
    from collections.abc import Callable

VALUES = ["pwd", "otp", "hwk", "swk", "recovery", "mfa", "mfa"]
SLUGS = ["acme", "evil", "mfa", "acme-2"]
LOGINS = [f"sso:{slug}{mapped}" for slug in SLUGS for mapped in ("", ":mfa")]
NETWORKS = [None, None, None, (), ("192.0.2.0/24",), ("192.0.2.0/24", "2001:db8::/32")]
PEERS = [None, None, "192.0.2.1", "198.51.100.1", "2001:db8::1"]


def some(source: random.Random, values: list[str], most: int) -> frozenset[str]:
    return frozenset(source.sample(values, source.randint(0, most)))


def drawn(source: random.Random) -> Question:
    """Few names and near times, so that what is drawn often matches."""
    providers = some(source, SLUGS, 2)
    own = [f"sso:{slug}" for slug in providers]
    amr = some(source, VALUES + LOGINS, 5)
    return Question(
        amr=amr | {"hwk"} if amr == {"mfa"} else amr,  # it is never alone: the lint sees to that
        auth_time=source.choice(
            [None, *(NOW - age for age in (-301, -300, 0, 299, 300, 301, 9999))]
        ),
        via=source.choice(["", "", "", "device"]),
        role=source.choice([None, *range(1, 5), *range(2, 5)]),
        needed=source.choice([VIEWER, CONTRIBUTOR, CONTRIBUTOR]),
        exempt=source.random() < 0.05,
        required=some(source, ["mfa", *own], len(own)) | some(source, ["mfa"], 1),
        max_age=source.choice([None, 300, 3600]),
        device=source.random() < 0.5,
        networks=source.choice(NETWORKS),
        providers=providers,
        peer=source.choice(PEERS),
        now=NOW,
    )


def parts(q: Question) -> tuple[Requirement, Access | None, Claims]:
    return (
        Requirement(q.required, q.max_age, q.networks, device=q.device, providers=q.providers),
        None if q.role is None else Access(q.role, q.needed, exempt=q.exempt),
        Claims(q.amr, q.auth_time, q.via),
    )


def answer(q: Question) -> Decision:
    return decide(*parts(q), q.peer, q.now)


def test_the_decision_is_that_of_the_second_reading() -> None:
    """Also: each branch that matters is taken often. Agreement on what never happens is nothing."""
    source = random.Random(1)
    seen: Counter[str] = Counter()
    count = 100_000
    for _ in range(count):
        q = drawn(source)
        ours, theirs = answer(q), oracle.answer(q)
        assert ours.outcome == theirs.outcome, q
        assert ours.amr == theirs.required, q
        assert frozenset(ours.missing) == theirs.missing, q
        assert len(ours.missing) == len(theirs.missing), q
        assert ours.max_age == (q.max_age if ours.outcome == MORE_AUTHENTICATION else None), q
        foreign = q.amr & {v for v in LOGINS if v.split(":")[1] not in q.providers}
        seen[ours.outcome] += 1
        seen["allowed though much was required"] += ours.outcome == ALLOWED and bool(q.required)
        seen["allowed beside a foreign login"] += ours.outcome == ALLOWED and bool(foreign)
        seen["mfa for a foreign login"] += "mfa" in ours.amr and "mfa" not in q.required
        seen["mfa there, not counted"] += "mfa" in q.amr and "mfa" in ours.missing
        seen["mapped"] += ours.outcome == ALLOWED and "mfa" in q.required and "mfa" not in q.amr
        for part in ours.missing:
            seen[f"missing {part}"] += 1
    rare = {branch: times for branch, times in seen.items() if times < count // 200}
    assert not rare, f"taken in less than one question of 200: {rare}"
    assert len(seen) >= 12, seen


# --- properties -----------------------------------------------------------------------------

questions = st.builds(lambda seed: drawn(random.Random(seed)), st.integers(0, 2**64))

TAKE_AWAY: dict[str, Callable[[Question], Question]] = {
    "the service": lambda q: replace(q, role=None),
    "the role": lambda q: replace(q, role=q.needed - 1),
    "the client's network": lambda q: replace(q, networks=()),
    "being elsewhere": lambda q: replace(q, networks=("10.0.0.0/8",), peer="192.0.2.1"),
}
TAKE_AWAY_FROM_REQUIRED: dict[str, Callable[[Question], Question]] = {
    "what was proved": lambda q: replace(q, amr=frozenset()),
    "the time": lambda q: replace(q, auth_time=None),
    "the past": lambda q: replace(q, auth_time=q.now + 301),
    "being recent": lambda q: replace(q, max_age=300, auth_time=q.now - 301),
    "a browser": lambda q: replace(q, via="device", device=False),
    "a value": lambda q: replace(q, required=q.required | {"sso:nobody"}),
}


@settings(max_examples=500, deadline=None)
@given(questions)
def test_what_is_allowed_is_refused_once_any_ground_is_taken_away(q: Question) -> None:
    if answer(q).outcome != ALLOWED:
        return
    assert {answer(take(q)).outcome for take in TAKE_AWAY.values()} == {NO_ACCESS}
    if q.required and not q.exempt:
        for ground, take in TAKE_AWAY_FROM_REQUIRED.items():
            assert answer(take(q)).outcome == MORE_AUTHENTICATION, ground


@settings(max_examples=500, deadline=None)
@given(questions)
def test_more_authentication_helps(q: Question) -> None:
    """Whoever does all that the refusal asks for is let in: nobody runs in a circle."""
    refused = answer(q)
    if refused.outcome == MORE_AUTHENTICATION:
        proved = {value for value in refused.amr if value != "mfa"} | {"mfa", "otp", "pwd"}
        better = replace(q, amr=frozenset(proved), auth_time=q.now, via="")
        assert answer(better).outcome == ALLOWED


@settings(max_examples=500, deadline=None)
@given(questions)
def test_only_what_is_required_is_said_to_be_missing(q: Question) -> None:
    refused = answer(q)
    assert set(refused.missing) <= {*refused.amr, "max_age", "device"}
    assert refused.amr == in_order(set(refused.amr))
    assert refused.outcome == MORE_AUTHENTICATION or not (refused.amr or refused.missing)


@settings(max_examples=500, deadline=None)
@given(questions, questions, questions)
def test_a_joined_requirement_is_met_by_whoever_meets_each(
    q: Question, second: Question, third: Question
) -> None:
    asked = [
        replace(
            q,
            **{name: getattr(one, name) for name in ("required", "max_age", "device", "networks")},
        )
        for one in (q, second, third)
    ]
    asked = [one if one.required else replace(one, max_age=None) for one in asked]
    joined = join(parts(one)[0] for one in asked)
    _, access, shown = parts(q)
    every = all(answer(one).outcome == ALLOWED for one in asked)
    assert (decide(joined, access, shown, q.peer, q.now).outcome == ALLOWED) is every


def test_mfa_comes_first_and_the_rest_in_byte_order() -> None:
    assert in_order({"sso:b", "mfa", "sso:a-1", "sso:a", "sso:9"}) == (
        "mfa",
        "sso:9",
        "sso:a",
        "sso:a-1",
        "sso:b",
    )
