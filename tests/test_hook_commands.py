"""The command `sshd-hook`: its help, wrong command lines, and who may run it."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.hosts import Host


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "sshd_hook.main", *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize("name", ["", "enroll", "unenroll", "agent", "userdb", "status"])
def test_every_command_has_help_with_an_example(name: str) -> None:
    shown = command(*name.split(), "--help")

    assert shown.returncode == 0
    assert f"Example: sshd-hook {name}" in " ".join(shown.stdout.split())


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("enroll", "--admin"),
        ("enroll", "--ca", "x"),
        ("agent", "--twice"),
        ("status", "x"),
    ],
)
def test_a_wrong_command_line_is_status_2(arguments: tuple[str, ...]) -> None:
    ended = command(*arguments)

    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("sshd-hook")


@pytest.mark.parametrize(
    "words", ["agent", "agent --once", "status", "userdb --supervise", "unenroll"]
)
def test_a_machine_that_is_no_host_says_so(fresh_host: Host, words: str) -> None:
    ended = fresh_host.command(*words.split())

    assert ended.status == 1
    assert re.fullmatch("sshd-hook: .*not enrolled.*\n", ended.err)


@pytest.mark.parametrize("words", ["agent", "status", "userdb --supervise", "unenroll"])
def test_who_is_not_root_is_told_so(fresh_host: Host, words: str) -> None:
    program = ("/usr/bin/python3", "-c", "from sshd_hook.main import main; main()", *words.split())
    path = {"PYTHONPATH": "/opt/amrgate"}

    ended = fresh_host.machine.run(*program, user="alice", environment=path)

    assert (ended.status, ended.err) == (1, "sshd-hook: this needs root: run it with sudo\n")
