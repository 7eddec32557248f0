"""What Linux must be told about a process that holds keys."""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_DUMPABLE = 4


def hide_memory() -> None:
    """No core dump of this process, and no look into it by others of the same user."""
    _prctl(PR_SET_DUMPABLE, 0)


def end_with(parent: int) -> None:
    """Be sent SIGTERM when the process `parent`, which forked us, ends in whatever way."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before we asked
        os._exit(1)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
