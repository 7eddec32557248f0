"""The agent takes decisions home: each at least once, whatever stops, and within bounds."""

from __future__ import annotations

import itertools
import json
import os
import threading
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sshd_hook import log, paths, verdict
from sshd_hook.agent import decisions, poll
from sshd_hook.agent.decisions import Courier
from sshd_hook.agent.host import Host
from tests.hook_host import HOOK_ID
from tests.hosts import HOST_ID, SERVICE, TOKEN, USER
from tests.policy_server import Handler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass
class Home:
    """A host's files in a folder of the test's, its courier, and a CA that notes what it is told."""

    folder: Path
    courier: Courier
    numbers: Iterator[int]
    now: float = 0.0

    def decide(self, **changes: object) -> str:
        """Leave a decision as the hook does; return its connection."""
        connection = f"{next(self.numbers)}.99"
        words = {
            "at": 1_000_000,
            "connection": connection,
            "code": "allowed",
            "service": SERVICE,
            "user": USER,
            "serial": 7,
        }
        line = " ".join(f"{name}={value}" for name, value in {**words, **changes}.items())
        self.write(line + "\n")
        return connection

    def write(self, data: str, name: str = log.DECISIONS) -> None:
        path = self.folder / "verdict" / name
        with path.open("a") as file:
            file.write(data)
        os.chown(path, HOOK_ID, HOOK_ID)

    def go(self, rounds: int = 2) -> None:
        for _ in range(rounds):
            self.now += decisions.EVERY
            self.courier.round(self.now)

    def refuse(self, *, away: bool) -> None:
        path = self.folder / "refuse"
        if away:
            path.touch()
        else:
            path.unlink()
            (self.folder / "requests").unlink(missing_ok=True)

    def told(self) -> list[dict[str, Any]]:
        path = self.folder / "requests"
        notes = map(json.loads, path.read_text().splitlines() if path.exists() else ())
        return [one for note in notes for one in note["body"]["decisions"]]

    def connections(self) -> list[str]:
        return [one["connection"].split(".", 1)[-1] for one in self.told()]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    folder = tmp_path / "verdict"
    folder.mkdir(mode=0o700)
    os.chown(folder, HOOK_ID, HOOK_ID)
    monkeypatch.setattr(paths, "VERDICTS", str(folder))
    monkeypatch.setattr(verdict, "VERDICTS", str(folder))
    monkeypatch.setattr(decisions, "SPOOL", str(tmp_path / "spool"))
    handler = type("Here", (Handler,), {"folder": tmp_path})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        ca = poll.CA(url, None)
        yield Home(tmp_path, Courier(Host(HOST_ID, TOKEN, "ssh1", url), ca), itertools.count(100))
        server.shutdown()


def test_what_was_decided_is_told_with_all_that_is_known_of_it(home: Home) -> None:
    home.decide(session="a-b", missing="mfa")
    home.write('at=5 connection=1.1 code=policy_stale service=x reason="no word, \x1b sorry"\n')

    home.go()

    first, second = home.told()
    boot = first.pop("connection").removesuffix(".100.99")
    assert len(boot) == 8
    assert first == {
        "at": 1_000_000,
        "code": "allowed",
        "service": SERVICE,
        "user": USER,
        "serial": "7",
        "session": "a-b",
        "detail": "mfa",
    }
    assert second == {
        "at": 5,
        "connection": f"{boot}.1.1",
        "code": "policy_stale",
        "service": "x",
        "detail": "no word, ? sorry",
    }
    home.go()
    assert len(home.told()) == 2
    assert list((home.folder / "verdict").iterdir()) == []


def test_the_two_answers_to_one_login_are_told_once(home: Home) -> None:
    connection = home.decide()
    home.decide(connection=connection, at=1_000_001)
    home.decide(connection=connection, code="no_access")

    home.go()

    assert [(one["code"], one["at"]) for one in home.told()] == [
        ("allowed", 1_000_000),
        ("no_access", 1_000_000),
    ]


def test_a_line_that_was_cut_short_is_counted(home: Home) -> None:
    home.write("at=5 connection=1.1 code=all")
    connection = home.decide()  # on the same line
    home.write("nonsense\n")
    home.write("at=x connection=1.1 code=allowed\n")
    other = home.decide()

    home.go()

    assert connection not in home.connections()
    assert [(one["code"], one["detail"]) for one in home.told()] == [("allowed", ""), ("lost", "3")]
    assert home.connections()[0] == other


def test_what_the_hook_had_no_room_for_is_counted(home: Home) -> None:
    home.write("....", log.LOST)

    home.go(4)

    assert [(one["code"], one["detail"]) for one in home.told()] == [("lost", "4")]


def test_while_the_ca_is_away_they_wait_on_the_disk_and_then_come_in_order(home: Home) -> None:
    home.refuse(away=True)
    made = [home.decide()]
    with pytest.raises(poll.CAError):
        home.go()
    for _ in range(3):
        made.append(home.decide())
        home.courier.round(home.now)  # too soon to ask the CA again
    made.append(home.decide())
    home.courier.round(home.now)
    home.courier = Courier(home.courier._host, home.courier._ca)  # as after a restart
    home.refuse(away=False)

    home.go()

    assert home.connections() == made
    assert not (home.folder / "spool").exists()


def test_the_newest_of_too_many_are_kept_and_the_others_counted(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "MAX_SPOOL", 20_000)
    monkeypatch.setattr(decisions, "KEPT_SPOOL", 15_000)
    home.refuse(away=True)
    made, sizes = [], [0]
    for _ in range(300):
        made.append(home.decide())
        home.courier._next = home.now + 1000
        home.courier.round(home.now)
        sizes += [file.stat().st_size for file in home.folder.glob("spool")]
    assert max(sizes) <= 20_000
    home.courier._next = 0
    home.refuse(away=False)

    home.go()

    lost = [one for one in home.told() if one["code"] == "lost"]
    came = [connection for connection in home.connections() if connection]
    assert came == made[-len(came) :]
    assert len(came) > 40
    assert sum(int(one["detail"]) for one in lost) == len(made) - len(came)


def test_they_come_in_batches_and_go_on_where_they_stopped(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "BATCH", 10)
    made = [home.decide() for _ in range(35)]

    home.go()

    assert home.connections() == made


def test_what_the_ca_rejects_is_not_sent_for_ever(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll, "REJECTED", (403,))
    home.refuse(away=True)
    home.decide()
    home.go()
    home.refuse(away=False)
    connection = home.decide()

    home.go()

    assert home.connections() == [connection]


@pytest.mark.attack(54)
def test_where_there_is_no_room_they_stay_where_the_hook_left_them(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "SPOOL", "/dev/full")
    home.refuse(away=True)
    made = [home.decide()]
    home.courier._next = home.now + 1000
    home.courier.round(home.now)
    with pytest.raises(OSError, match="No space"):
        home.courier.round(home.now)
    made.append(home.decide())
    monkeypatch.setattr(decisions, "SPOOL", str(home.folder / "spool"))
    home.courier._next = 0
    home.refuse(away=False)

    home.go(3)

    assert home.connections() == made


@pytest.mark.parametrize("planted", ["another's file", "a link", "an open folder"])
def test_nobody_but_the_hook_puts_words_into_its_mouth(home: Home, planted: str) -> None:
    home.decide()
    home.courier.round(home.now)
    taken = home.folder / "verdict" / "decisions.taken"
    if planted == "another's file":
        os.chown(taken, 12345, 12345)
    elif planted == "a link":
        taken.rename(home.folder / "elsewhere")
        taken.symlink_to(home.folder / "elsewhere")
    else:
        taken.parent.chmod(0o777)

    with pytest.raises((verdict.VerdictError, OSError)):
        home.courier.round(home.now)

    assert home.told() == []


class KilledError(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


class Countdown:
    """Lets a number of calls happen, then kills; it wraps any function."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def on(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **more: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                raise KilledError
            return real(*words, **more)

        return call


@pytest.mark.parametrize("away", [False, True])
def test_stopped_at_any_step_each_decision_still_comes(
    home: Home, monkeypatch: pytest.MonkeyPatch, *, away: bool
) -> None:
    """With a new agent after each stop, as often as there are steps in two rounds."""
    made = []
    killed = True
    steps = 0
    while killed:
        steps += 1
        made.append(home.decide())
        if away:
            home.refuse(away=True)
        countdown = Countdown(steps)
        names = ("open", "read", "rename", "unlink", "fsync", "fchmod", "close")
        bent = {**vars(os), **{name: countdown.on(getattr(os, name)) for name in names}}
        with monkeypatch.context() as patch:
            for module in ("decisions.os", "decisions.atomic.os"):
                patch.setattr(f"sshd_hook.agent.{module}", SimpleNamespace(**bent))
            patch.setattr(poll.CA, "report", countdown.on(poll.CA.report))
            try:
                home.go()
                killed = False
            except KilledError:
                pass
            except poll.CAError:
                killed = False
        home.courier = Courier(home.courier._host, home.courier._ca)
        (home.folder / "refuse").unlink(missing_ok=True)
    home.go(3)

    assert steps > 8
    assert set(home.connections()) == set(made)
