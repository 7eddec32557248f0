"""Three quiet days, then the CA is away: a host decides on, right, for as long as it may."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.certificates import ALICE, NOW
from tests.drills.offline import HOUR, POLL, Login, decided
from tests.drills.offline import left_alone as leave_alone

if TYPE_CHECKING:
    from sshd_hook.answer import Policy


@pytest.fixture(scope="module")
def left_alone() -> Policy:
    return leave_alone()


@pytest.mark.attack(53)
def test_logins_go_on_for_23_hours_and_end_with_the_day(left_alone: Policy) -> None:
    def allowed(hours: float, label: str) -> bool:
        return decided(left_alone, Login(ALICE, label), NOW + int(hours * HOUR)) == "allowed"

    assert all(allowed(hours, "open") and allowed(hours, "mfa") for hours in range(24))
    assert allowed(23.9, "mfa")
    assert not allowed(24, "mfa")


@pytest.mark.parametrize(("label", "hours"), [("short", 2), ("strict", 1)])
def test_an_organization_may_want_the_ca_to_be_heard_more_lately(
    left_alone: Policy, label: str, hours: int
) -> None:
    def code(now: int) -> str:
        return decided(left_alone, Login(ALICE, label), now)

    end = NOW - POLL + hours * HOUR

    assert (code(end), code(end + 1)) == ("allowed", "policy_stale")
    assert decided(left_alone, Login(ALICE, "mfa"), end + 1) == "allowed"
