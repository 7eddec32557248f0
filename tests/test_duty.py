"""A duty goes on after each failure, and its log does not repeat itself."""

from __future__ import annotations

import pytest

from sshd_hook.agent import duty


class Over(Exception):
    """The test has seen enough."""


def test_a_failure_is_logged_once_until_there_is_another_or_none(
    capfd: pytest.CaptureFixture[str],
) -> None:
    outcomes = iter((OSError("a"), OSError("a"), OSError("b"), None, OSError("b"), Over()))
    waits: list[None] = []

    def step() -> None:
        if (outcome := next(outcomes)) is not None:
            raise outcome

    with pytest.raises(Over):
        duty.repeat(lambda: waits.append(None), step, (OSError,), "not done")

    lines = [one for one in "".join(capfd.readouterr()).splitlines() if "not done" in one]
    assert [one.rpartition(": ")[2] for one in lines] == ["a", "b", "b"]
    assert len(waits) == 6
