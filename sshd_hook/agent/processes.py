"""The processes of this machine (proc(5)), and ending those of a connection."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass

from sshd_hook import verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LOGINCTL = "/usr/bin/loginctl"
SECONDS = 5  # that loginctl may take
GRACE = 1.0  # seconds from asking connections' processes to end until what is left is killed
# Nothing with an `@` before it: below user@UID.service people name slices and scopes as they like.
_SCOPE = re.compile(
    r"^[0-9]+:[^:]*:(?:/[^/@]+)*/user-[0-9]+\.slice/session-([A-Za-z0-9]+)\.scope$", re.MULTILINE
)


@dataclass(frozen=True)
class Process:
    """A process as it was seen. `start` is in ticks since boot: with `pid`, one of a kind."""

    pid: int
    start: str
    uid: int


class Table:
    """All processes of one moment, by their parents."""

    def __init__(self) -> None:
        self._children: dict[int, list[Process]] = {}
        for name in os.listdir("/proc"):
            if name.isdecimal():
                with contextlib.suppress(OSError, verdict.VerdictError, ValueError, IndexError):
                    self._add(int(name))

    def descendants(self, pid: int) -> list[Process]:
        """The children of a process, theirs, and so on."""
        found: list[Process] = []
        pending = [pid]
        while pending:
            children = self._children.get(pending.pop(), [])
            found.extend(children)
            pending.extend(child.pid for child in children)
        return found

    def _add(self, pid: int) -> None:
        start = verdict.start_time(pid)
        uid = os.stat(f"/proc/{pid}").st_uid
        with open(f"/proc/{pid}/stat", "rb") as file:
            parent = int(file.read().rpartition(b") ")[2].split()[1])
        self._children.setdefault(parent, []).append(Process(pid, start, uid))


def end(leaders: Sequence[Process], table: Table) -> None:
    """End connections: the sshd processes `leaders` and all that came of them.

    A leader is asked, never killed: its child would serve on, unseen by everybody. Under logind
    the session is ended, and with it also what was detached from it. All have their grace at once:
    else whoever opens many that do not end at SIGTERM would keep others' open as well.
    """
    others = [one for leader in leaders for one in table.descendants(leader.pid)]
    for session in {_session(one) for one in others} - {""}:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            words = [LOGINCTL, "terminate-session", session]
            subprocess.run(words, check=False, timeout=SECONDS, capture_output=True)
    for leader in leaders:
        _send(leader, signal.SIGTERM)
    until = time.monotonic() + GRACE
    while any(map(_lives, others)) and time.monotonic() < until:
        time.sleep(0.02)
    for one in others:
        _send(one, signal.SIGKILL)


def _lives(process: Process) -> bool:
    try:
        return verdict.start_time(process.pid) == process.start
    except verdict.VerdictError:
        return False


def _send(process: Process, number: signal.Signals) -> None:
    # By a descriptor: between a look at the start time and the signal, a pid may get another owner.
    with contextlib.suppress(OSError):
        fd = os.pidfd_open(process.pid)
        try:
            if _lives(process):
                signal.pidfd_send_signal(fd, number)
        finally:
            os.close(fd)


def _session(process: Process) -> str:
    """The logind session that a process is in, "" without one."""
    try:
        with open(f"/proc/{process.pid}/cgroup", encoding="ascii", errors="replace") as file:
            return session_in(file.read())
    except OSError:
        return ""


def session_in(cgroups: str) -> str:
    """The logind session in the lines of /proc/PID/cgroup, "" without one.

    It is root who ends it: it must not be another's that somebody chose by a name.
    """
    found = _SCOPE.search(cgroups)
    return found[1] if found else ""
