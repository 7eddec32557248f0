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
BECOME = 'exec 3<&0 4<&1 </dev/null >&2; export LISTEN_FDS=2 LISTEN_PID=$$; exec "$@"'


class Supervisor:
    """One user database: `command`, run as `uid` and `gid`.

    It listens at `for_all`, where whoever looks up a name asks, and at `for_root`.
    """

    def __init__(
        self, command: "Sequence[str]", for_all: str, for_root: str, uid: int, gid: int
    ) -> None:
        self._command = tuple(command)
        self._for_all = for_all
        self._for_root = for_root
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
        """Start a user database on new sockets and wait until it answers."""
        with _listen(self._for_all, 0o666) as for_all, _listen(self._for_root, 0o600) as for_root:
            self._child = self._spawn(for_all, for_root)
            with contextlib.suppress(PermissionError):  # a container's root may not
                os.setpriority(os.PRIO_PROCESS, self._child.pid, PRIORITY)
        # Ours are closed now: when the child dies, whoever waits in a queue is told at once.
        for path in (self._for_root, self._for_all):
            os.rename(_new(path), path)
        self.is_well(STARTING)

    def stop(self) -> None:
        """End the user database, also a stopped or hung one, and whoever waits for it."""
        for path in (self._for_root, self._for_all):
            _remove(path)
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def is_well(self, patience: float) -> bool:
        """Whether the user database answers within `patience` seconds: there, where none crowd."""
        if self._child is None or self._child.poll() is not None:
            return False
        return answers(self._for_root, patience)

    def _spawn(self, for_all: socket.socket, for_root: socket.socket) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            ["/bin/sh", "-c", BECOME, "sh", *self._command],
            stdin=for_all.fileno(),
            stdout=for_root.fileno(),
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_BYPASS_USERDB": "1"},
            cwd="/",
            user=self._uid,
            group=self._gid,
            extra_groups=[],
        )


def _listen(path: str, mode: int) -> socket.socket:
    """A socket beside `path`, which appears when somebody already listens: nobody is refused."""
    _remove(_new(path))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(_new(path))
    os.chmod(_new(path), mode)
    listener.listen(BACKLOG)
    return listener


def _new(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.new")  # the name service looks at no hidden ones


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


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
    sockets = (paths.USERDB_SOCKET, paths.USERDB_ROOT_SOCKET)
    return Supervisor(command, *sockets, user.pw_uid, user.pw_gid)
