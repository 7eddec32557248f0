"""The hook's programs at their real paths, in a private mount namespace, run as sshd runs them."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from time import sleep, time
from typing import TYPE_CHECKING

import pytest

from ca.hosts import bundle_writer
from sshd_hook import freshness, paths, verdict
from sshd_hook.install import install_below
from sshd_hook.log import DECISIONS, LOST
from tests.interpreters import FOUND
from tests.questions import SHARED_UID, content, statement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ca.hosts.bundle_writer import BundleContent

HOOK_ID = 64321  # uid and gid of amrgate-hook
SECONDS = 20
MARK = b"-- end --"

# Private /usr/lib and /var, new and empty /run and /dev, and an interpreter under root's own home
# where others can reach it. It ends, and all of it with it, when standard input does.
LAY_OUT = """
set -e
mount -t tmpfs -o mode=755 stage /mnt
for path in /usr/lib /var; do
    up=/mnt/up$path work=/mnt/work$path
    mkdir -p $up $work
    mount -t overlay overlay -o lowerdir=$path,upperdir=$up,workdir=$work $path
done
mkdir /mnt/python /mnt/dev
mount --rbind "$1" /mnt/python
mount -t tmpfs -o mode=755 dev /mnt/dev
for name in null zero full urandom; do
    touch /mnt/dev/$name
    mount --bind /dev/$name /mnt/dev/$name
done
mount --move /mnt/dev /dev
mount -t tmpfs -o mode=755 run /run
case $1 in
"$HOME"/*)
    mount -t tmpfs -o mode=755 home "$HOME"
    mkdir -p "$1"
    mount --move /mnt/python "$1" ;;
esac
umount -l /mnt
echo ready
read -r _ || :
"""


@dataclass(frozen=True)
class Ran:
    """What a program did: its exit status (minus the signal), what it printed, what it logged."""

    status: int
    out: bytes
    err: bytes
    logged: list[str]


class HookHost:
    """A host on which the hook was installed for one interpreter."""

    def __init__(self, python: str) -> None:
        prefix = str(Path(python).parent.parent)
        self._init = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", LAY_OUT, "sh", prefix],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._init.stdout is not None
        assert self._init.stdout.readline() == "ready\n"
        self._log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._log.bind(str(self.path("/dev/log")))
        self.path("/dev/log").chmod(0o666)
        self._lines: list[str] = []
        self._end_of_log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        Thread(target=self._keep_log, daemon=True).start()
        install_below(self.path("/"), python)
        self.path(paths.POLICY).mkdir(parents=True)
        os.chown(self.path(paths.POLICY), 0, HOOK_ID)
        self.path(paths.POLICY).chmod(0o750)
        self.path(paths.VERDICTS).mkdir(parents=True)
        os.chown(self.path(paths.VERDICTS), HOOK_ID, HOOK_ID)
        self.path(paths.VERDICTS).chmod(0o700)

    def stop(self) -> None:
        self._init.communicate()

    def path(self, inside: str) -> Path:
        """A file of the host, as seen from outside."""
        return Path(f"/proc/{self._init.pid}/root{inside}")

    def set_policy(self, of: BundleContent | None = None, **changes: object) -> None:
        """Install a bundle, fresh now but for `changes` of the statement, as the agent would."""
        self.set_file(paths.BUNDLE, bundle_writer.write(of or content()))
        fresh = statement(int(time()), **changes)
        self.set_file(paths.FRESH, freshness.render(fresh))
        self.set_file(paths.SHARED_UID, f"{SHARED_UID}\n".encode())

    def set_file(self, inside: str, data: bytes) -> None:
        """Put a file that the hook may read in place."""
        path = self.path(inside)
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        os.chown(path, 0, HOOK_ID)
        path.chmod(0o640)

    def command(self, words: Sequence[str | bytes], user: int) -> list[str | bytes]:
        """The words that run a program of the host as a user, as a child of this process."""
        drop = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--")
        inside = f"--mount=/proc/{self._init.pid}/ns/mnt"
        return ["nsenter", inside, *(() if user == 0 else drop), *words]

    def run(
        self,
        *words: str | bytes,
        user: int = HOOK_ID,
        env: Mapping[str, str] | None = None,
        **more: object,
    ) -> Ran:
        """Run a program of the host to its end."""
        self.logged()
        where: dict[str, object] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        ran = subprocess.run(  # type: ignore[call-overload]  # what tests do to a process
            self.command(words, user),
            env={"PATH": os.environ["PATH"], **(env or {})},
            timeout=SECONDS,
            check=False,
            **where,
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr, self.logged())

    def ask(self, arguments: Sequence[str] | Sequence[str | bytes], **more: object) -> Ran:
        """Run the principals command as sshd does, this process being sshd."""
        return self.run(paths.PRINCIPALS, *arguments, **more)  # type: ignore[arg-type]

    def _keep_log(self) -> None:
        """Take what is logged off the socket: whoever logs waits while ten lines lie there."""
        while line := self._log.recv(65536):
            self._lines.append(line.decode())

    @contextmanager
    def deaf_log(self) -> Iterator[None]:
        """Put a log in place that takes nothing more: whoever writes to it waits."""
        path, away = self.path("/dev/log"), self.path("/dev/log.away")
        path.rename(away)
        deaf = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        deaf.bind(str(path))
        path.chmod(0o666)
        self._end_of_log.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                self._end_of_log.sendto(b"x", str(path))
        self._end_of_log.setblocking(True)
        try:
            yield
        finally:
            deaf.close()
            away.rename(path)

    def logged(self) -> list[str]:
        """What was logged since this was last asked."""
        self._end_of_log.sendto(MARK, self._log.getsockname())
        while MARK.decode() not in self._lines:
            sleep(0.0005)
        lines = self._lines[:]
        self._lines.clear()
        return lines[: lines.index(MARK.decode())]

    @property
    def connection(self) -> str:
        """What the notes about this process's connection are called."""
        return f"{os.getpid()}.{verdict.start_time(os.getpid())}"

    def note(self, ending: str) -> Path:
        """The note about this process's connection."""
        return self.path(f"{paths.VERDICTS}/{self.connection}.{ending}")

    def notes(self) -> list[str]:
        """Every note there is, but for what is on its way to the agent."""
        found = {path.name for path in self.path(paths.VERDICTS).iterdir()}
        return sorted(found - {DECISIONS, LOST})


@pytest.fixture(scope="session")
def _hook_hosts() -> Iterator[dict[str, HookHost]]:
    hosts: dict[str, HookHost] = {}
    yield hosts
    for host in hosts.values():
        host.stop()


@pytest.fixture
def hook_host(_hook_hosts: dict[str, HookHost], hook_python: str) -> HookHost:
    """A host with a policy and without verdicts, under each Python in turn."""
    return _as_new(_hook_hosts, hook_python)


@pytest.fixture
def every_hook_host(_hook_hosts: dict[str, HookHost]) -> list[HookHost]:
    """Such a host for each Python, for what takes seconds: all of them can be waited for at once."""
    return [_as_new(_hook_hosts, python.path) for python in FOUND]


def _as_new(hosts: dict[str, HookHost], python: str) -> HookHost:
    if python not in hosts:
        hosts[python] = HookHost(python)
    host = hosts[python]
    for note in host.path(paths.VERDICTS).iterdir():
        note.unlink()
    host.set_policy()
    return host


def code(ran: Ran) -> str:
    """The stable code in the one line that was logged."""
    (line,) = ran.logged
    assert line.isprintable()
    return line.split("code=")[1].split(" ")[0]


def lets_in(ran: Ran) -> bool:
    return ran.status == 0 and ran.out.startswith(b"restrict,pty,agent-forwarding")


def refuses(host: HookHost, ran: Ran, *codes: str) -> None:
    """Nothing printed, nothing left, one line logged."""
    assert (ran.out, ran.err) == (b"", b"")
    assert ran.status == 1
    assert code(ran) in codes
    assert host.notes() == []
