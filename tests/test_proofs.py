"""What a login amounts to, and what it still has to show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.identity.proofs import (
    Proof,
    Proofs,
    amr_of,
    auth_time_of,
    from_fields,
    since,
    to_fields,
    with_proof,
)
from ca.identity.stepup import (
    NONE,
    Ask,
    Second,
    Step,
    choices,
    may_change_factors,
    next_step,
)

VALUES = ["pwd", "otp", "recovery", "hwk", "swk", "sso:acme", "sso:other", "sso:acme:mfa"]
proofs = st.lists(
    st.builds(Proof, st.sampled_from(VALUES), st.integers(0, 9), st.booleans()),
    max_size=4,
    unique_by=lambda proof: proof.amr,
).map(tuple)


@pytest.mark.parametrize(
    ("proved", "amr"),
    [
        pytest.param((), set(), id="a service user proves nothing"),
        pytest.param((Proof("pwd", 1),), {"pwd"}, id="knowledge alone"),
        pytest.param((Proof("otp", 1),), {"otp"}, id="possession alone"),
        pytest.param((Proof("pwd", 1), Proof("otp", 2)), {"pwd", "otp", "mfa"}, id="both"),
        pytest.param(
            (Proof("pwd", 1), Proof("recovery", 2)), {"pwd", "recovery", "mfa"}, id="recovery code"
        ),
        pytest.param((Proof("sso:a", 1), Proof("otp", 2)), {"sso:a", "otp", "mfa"}, id="sso, otp"),
        pytest.param((Proof("pwd", 1), Proof("sso:a", 2)), {"pwd", "sso:a"}, id="knowledge twice"),
        pytest.param((Proof("otp", 1), Proof("hwk", 2)), {"otp", "hwk"}, id="possession twice"),
        pytest.param((Proof("hwk", 1),), {"hwk"}, id="a key that was only touched"),
        pytest.param((Proof("hwk", 1, verified=True),), {"hwk", "mfa"}, id="a key with a PIN"),
        pytest.param(
            (Proof("sso:a:mfa", 1), Proof("otp", 2)), {"sso:a:mfa", "otp"}, id="only told"
        ),
    ],
)
def test_mfa_is_two_kinds_that_we_checked(proved: Proofs, amr: set[str]) -> None:
    assert amr_of(proved) == amr


def test_the_oldest_factor_dates_a_login() -> None:
    assert auth_time_of((Proof("pwd", 50), Proof("otp", 40))) == 40
    assert auth_time_of(()) is None


@given(proofs)
def test_proofs_survive_the_database(proved: Proofs) -> None:
    assert from_fields(to_fields(proved)) == proved


@given(proofs, st.sampled_from(VALUES), st.integers(0, 9))
def test_a_step_up_only_adds(proved: Proofs, value: str, at: int) -> None:
    lifted = with_proof(proved, Proof(value, at))
    assert amr_of(lifted) >= {one.amr for one in proved} | {value}
    assert at in [one.at for one in lifted if one.amr == value]
    assert ("mfa" in amr_of(lifted)) >= ("mfa" in amr_of(proved))


@given(proofs, st.integers(0, 9))
def test_what_is_too_old_takes_mfa_with_it(proved: Proofs, moment: int) -> None:
    left = since(proved, moment)
    assert all(one.at >= moment for one in left)
    assert amr_of(left) <= amr_of(proved)
    assert ("mfa" in amr_of(left)) <= (auth_time_of(left) is not None)


PASSWORD = Proof("pwd", 100)
CODE = Proof("otp", 100)
RECOVERY = Proof("recovery", 100)
SSO = Proof("sso:acme", 100)
TOLD = Proof("sso:acme:mfa", 100)
TOUCHED = Proof("hwk", 100)
VERIFIED = Proof("swk", 100, verified=True)

APP = Second(frozenset({"otp"}), 50)
KEY = Second(frozenset({"hwk"}), 50)
BOTH = Second(frozenset({"otp", "hwk"}), 50)


def asking(*values: str) -> Ask:
    return Ask(frozenset(values))


@pytest.mark.parametrize(
    ("ask", "proved", "second", "step"),
    [
        pytest.param(Ask(), (), NONE, Step.PASSWORD, id="nothing yet"),
        pytest.param(Ask(), (PASSWORD,), NONE, Step.DONE, id="no second factor"),
        pytest.param(Ask(), (PASSWORD,), APP, Step.SECOND, id="who has an app is asked for it"),
        pytest.param(Ask(), (PASSWORD,), KEY, Step.SECOND, id="who has a key is asked for it"),
        pytest.param(Ask(), (CODE,), APP, Step.PASSWORD, id="a code alone"),
        pytest.param(Ask(), (PASSWORD, CODE), APP, Step.DONE, id="both"),
        pytest.param(Ask(), (PASSWORD, RECOVERY), APP, Step.DONE, id="the app is lost"),
        pytest.param(asking("mfa"), (PASSWORD,), NONE, Step.ENROL, id="none to ask for"),
        pytest.param(asking("pwd"), (PASSWORD,), NONE, Step.DONE, id="as asked"),
        pytest.param(asking("otp"), (PASSWORD, RECOVERY), APP, Step.SECOND, id="to the letter"),
        pytest.param(asking("sso:acme"), (PASSWORD,), NONE, Step.SSO, id="a provider"),
        pytest.param(asking("sso:acme", "mfa"), (), NONE, Step.SSO, id="the provider first"),
        pytest.param(asking("sso:acme"), (SSO, CODE), APP, Step.DONE, id="provider and app"),
        pytest.param(asking("sso:acme"), (SSO,), APP, Step.SECOND, id="the app also by provider"),
        pytest.param(asking("sso:other"), (SSO,), NONE, Step.SSO, id="another provider"),
        pytest.param(asking("pwd"), (SSO,), NONE, Step.PASSWORD, id="a password beside it"),
        pytest.param(Ask(), (SSO,), NONE, Step.DONE, id="a provider is a whole login"),
        pytest.param(asking("mfa"), (SSO, TOLD), NONE, Step.ENROL, id="what it tells is no mfa"),
        pytest.param(asking("sso:acme"), (TOLD,), NONE, Step.SSO, id="nor a login"),
        pytest.param(
            asking("sso:acme"),
            (SSO, CODE),
            Second(APP.kinds, 101),
            Step.SSO,
            id="a provider from before the app",
        ),
        pytest.param(asking("face"), (PASSWORD,), NONE, Step.UNMET, id="not here"),
        pytest.param(Ask(since=101), (PASSWORD, CODE), APP, Step.PASSWORD, id="both too old"),
        pytest.param(Ask(since=100), (PASSWORD, CODE), APP, Step.DONE, id="just recent enough"),
        pytest.param(Ask(since=101), (Proof("pwd", 101), CODE), APP, Step.SECOND, id="one too old"),
        pytest.param(
            Ask(),
            (PASSWORD, CODE),
            Second(APP.kinds, 101),
            Step.PASSWORD,
            id="a password from before the app",
        ),
        pytest.param(asking("mfa"), (PASSWORD, CODE), NONE, Step.DONE, id="the app was removed"),
        pytest.param(Ask(), (VERIFIED,), BOTH, Step.DONE, id="a passkey is a whole login"),
        pytest.param(asking("mfa"), (VERIFIED,), BOTH, Step.DONE, id="and two kinds of factor"),
        pytest.param(asking("mfa"), (VERIFIED,), NONE, Step.DONE, id="also once it is removed"),
        pytest.param(Ask(), (TOUCHED,), KEY, Step.PASSWORD, id="a touch alone"),
        pytest.param(asking("mfa"), (TOUCHED,), KEY, Step.PASSWORD, id="a touch is no mfa"),
        pytest.param(asking("mfa"), (PASSWORD, TOUCHED), KEY, Step.DONE, id="password and touch"),
        pytest.param(asking("pwd"), (VERIFIED,), KEY, Step.PASSWORD, id="a password all the same"),
        pytest.param(asking("hwk"), (PASSWORD, CODE), BOTH, Step.SECOND, id="hardware is asked"),
        pytest.param(asking("hwk"), (VERIFIED,), BOTH, Step.SECOND, id="not a synced one"),
        pytest.param(asking("swk"), (PASSWORD, TOUCHED), KEY, Step.ENROL, id="has no synced one"),
        pytest.param(asking("otp"), (VERIFIED,), APP, Step.SECOND, id="a code as well"),
        pytest.param(Ask(since=101), (VERIFIED,), KEY, Step.PASSWORD, id="a passkey too old"),
    ],
)
@pytest.mark.attack(133)
def test_a_login_asks_only_for_what_is_missing(
    ask: Ask, proved: Proofs, second: Second, step: Step
) -> None:
    assert next_step(ask, proved, second) is step


def test_a_touch_takes_no_verified_key_out_of_a_session() -> None:
    lifted = with_proof((Proof("hwk", 50, verified=True),), TOUCHED)
    assert amr_of(lifted) == {"hwk", "mfa"}
    assert amr_of(since(lifted, 100)) == {"hwk"}, "what is too old counts no longer"
    assert with_proof((TOUCHED,), Proof("hwk", 200, verified=True)) == (
        Proof("hwk", 200, verified=True),
    )


def test_what_is_asked_by_name_is_what_the_page_takes() -> None:
    assert choices(Ask(), (PASSWORD,), BOTH) == {"otp", "hwk"}
    assert choices(asking("mfa"), (PASSWORD,), BOTH) == {"otp", "hwk"}
    assert choices(asking("hwk"), (PASSWORD,), BOTH) == {"hwk"}
    assert choices(asking("hwk"), (PASSWORD, TOUCHED), BOTH) == {"otp", "hwk"}


@pytest.mark.attack(202)
@pytest.mark.parametrize(
    ("proved", "now", "has_second", "may"),
    [
        pytest.param((PASSWORD,), 700, False, True, id="the first factor"),
        pytest.param((PASSWORD,), 701, False, False, id="too long ago"),
        pytest.param((PASSWORD,), 100, True, False, id="a stolen password"),
        pytest.param((PASSWORD, CODE), 700, True, True, id="both"),
        pytest.param((PASSWORD, Proof("otp", 600)), 701, True, False, id="one too long ago"),
        pytest.param((PASSWORD, Proof("hwk", 600, verified=True)), 701, True, True, id="a passkey"),
        pytest.param((PASSWORD, Proof("hwk", 600)), 701, True, False, id="a touch is not enough"),
        pytest.param((), 100, False, False, id="a service user"),
    ],
)
def test_who_may_change_what_one_logs_in_with(
    proved: Proofs, now: int, *, has_second: bool, may: bool
) -> None:
    assert may_change_factors(proved, now, has_second_factor=has_second) is may
