"""Starting a private machine, and running commands in it from outside."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from machine import inside, needs
from machine.needs import MachineError
from machine.rootless import UserNamespace

CHECKOUT = Path(__file__).resolve().parent.parent
# Before `-m` and one of our modules, in the machine.
PYTHON = ("env", f"PYTHONPATH={inside.CHECKOUT}", f"{inside.CHECKOUT}/.venv/bin/python")
UMASK = 0o022  # a machine's own, whatever the person's who starts it
SECONDS = 60  # for any one command


@dataclass(frozen=True)
class Result:
    """What a command answered."""

    status: int
    out: str
    err: str


class Machine:
    """The machine that this process is in, and what can be done on it."""

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words before a command that make it run on the machine, as its root."""
        return ()

    def path(self, inside: str) -> Path:
        """Where a file of the machine is to be found from here."""
        return Path(inside)

    def popen(
        self,
        command: Sequence[str],
        user: str = "root",
        environment: Mapping[str, str] | None = None,
    ) -> "subprocess.Popen[str]":
        """Start a command in the machine, as one of its users, in that user's home."""
        return subprocess.Popen(
            (*self.prefix, *as_user(user, environment or {}), *command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            umask=UMASK,
        )

    def run(
        self,
        *command: str,
        user: str = "root",
        stdin: str = "",
        environment: Mapping[str, str] | None = None,
        seconds: float = SECONDS,
    ) -> Result:
        """Run a command in the machine to its end."""
        # timeout(1), because a signal to nsenter does not reach what it started.
        limited = ("timeout", "--signal=KILL", str(seconds), *command)
        with self.popen(limited, user, environment) as process:
            out, err = process.communicate(stdin)
        return Result(process.returncode, out, err)

    def check(self, *command: str, user: str = "root", stdin: str = "") -> str:
        """Run a command that must succeed; return what it printed.

        Raises:
            MachineError: it failed.
        """
        result = self.run(*command, user=user, stdin=stdin)
        if result.status:
            raise MachineError(f"{' '.join(command)}: {result.status}: {result.err}{result.out}")
        return result.out

    def listens(self, port: int) -> bool:
        """Whether somebody listens on a TCP port of the machine's 127.0.0.1."""
        return self.run("bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}").status == 0

    def spawn(self, *command: str, log: str) -> int:
        """Leave a daemon running in the machine; return its process id there."""
        line = 'log=$1; shift; setsid "$@" >>"$log" 2>&1 </dev/null & echo $!'
        return int(self.check("sh", "-c", line, "sh", log, *command))


class PrivateMachine(Machine):
    """Namespaces with an init process: private files, processes and network, gone when it ends."""

    def __init__(self) -> None:
        needs.check(CHECKOUT)
        self._users = None if os.geteuid() == 0 else UserNamespace()
        unshare = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--net", "--kill-child")
        init = ("/usr/bin/python3", "-IS", str(CHECKOUT / "machine" / "inside.py"), str(CHECKOUT))
        self._init = subprocess.Popen(
            (*self._as_root, *unshare, *init),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            umask=UMASK,
            start_new_session=True,  # an interrupt at the terminal ends what runs in it, not it
        )
        try:
            self._wait_until_ready()
        except BaseException:  # an interrupt as well
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process of the machine; its files go with them."""
        self._init.communicate()
        if self._users:
            self._users.stop()

    @property
    def prefix(self) -> tuple[str, ...]:
        """Into its namespaces."""
        pid = self._init.pid
        return (
            *(self._as_root or ("nsenter",)),
            f"--mount=/proc/{pid}/ns/mnt",
            f"--net=/proc/{pid}/ns/net",
            f"--pid=/proc/{pid}/ns/pid_for_children",
        )

    def path(self, inside: str) -> Path:
        """Its place in the machine's own layers."""
        return Path(f"/proc/{self._init.pid}/root{inside}")

    def _wait_until_ready(self) -> None:
        if self._init.stdout is None or self._init.stdout.readline() != "ready\n":
            raise MachineError(f"The private machine did not start: {self._init.communicate()[1]}")

    @property
    def _as_root(self) -> tuple[str, ...]:
        """The words that make an ordinary user root of the namespaces; none for root."""
        return ("nsenter", self._users.option) if self._users else ()


def as_user(user: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The words that make a command run as `user` in a login's environment and home."""
    home = {"root": "/root"}.get(user, f"/home/{user}" if user in inside.PERSONS else "/")
    settings = [f"{name}={value}" for name, value in environment.items()]
    return (
        *("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--reset-env", "--"),
        *("env", "-C", home, "LANG=C.UTF-8", *settings),
    )
