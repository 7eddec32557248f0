"""How connections are ended, and which session of logind a process is in."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack

import pytest

from sshd_hook import verdict
from sshd_hook.agent.processes import Process, Table, end, session_in

OWN = "/user.slice/user-400001.slice"
MANAGER = f"{OWN}/user@400001.service"


# A connection's process, with one of the person's that stays at SIGTERM. Asked to end, it says
# whether the process of its first argument still runs, and with it somebody's grace.
CONNECTION = """
sh -c 'trap "" TERM HUP; echo; exec sleep 60' &
echo $!
trap 'kill -0 $0 && echo their grace is mine; exit' TERM
wait; wait
"""


def start(stack: ExitStack, *first: str) -> tuple[subprocess.Popen[str], str]:
    words = ("sh", "-c", CONNECTION, *(first or ("0",)))
    process = stack.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
    assert process.stdout is not None
    told = [process.stdout.readline().strip() for _ in range(2)]
    return process, max(told)


def test_who_does_not_go_keeps_no_others_open() -> None:
    with ExitStack() as stack:
        first, stubborn = start(stack)
        others = [start(stack, stubborn)[0] for _ in range(3)]
        leaders = [Process(one.pid, verdict.start_time(one.pid), 0) for one in (first, *others)]

        end(leaders, Table())

        said = [one.communicate(timeout=10)[0] for one in others]
        first.communicate(timeout=10)  # nothing of it is left to write there
    assert said == ["their grace is mine\n"] * 3


@pytest.mark.parametrize(
    "lines",
    [
        f"0::{OWN}/session-c7.scope\n",
        f"12:pids:/\n1:name=systemd:{OWN}/session-c7.scope\n",
        f"0::/machine.slice/host1{OWN}/session-c7.scope\n",
    ],
)
def test_a_session_is_found_where_logind_puts_it(lines: str) -> None:
    assert session_in(lines) == "c7"


@pytest.mark.attack(57)
@pytest.mark.parametrize(
    "path",
    [
        # systemd-run --user --scope --unit=session-1.scope, and with --slice=user-0.slice
        f"{MANAGER}/app.slice/session-1.scope",
        f"{MANAGER}/user.slice/user-0.slice/session-1.scope",
        # a folder that somebody makes in what is delegated to them
        f"{MANAGER}/user-0.slice/session-1.scope/deeper",
        "/system.slice/ssh.service",
        "/session-1.scope",
    ],
)
def test_nobody_has_the_session_of_another_ended_by_a_name(path: str) -> None:
    assert session_in(f"0::{path}\n") == ""
