"""Commands that are forked: their ends are told as they were, and none is taken for another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests import warm
from tests.hosts import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authorities import Engineer, Liar


class Server(NamedTuple):
    """Where it answers, and its process."""

    address: Path
    pid: int


def children(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One of our own: what it started is told from what others did."""
    address = tmp_path_factory.mktemp("warm") / "socket"
    words = (sys.executable, "-m", "tests.warm.server", str(address))
    with subprocess.Popen(words, cwd=warm.CHECKOUT) as process:
        wait_for(address.exists, 60)
        yield Server(address, process.pid)
        process.kill()


@contextmanager
def waiting(
    server: Server, engineer: Engineer, liar: Liar
) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """A login that waits for a browser: who called it, who waits for it, and the command itself."""
    words = ("login", "--ca", liar.url)
    call = warm.words_at(str(server.address), "amrgate", *words, checkout=str(warm.CHECKOUT))
    with subprocess.Popen(
        call, env=engineer.environment(), stderr=subprocess.PIPE, text=True
    ) as caller:
        assert caller.stderr
        while liar.url not in caller.stderr.readline():
            pass
        keeper = children(server.pid)[-1]  # those before it have ended
        (command,) = children(keeper)
        yield caller, keeper, command


def test_the_status_and_the_caller_s_environment_are_the_command_s(engineer: Engineer) -> None:
    assert engineer.run("whoami").status == 3, "nobody is logged in at this home"
    assert engineer.run("--help").status == 0
    assert engineer.run("nothing").status == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_its_caller(
    server: Server,
    engineer: Engineer,
    liar: Liar,
    number: signal.Signals,
) -> None:
    with waiting(server, engineer, liar) as (caller, _, command):
        caller.send_signal(number)
        assert caller.wait(20) == -number
        assert not Path(f"/proc/{command}/exe").exists()


def test_it_does_not_outlive_a_caller_that_is_killed(
    server: Server, engineer: Engineer, liar: Liar
) -> None:
    with waiting(server, engineer, liar) as (caller, _, command):
        caller.kill()
        wait_for(lambda: not Path(f"/proc/{command}/exe").exists())


def test_an_end_that_nobody_tells_is_a_failure(
    server: Server, engineer: Engineer, liar: Liar
) -> None:
    with waiting(server, engineer, liar) as (caller, keeper, command):
        os.kill(keeper, signal.SIGKILL)
        assert caller.wait(20) == 1
        os.kill(command, signal.SIGKILL)
