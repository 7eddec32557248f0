"""Removing what is left of logins whose sshd process is gone: their verdicts."""

from __future__ import annotations

import contextlib
import os

from sshd_hook import paths, verdict


def sweep() -> int:
    """Remove each verdict whose process is gone; return how many there were.

    The hook may write at any moment: for a process that is there nothing is touched, and no other
    process has both its id and its start.
    """
    removed = 0
    for name in os.listdir(paths.VERDICTS):
        pid, _, rest = name.lstrip(".").partition(".")
        start = rest.partition(".")[0]
        if pid.isdecimal() and is_gone(int(pid), start):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(paths.VERDICTS, name))
                removed += 1
    return removed


def is_gone(pid: int, start: str) -> bool:
    """Whether no process of this id started at `start`, in ticks since the machine did."""
    try:
        return verdict.start_time(pid) != start
    except verdict.VerdictError:
        return not os.path.exists(f"/proc/{pid}")
