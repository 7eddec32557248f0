"""A duty goes on after each failure, and its log does not repeat itself."""

from __future__ import annotations

import pytest

from sshd_hook.agent import duty


class Over(Exception):
    """The test has seen enough."""


def test_a_failure_is_logged_once_until_there_is_another_or_none(
    capfd: pytest.CaptureFixture[str],
) -> None:
    steps = (OSError("a"), OSError("a"), duty.WAITING, OSError("a"), OSError("b"), None)
    outcomes = iter((*steps, OSError("b"), Over()))
    waits: list[None] = []

    def step() -> object:
        if isinstance(outcome := next(outcomes), Exception):
            raise outcome
        return outcome

    with pytest.raises(Over):
        duty.repeat(lambda: waits.append(None), step, (OSError,), "not done")

    lines = [one for one in "".join(capfd.readouterr()).splitlines() if "not done" in one]
    assert [one.rpartition(": ")[2] for one in lines] == ["a", "b", "this is over", "b"]
    assert len(waits) == 8


def test_what_lasts_is_said_ever_more_seldom_and_its_end_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    trouble = duty.Trouble("over")
    said = []
    for now in range(0, 86400, 10):
        trouble.lasts("away", now)
        if "away" in capfd.readouterr().err:
            said.append(now)

    assert said[:8] == [0, 60, 180, 420, 900, 1860, 3780, 7380]
    assert said[8] - said[7] == said[-1] - said[-2] == 3600
    trouble.ends()
    trouble.ends()
    assert capfd.readouterr().err == "sshd-hook: over\n"
    trouble.lasts("away", 86400)
    assert "away" in capfd.readouterr().err


def test_reasons_that_are_never_the_same_do_not_fill_the_log(
    capfd: pytest.CaptureFixture[str],
) -> None:
    trouble = duty.Trouble("over")
    for number in range(1000):
        trouble.lasts(f"{number} s ahead", number / 1000)

    assert len(capfd.readouterr().err.splitlines()) == duty.MOST_REASONS
