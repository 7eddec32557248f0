"""The operator's line: one for each answer, to the system log, found by its stable `code`.

A decision also stands in a file beside the verdicts, where the agent finds it for the CA. Only
this user and root can write there, so no other can put words into this host's mouth.
"""

import posix
import syslog
import time

from sshd_hook import verdict

PROGRAM = "amrgate"
DECISIONS = "decisions"
LOST = "decisions.lost"  # one byte for each decision for which there was no room
MAX_DECISIONS = 256 * 1024  # bytes, of each: what the agent takes every few seconds
_APPEND = posix.O_WRONLY | posix.O_APPEND | posix.O_CREAT | posix.O_NOFOLLOW | posix.O_CLOEXEC


def log(code: str, priority: int, details: "dict[str, str]", reason: str = "") -> None:
    """Write `code=… name=value … reason="…"`.

    Whoever calls this has checked every detail: nothing that a client sent stands in a log
    before its alphabet is known. A system without a log loses the line and nothing else.
    """
    _write(priority, _in_words(code, details, reason))


def log_decision(code: str, priority: int, details: "dict[str, str]", reason: str = "") -> None:
    """Write as `log` does, and leave the same for the agent, if there is room.

    Never waits, and never fails: what is decided is decided, and the system log has it.
    """
    words = _in_words(code, details, reason)
    _write(priority, words)
    try:
        _leave(f"at={int(time.time())} connection={verdict.parent()} {words}\n".encode())
    except (OSError, verdict.VerdictError):
        return


def _in_words(code: str, details: "dict[str, str]", reason: str) -> str:
    words = [f"code={code}"]
    words.extend(f"{name}={value}" for name, value in details.items())
    if reason:
        words.append(f'reason="{reason}"')
    return " ".join(words)


def _write(priority: int, words: str) -> None:
    syslog.openlog(PROGRAM, syslog.LOG_PID, syslog.LOG_AUTH)
    syslog.syslog(priority, words)


def _leave(line: bytes) -> None:
    # One write to a file in memory: lines of several logins at once do not mix. Descriptors close
    # with the process.
    folder = verdict.open_folder()
    file = posix.open(DECISIONS, _APPEND, 0o600, dir_fd=folder)
    if posix.fstat(file).st_size + len(line) > MAX_DECISIONS:
        file, line = posix.open(LOST, _APPEND, 0o600, dir_fd=folder), b"."
    posix.write(file, line)
