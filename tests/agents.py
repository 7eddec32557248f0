"""A host that is enrolled, and its agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sshd_hook import paths
from tests.hosts import SERVICE, Host, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHER = "abcdefg123456-main-bvxea6i--other"
FILES = (paths.REVOKED, paths.USER_CA, paths.UIDS, paths.BUNDLE, paths.FRESH)
DAY = 86400


@pytest.fixture
def joined(joined_host: Host) -> Host:
    """A host that is enrolled and up to date; no agent runs."""
    joined_host.ca.services = (SERVICE,)
    joined_host.publish()
    once(joined_host)
    return joined_host


@pytest.fixture
def agent(joined: Host) -> Iterator[Host]:
    """The same, with its agent running."""
    pid = start_agent(joined)
    yield joined
    joined.machine.run("kill", str(pid))
    wait_for(lambda: not joined.machine.path(f"/proc/{pid}/exe").exists())


def start_agent(host: Host) -> int:
    pid = host.machine.spawn(paths.SSHD_HOOK, "agent", log="/var/log/agent")
    wait_for(lambda: f" {pid} " in host.machine.check("cat", "/proc/locks"))
    return pid


def once(host: Host) -> str:
    """Run the agent once; return what it said."""
    return host.machine.run(paths.SSHD_HOOK, "agent", "--once").err


def snapshot(host: Host) -> dict[str, bytes]:
    return {path: host.read(path) for path in FILES}
