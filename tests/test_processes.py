"""Which session of logind a process is in: the agent ends it as root, so nobody may choose it."""

from __future__ import annotations

import pytest

from sshd_hook.agent.processes import session_in

OWN = "/user.slice/user-400001.slice"
MANAGER = f"{OWN}/user@400001.service"


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
