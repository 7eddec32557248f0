"""The agent, killed at any system call that has to do with its files: each is old or new."""

from __future__ import annotations

import base64
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sshd_hook import accounts, paths
from sshd_hook.agent import host as agent_host
from tests.agents import FILES, once, snapshot
from tests.drills.drill import Drill, Finding
from tests.hosts import SERVICE, Host, enrolled

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.drills.nodes import Stage

SYSCALLS = ("openat", "write", "fsync", "fchmod", "fchown", "rename", "unlink", "mkdir")
WRITTEN = (
    *FILES,
    agent_host.FLOOR,
    *(re.sub("([^/]+)$", r".\1.new", path) for path in (*FILES, agent_host.FLOOR)),
    *(paths.CONFIGURATION, paths.POLICY, paths.STATE, paths.AGENT, paths.HOMES),
)
POINTS = 100  # more than there are calls of all kinds


def kills(_stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """SIGKILL at the n-th call of each kind, for each n there is, or for fewer far apart."""
    step = max(1, POINTS // count)
    killed = 0
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as folder, enrolled(Path(folder)) as host:
        for call in SYSCALLS:
            number, ended = 1, 1
            while ended:
                host.ca.services = (SERVICE, f"abcdefg123456-main--{call}{number}")
                host.ca.krl_version += 1
                before = snapshot(host)
                answer = host.publish()
                ended = _run(host, call, number)
                faults += _faults(host, before, answer)
                killed += ended != 0
                if number == 1 and not ended:
                    faults.append(f"there is no {call} to be killed at")
                tell(killed)
                number += step
        once(host)
        if snapshot(host)[paths.FRESH] != answer["fresh"].encode():
            faults.append("it does not go on afterwards")
    return Finding(killed, len(faults), missed="; ".join(faults[:3]))


def _run(host: Host, call: str, number: int) -> int:
    """Let it obey what is offered, with a kill at a call; not 0 if there was such a call."""
    home = f"{paths.HOMES}/{host.ca.services[-1]}"
    filters = [word for path in (*WRITTEN, home) for word in ("-P", path)]
    inject = ("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}")
    words = ("strace", "-o", "/dev/null", *inject, *filters)
    return host.machine.run(*words, paths.SSHD_HOOK, "agent", "--once").status


def _faults(host: Host, before: dict[str, bytes], answer: dict[str, Any]) -> list[str]:
    """What is neither as it was nor as it should become, and what rests on what is not there."""
    after = snapshot(host)
    new = {
        paths.REVOKED: base64.b64decode(answer["krl"]),
        paths.USER_CA: before[paths.USER_CA],
        paths.BUNDLE: base64.b64decode(answer["bundle"]),
        paths.FRESH: answer["fresh"].encode(),
    }
    found = [path for path, data in new.items() if after[path] not in (before[path], data)]
    was, uids = accounts.parse(before[paths.UIDS]), accounts.parse(after[paths.UIDS])
    if not (was.live | was.gone).items() <= (uids.live | uids.gone).items():
        found.append("a uid was forgotten")
    for name, uid in uids.live.items():
        home = host.machine.path(f"{paths.HOMES}/{name}")
        if not home.exists() or home.stat().st_uid != uid:
            found.append(f"{name} has no home")
    if after[paths.FRESH] == new[paths.FRESH] and after[paths.BUNDLE] != new[paths.BUNDLE]:
        found.append("the statement is there before its bundle")
    if after[paths.BUNDLE] == new[paths.BUNDLE]:
        if after[paths.REVOKED] != new[paths.REVOKED]:
            found.append("the bundle is there before its revocation list")
        if set(uids.live) != set(answer["services"]):
            found.append("the bundle is there before its accounts")
    return found


DRILLS = (Drill("agent-kills", "-", "0 at every call", POINTS, 25, kills, attack=66),)
