"""The administrators' own way into this machine by ssh: tried by a real login.

Enrolling changes what sshd and PAM do for services alone; that it is so is not assumed. Somebody
who administers the machine logs in before the switch and after it, by what they always use.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

from sshd_hook import preflight
from sshd_hook.changes import ENVIRONMENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = "none"
LOCAL = "127.0.0.1"
ALIAS = "this-machine"  # under which ssh finds this machine's host keys, wherever it connects to
GRAMMAR = re.compile(
    r"(?P<user>[^@:/\s-][^@:/\s]*)(@(?P<host>[^@/\s-][^@/\s]*?))?(:(?P<port>\d+))?"
)

SECONDS = 15  # for one login by ourselves
FAILED = 255  # how ssh ends when there was no login; else it ends as what it ran
PATIENCE = 180  # seconds for somebody to log in elsewhere
LOOK_EVERY = 0.05
SSHD_NAMES = ("sshd", "sshd-session")


class NoWayIn(Exception):
    """An administrator could not log in; the message says what was tried."""


@dataclass(frozen=True)
class Administrator:
    """Who logs in to this machine by ssh, and how: with the key in a file, or by themselves."""

    user: str
    host: str = LOCAL
    port: int | None = None
    key: str | None = None

    def __str__(self) -> str:
        return self.user if self.host == LOCAL else f"{self.user}@{self.host}"


def parse(text: str, key: str | None) -> Administrator | None:
    """Read `USER[@HOST][:PORT]`, or `none` where nobody administers this machine by ssh.

    Raises:
        NoWayIn: it is neither.
    """
    if text == NOBODY:
        return None
    found = GRAMMAR.fullmatch(text)
    if found is None:
        raise NoWayIn(f"{text!a} is not USER, USER@HOST or USER@HOST:PORT of this machine's sshd")
    port = int(found["port"]) if found["port"] else None
    return Administrator(found["user"], found["host"] or LOCAL, port, key)


def ask() -> str:
    """Ask at the terminal who administers this machine.

    Raises:
        NoWayIn: there is no terminal to ask at.
    """
    if not sys.stdin.isatty():
        raise NoWayIn(
            "say who administers this machine by ssh, so that their login can be tried:"
            " --admin USER --admin-key FILE; or --admin none, if nobody does"
        )
    usual = os.environ.get("SUDO_USER", "")
    usual_words = f" [{usual}]" if usual else ""
    sys.stdout.write(
        "Who administers this machine by ssh? Their login is tried before and after the switch."
        f"\nUser, or none{usual_words}: "
    )
    sys.stdout.flush()
    return sys.stdin.readline().strip() or usual


def check(administrator: Administrator, port: int) -> None:
    """See the administrator log in, with the given key or the agent's, or from elsewhere.

    Raises:
        NoWayIn: they do not get in.
    """
    if administrator.key is None and "SSH_AUTH_SOCK" not in os.environ:
        _wait_for_login(administrator)
        return
    complaint = _log_in(administrator, administrator.port or port)
    if complaint:
        raise NoWayIn(f"{administrator} cannot log in by ssh: {complaint}")


def _log_in(administrator: Administrator, port: int) -> str:
    """Log in and out again; what ssh complained of, or nothing."""
    with tempfile.NamedTemporaryFile("w", prefix="amrgate-") as known_hosts:
        known_hosts.writelines(f"{ALIAS} {key}\n" for key in preflight.host_keys())
        known_hosts.flush()
        options = {
            "BatchMode": "yes",
            "ControlPath": "none",
            "HostKeyAlias": ALIAS,
            "UserKnownHostsFile": known_hosts.name,
            "GlobalKnownHostsFile": "none",
            "StrictHostKeyChecking": "yes",
            "ConnectTimeout": str(SECONDS),
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        if administrator.key is not None:
            words += ["-o", "IdentitiesOnly=yes", "-i", administrator.key]
        where = ["-l", administrator.user, "-p", str(port), "--", administrator.host]
        agent = {name: os.environ[name] for name in ("SSH_AUTH_SOCK",) if name in os.environ}
        try:
            done = subprocess.run(
                ["ssh", "-F", "none", *words, *where, "true"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env={**ENVIRONMENT, **agent},
                text=True,
                errors="replace",
                timeout=2 * SECONDS,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return str(error)
    if done.returncode != FAILED:
        return ""
    return "; ".join(done.stderr.split("\n")).strip("; ") or "no reason given"


def _wait_for_login(administrator: Administrator) -> None:
    if not sys.stdin.isatty():
        raise NoWayIn(
            f"{administrator} has to log in: give --admin-key FILE, forward an ssh agent,"
            " or run this at a terminal"
        )
    known = set(_sessions(administrator.user))
    sys.stdout.write(
        f"Log in as {administrator.user} now, from another terminal, and log out again"
        f" (within {PATIENCE} s): "
    )
    sys.stdout.flush()
    deadline = time.monotonic() + PATIENCE
    while not set(_sessions(administrator.user)) - known:
        if time.monotonic() > deadline:
            sys.stdout.write("\n")
            raise NoWayIn(f"{administrator} did not log in within {PATIENCE} s")
        time.sleep(LOOK_EVERY)
    sys.stdout.write("seen.\n")


def _sessions(user: str) -> Iterator[tuple[str, int]]:
    """Pid and start of each process of sshd's that serves somebody who has logged in as `user`.

    sshd names such a process `sshd: USER@TERMINAL` once the login is through (session.c).
    """
    title = re.compile(rf"sshd(-session)?: {re.escape(user)}@")
    owners = {0}
    with contextlib.suppress(KeyError):
        owners.add(pwd.getpwnam(user).pw_uid)
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it ended meanwhile
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().decode(errors="replace")
            program = os.readlink(f"/proc/{pid}/exe")
            is_sshd = os.path.basename(program.split(" ")[0]) in SSHD_NAMES
            # Others can name a process of theirs so, but it is not one of root's or the user's.
            if title.match(words) and is_sshd and os.stat(f"/proc/{pid}").st_uid in owners:
                with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                    yield pid, int(file.read().rpartition(") ")[2].split()[19])
