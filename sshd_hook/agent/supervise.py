"""Keeps the user database running where no systemd does.

While it hangs, every look-up of a name on the machine hangs with it, an administrator's login too.
So it is asked every second, and one that does not answer within a second is replaced.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import subprocess
import time

from sshd_hook import paths, service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

INTERVAL = 1.0  # seconds between two questions
PATIENCE = 1.0  # seconds for an answer
STARTING = 5.0  # seconds for the first answer: an interpreter may start slowly on a busy machine
BACKLOG = 512
PRIORITY = -10  # a busy machine must not look like a hung one
MAX_ANSWER = 4096  # bytes
QUESTION = b'{"method":"io.systemd.UserDatabase.GetUserRecord","parameters":{"uid":0}}\0'

# The child's own pid, which LISTEN_PID must be, is known only to what becomes the child.
BECOME = 'exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'


class Supervisor:
    """One user database: `command`, run as `uid` and `gid`, listening at `path`."""

    def __init__(self, command: "Sequence[str]", path: str, uid: int, gid: int) -> None:
        self._command = tuple(command)
        self._path = path
        self._uid = uid
        self._gid = gid
        self._child: "subprocess.Popen[bytes] | None" = None

    def run(self) -> None:
        """Keep the user database running until this process is ended."""
        while True:
            self.start()
            time.sleep(INTERVAL)
            while self.is_well(PATIENCE):
                time.sleep(INTERVAL)
            service.log("the user database did not answer: replacing it")
            self.stop()

    def start(self) -> None:
        """Start a user database on a new socket and wait until it answers."""
        # The path appears when somebody already listens: a look-up must not find it refused.
        folder, name = os.path.split(self._path)
        new = os.path.join(folder, f".{name}.new")  # the name service looks at no hidden ones
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(new)
            os.chmod(new, 0o666)  # noqa: S103 -- whoever looks up a name asks
            listener.listen(BACKLOG)
            self._child = self._spawn(listener)
            with contextlib.suppress(PermissionError):  # a container's root may not
                os.setpriority(os.PRIO_PROCESS, self._child.pid, PRIORITY)
        # Ours is closed now: when the child dies, whoever waits in the queue is told at once.
        os.rename(new, self._path)
        self.is_well(STARTING)

    def stop(self) -> None:
        """End the user database, also a stopped or hung one, and whoever waits for it."""
        self._remove_socket()
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def is_well(self, patience: float) -> bool:
        """Whether the user database answers within `patience` seconds."""
        if self._child is None or self._child.poll() is not None:
            return False
        return answers(self._path, patience)

    def _spawn(self, listener: socket.socket) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            ["/bin/sh", "-c", BECOME, "sh", *self._command],
            stdin=listener.fileno(),
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_BYPASS_USERDB": "1"},
            cwd="/",
            user=self._uid,
            group=self._gid,
            extra_groups=[],
        )

    def _remove_socket(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)


def answers(path: str, patience: float) -> bool:
    """Whether a user database at `path` answers within `patience` seconds."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(patience)
            asking.connect(path)
            asking.sendall(QUESTION)
            return asking.recv(MAX_ANSWER).endswith(b"\0")
    except OSError:
        return False


def of_this_host() -> Supervisor:
    """A supervisor of this host's user database, as installed.

    Raises:
        KeyError: the user to run it as is not there.
    """
    user = pwd.getpwnam(paths.USERDB_USER)
    os.makedirs(os.path.dirname(paths.USERDB_SOCKET), exist_ok=True)
    command = (paths.SSHD_HOOK, "userdb")
    return Supervisor(command, paths.USERDB_SOCKET, user.pw_uid, user.pw_gid)
