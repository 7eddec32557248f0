"""A clock that is set, or wrong, is noticed; nothing is obeyed for it, and all heals by itself."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from sshd_hook import freshness, paths
from sshd_hook.agent import clock
from tests.agents import DAY, once, snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hosts import Host

# The agent, once, by a clock that is this many seconds ahead.
AGENT = f"""
import sys, time
sys.path.insert(0, "{paths.LIBRARY}")
right, ahead = time.time, int(sys.argv.pop())
time.time = lambda: right() + ahead
from sshd_hook import main
main.main()
"""


def once_ahead(host: Host, seconds: int) -> str:
    words = ("/usr/bin/python3", "-IS", "-c", AGENT, "agent", "--once", str(seconds))
    return host.machine.run(*words).err


# An agent whose CA was heard and is away now; by each line read, its clock is so many seconds ahead.
LEFT_ALONE = f"""
import os, sys, time
sys.path.insert(0, "{paths.LIBRARY}")
right, ahead = time.time, 0
time.time = lambda: right() + ahead
from sshd_hook import paths
from sshd_hook.agent import daemon
agent = daemon.Agent()
agent.update(0)
for line in sys.stdin:
    ahead = int(line)
    agent.look_at_clock()
    print(os.path.exists(paths.FRESH))
"""


def seen(host: Host) -> clock.Seen:
    return clock.Seen(**json.loads(host.read(clock.FILE)))


@pytest.mark.attack(26, 56)
@pytest.mark.parametrize("seconds", [DAY + 60, -DAY, 10 * DAY, -400])
def test_by_a_wrong_clock_nothing_is_taken_and_by_the_right_one_all(
    joined: Host, seconds: int
) -> None:
    before = snapshot(joined)
    joined.publish()

    said = once_ahead(joined, seconds)

    assert "one of the clocks is wrong" in said
    assert f" s {'ahead of' if seconds > 0 else 'behind'} the CA's" in said
    assert snapshot(joined) == before
    assert abs(seen(joined).skew - seconds) < 60
    assert "the clock is the CA's again" in once(joined)
    assert joined.installed()[0] == joined.ca.version
    assert not seen(joined).is_wrong


@pytest.mark.attack(26, 56)
def test_a_clock_that_is_ahead_makes_no_word_last_longer(joined: Host) -> None:
    """What is installed is the CA's word as it was signed, whenever this clock says that it came."""
    joined.publish()

    said = once_ahead(joined, DAY - 3600)

    assert "ahead of the CA's" in said
    statement = freshness.parse(joined.read(paths.FRESH))
    assert abs(statement.issued_at - time.time()) < 60
    assert statement.not_after - statement.issued_at == DAY
    assert not freshness.is_fresh(statement, DAY, int(time.time()) + DAY + 1)
    once(joined)


@pytest.mark.attack(56)
def test_set_back_while_the_ca_is_away_it_lets_nobody_in_until_it_is_right(joined: Host) -> None:
    """A certificate that has ended, and a word that is too old, would be good for ever."""
    joined.publish()
    words = ("/usr/bin/python3", "-IS", "-c", LEFT_ALONE)

    done = joined.machine.run(*words, stdin="0\n-200\n-3600\n-3600\n0\n-86400\n86400\n")

    assert done.out.split() == ["True", "True", "False", "False", "True", "False", "True"]
    assert done.err.count("nobody gets in until it is right") == 2
    assert done.err.count("logins are decided again") == 2
    assert "obeying" in once(joined)


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The times that the agent's clock module sees, to be set."""
    times = SimpleNamespace(wall=1_800_000_000.0, boot=100.0, CLOCK_BOOTTIME=7)
    times.time = lambda: times.wall
    times.clock_gettime = lambda _clock: times.boot
    monkeypatch.setattr(clock, "time", times)
    monkeypatch.setattr(clock, "FILE", str(tmp_path / "clock"))
    return times


@pytest.mark.parametrize(
    ("by", "words"),
    [
        (DAY, f"forward by {DAY}"),
        (-DAY, f"back by {DAY}"),
        (11, "forward by 11"),
        (9, ""),
        (-9, ""),
    ],
)
def test_a_step_is_noticed_once(
    moved: SimpleNamespace, capsys: pytest.CaptureFixture[str], by: int, words: str
) -> None:
    watched = clock.Clock()
    moved.wall += by + 3
    moved.boot += 3
    watched.look()
    watched.look()

    said = capsys.readouterr().err
    assert said == (f"sshd-hook: the clock was set {words} s\n" if words else "")
    kept = clock.read()
    assert (kept.set_by, kept.set_at) == ((by, int(moved.wall)) if words else (0, 0))


def test_the_time_that_passes_is_no_step_however_long(
    moved: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    watched = clock.Clock()
    for _ in range(100):
        moved.wall += 3600.05
        moved.boot += 3600
        watched.look()

    assert capsys.readouterr().err == ""


def test_a_difference_from_the_ca_is_said_when_it_begins_changes_and_ends(
    moved: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    watched = clock.Clock()
    for skew in (0, 1, -59, -61, -62, -90, 0, 300, 301, 302, 3600, 0):
        watched.doubt(skew)
        assert clock.read().is_wrong is (skew > 300 or skew < -60)

    said = capsys.readouterr().err.splitlines()
    assert [line.removeprefix("sshd-hook: the clock is ") for line in said] == [
        "61 s behind the CA's",
        "90 s behind the CA's",
        "the CA's again",
        "301 s ahead of the CA's",
        "3600 s ahead of the CA's",
        "the CA's again",
    ]
    moved.wall += 99
    watched.look()
    assert clock.read().set_by == 99


def test_the_cas_time_is_carried_on_while_it_is_away(
    moved: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is done to this clock, also by the next agent; but not by one of another boot."""
    watched = clock.Clock()
    watched.hear(int(moved.wall) - 30)

    def is_behind(wall: int, boot: int) -> list[bool]:
        moved.wall += wall
        moved.boot += boot
        watched.look()
        return [watched.is_behind, clock.Clock().is_behind]

    for hours in (1, 5, 20):
        assert is_behind(3600 * hours, 3600 * hours) == [False, False]
    assert is_behind(-DAY, 0) == [True, True]
    assert clock.read().skew == 30 - DAY
    watched.hear(int(moved.wall))  # as by who kept an old word: nothing is forgotten for it
    assert is_behind(60, 60) == [True, True]
    assert is_behind(DAY - 200, 0) == [False, False]
    assert is_behind(-DAY, 0) == [True, True]
    moved.boot = 5
    assert not clock.Clock().is_behind
    said = capsys.readouterr().err
    assert f"{DAY - 30} s behind the CA's" in said
    assert f"back by {DAY} s" in said


def test_a_cas_clock_that_is_corrected_is_believed(moved: SimpleNamespace) -> None:
    watched = clock.Clock()
    watched.hear(int(moved.wall) + 290)
    assert clock.read().is_wrong

    watched.hear(int(moved.wall))

    assert not clock.read().is_wrong


def test_a_ca_with_a_wrong_clock_makes_nobody_doubt_a_right_one(moved: SimpleNamespace) -> None:
    watched = clock.Clock()
    watched.hear(int(moved.wall))

    watched.doubt(-DAY)

    assert not watched.is_behind
    assert not clock.read().is_wrong


def test_what_cannot_be_kept_is_still_said(
    moved: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(clock, "FILE", "/nonexistent/clock")
    watched = clock.Clock()
    moved.wall -= 60

    with pytest.raises(OSError, match="No such"):
        watched.look()

    assert "back by 60 s" in capsys.readouterr().err
    assert clock.read() == clock.Seen()
