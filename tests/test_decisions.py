"""What the hook decides is left for the agent, whole, within bounds, and by nobody else."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

import pytest

from sshd_hook import paths
from sshd_hook.log import DECISIONS, LOST, MAX_DECISIONS
from tests.certificates import ALICE
from tests.hook_host import HOOK_ID, HookHost, lets_in
from tests.questions import NOWHERE, SERVICE, arguments, certified, good

if TYPE_CHECKING:
    from pathlib import Path


def left(host: HookHost, name: str = DECISIONS) -> Path:
    return host.path(f"{paths.VERDICTS}/{name}")


def test_each_decision_is_left_with_its_moment_and_connection(hook_host: HookHost) -> None:
    begun = int(time.time())
    ran = [
        hook_host.ask(good()),
        hook_host.ask(good(NOWHERE)),
        hook_host.ask(arguments(certified(valid_before=1))),
    ]

    lines = left(hook_host).read_text().splitlines()
    for one, line in zip(ran, lines, strict=True):
        at, connection, words = re.fullmatch(r"at=(\d+) connection=(\S+) (.*)", line).groups()  # type: ignore[union-attr]
        assert begun <= int(at) <= time.time()
        assert connection == hook_host.connection
        assert one.logged[0].endswith(f": {words}")
    codes = [re.findall("code=(\\w+)", line)[0] for line in lines]
    assert codes == ["allowed", "no_access", "not_valid_now"]
    assert all(f"service={SERVICE} user={ALICE}" in lines[number] for number in (0, 2))
    status = left(hook_host).stat()
    assert (status.st_uid, status.st_mode & 0o777) == (HOOK_ID, 0o600)


def test_what_finds_no_room_is_counted_and_changes_no_decision(hook_host: HookHost) -> None:
    left(hook_host).write_bytes(b"x" * (MAX_DECISIONS - 100))
    os.chown(left(hook_host), HOOK_ID, HOOK_ID)

    assert all(lets_in(hook_host.ask(good())) for _ in range(3))

    assert left(hook_host).stat().st_size == MAX_DECISIONS - 100
    assert left(hook_host, LOST).read_bytes() == b"..."
    left(hook_host, LOST).write_bytes(b"." * MAX_DECISIONS)
    assert lets_in(hook_host.ask(good()))


@pytest.mark.parametrize("planted", ["a folder", "a link", "another's"])
def test_nothing_in_its_place_changes_a_decision(hook_host: HookHost, planted: str) -> None:
    path, elsewhere = left(hook_host), hook_host.path("/run/elsewhere")
    elsewhere.write_text("")
    os.chown(elsewhere, HOOK_ID, HOOK_ID)
    if planted == "a folder":
        path.mkdir()
    elif planted == "a link":
        path.symlink_to("/run/elsewhere")
    else:
        path.write_text("")

    assert lets_in(hook_host.ask(good()))

    assert elsewhere.read_text() == ""
    if planted == "a folder":
        path.rmdir()
    else:
        path.unlink()
