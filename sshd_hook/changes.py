"""Changes to this machine that are all undone if one of them fails."""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import os
import signal
import stat
import subprocess
import sys

from sshd_hook import atomic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import NoReturn

# How a person or the machine ends a process; the first also by closing the terminal it runs in.
ENDINGS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
LOCK = "/run/amrgate.lock"
SECONDS = 120  # for one command
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


class ChangeError(Exception):
    """A step failed; the message names it."""


class Changes:
    """What was done, and for each of it how to undo it.

    Each change is told, as one line or more, before it is done; what is as it should be already
    is left alone, and not told.
    """

    def __init__(self, tell: Callable[[str], object] | None = None) -> None:
        """Tell each change by `tell`, or nobody."""
        self._teller = tell
        self._undo: list[tuple[str, Callable[[], object]]] = []

    def write(self, path: str, data: bytes, placement: atomic.Placement = atomic.PUBLIC) -> None:
        """Replace a file of ours; its former content, or its absence, comes back with `undo`."""
        before = _read(path)
        if before is None or before[0] != data or not _is_same(before[1], placement):
            self.tell(f"write {path}")
            self._replace(path, before, data, placement)

    def edit(self, path: str, change: Callable[[str], str]) -> None:
        """Replace a file of others by what `change` makes of it; mode and owner stay.

        Raises:
            FileNotFoundError: there is none.
        """
        path = os.path.realpath(path)  # a link is kept, and what it leads to is replaced
        before = _read(path)
        if before is None:
            raise FileNotFoundError(2, os.strerror(2), path)
        self._show(path, before[0], change(_text(before[0])), before)

    def put(self, path: str, text: str) -> None:
        """Make or replace a file of ours among others': what changes in it is told line by line."""
        before = _read(path)
        self._show(path, before[0] if before else b"", text, before)

    def remove(self, path: str) -> None:
        """Remove a file of ours, if it is there; it comes back with `undo`, or goes again."""
        self.keep(path)
        atomic.remove(path)

    def keep(self, path: str) -> None:
        """Let what is in a file now come back with `undo`, whoever writes it meanwhile."""
        before = _read(path)
        self.on_undo(f"restore {path}", lambda: _restore(path, before))

    def folder(self, path: str, placement: atomic.Placement) -> None:
        """Make a folder, if need be, with this owner and mode."""
        if not os.path.isdir(path):
            self.tell(f"make the folder {path}")
            os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
            os.mkdir(path, 0o700)
            self.on_undo(f"remove {path}", lambda: _remove_empty(path))
            _place(path, placement)
        else:
            self.place(path, placement)

    def place(self, path: str, placement: atomic.Placement) -> None:
        """Give a file or folder this owner and mode; what is in it is left alone."""
        before = _placement(os.stat(path))
        if not _is_same(before, placement):
            self.tell(f"set the owner and mode of {path}")
            self.on_undo(f"give back {path}", lambda: _place(path, before))
            _place(path, placement)

    def run(self, command: Sequence[str], undo: Sequence[str] = ()) -> None:
        """Run a command that must succeed, and `undo` to take it back.

        Raises:
            ChangeError: it failed.
        """
        self.tell(f"run {' '.join(command)}")
        if undo:
            self.on_undo(" ".join(undo), lambda: run(undo))
        run(command)

    def tell(self, line: str) -> None:
        """Tell what comes now."""
        if self._teller is not None:
            self._teller(line)

    def on_undo(self, words: str, action: Callable[[], object]) -> None:
        """Remember what takes back the step that comes now."""
        self._undo.append((words, action))

    def undo(self) -> None:
        """Take everything back, the last first; what cannot be taken back is named.

        Nobody is there to see it where a terminal was closed, and nobody ends it half way.
        """
        with _at_endings(lambda _number, _frame: None):
            while self._undo:
                words, action = self._undo.pop()
                try:
                    action()
                except Exception as error:  # noqa: BLE001 -- the rest is to be undone all the same
                    with contextlib.suppress(OSError):
                        sys.stderr.write(f"sshd-hook: could not undo: {words}: {error}\n")

    def _show(
        self, path: str, old: bytes, text: str, before: tuple[bytes, atomic.Placement] | None
    ) -> None:
        new = text.encode("utf-8", "surrogateescape")
        if before is None or old != new:
            self.tell(f"{'change' if before else 'write'} {path}:")
            for line in difference(_text(old), text):
                self.tell(f"    {line}")
            self._replace(path, before, new, before[1] if before else atomic.PUBLIC)

    def _replace(
        self,
        path: str,
        before: tuple[bytes, atomic.Placement] | None,
        data: bytes,
        placement: atomic.Placement,
    ) -> None:
        self.on_undo(f"restore {path}", lambda: _restore(path, before))
        atomic.write(path, data, placement)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """See that nobody else changes this machine meanwhile: one would undo what the other rests on.

    Raises:
        ChangeError: somebody does.
    """
    fd = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if not _holds(fd):
            raise ChangeError("an enroll or unenroll runs already: let it end first")
        try:
            yield
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(LOCK)
    finally:
        os.close(fd)


def _holds(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(fd).st_nlink > 0  # else it was another's, who has just ended


@contextlib.contextmanager
def undoable() -> Iterator[None]:
    """Let whoever ends this process do so by an exception: what was done can be taken back then."""
    with _at_endings(_end):
        yield


def _end(number: int, _frame: object) -> NoReturn:
    for one in ENDINGS:  # one is enough: another must not end what undoes
        signal.signal(one, lambda _number, _frame: None)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


@contextlib.contextmanager
def _at_endings(handler: Callable[[int, object], object]) -> Iterator[None]:
    # What is ignored stays so, as by nohup(1).
    former = {one: signal.getsignal(one) for one in ENDINGS}
    heeded = {one: before for one, before in former.items() if before != signal.SIG_IGN}
    for one in heeded:
        signal.signal(one, handler)
    try:
        yield
    finally:
        for one, before in heeded.items():
            signal.signal(one, before)


def difference(before: str, after: str) -> list[str]:
    """The lines that go and those that come, marked `-` and `+`."""
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line.rstrip() for line in lines if line[0] in "-+"]


def run(command: Sequence[str]) -> str:
    """Run a command that must succeed; return what it printed.

    Raises:
        ChangeError: it failed.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=ENVIRONMENT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ChangeError(f"{command[0]}: {error}") from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip() or f"status {done.returncode}"
        raise ChangeError(f"{' '.join(command)}: {words}")
    return done.stdout


def _read(path: str) -> tuple[bytes, atomic.Placement] | None:
    """A file and its placement, or None if there is none."""
    try:
        with open(path, "rb") as file:
            return file.read(), _placement(os.fstat(file.fileno()))
    except FileNotFoundError:
        return None


def _restore(path: str, before: tuple[bytes, atomic.Placement] | None) -> None:
    if before is None:
        atomic.remove(path)
    else:
        atomic.write(path, *before)


def _placement(status: os.stat_result) -> atomic.Placement:
    return atomic.Placement(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)


def _place(path: str, placement: atomic.Placement) -> None:
    os.chown(path, placement.uid, placement.gid)
    os.chmod(path, placement.mode)


def _is_same(one: atomic.Placement, other: atomic.Placement) -> bool:
    return (one.mode, one.uid, one.gid) == (other.mode, other.uid, other.gid)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _remove_empty(path: str) -> None:
    if os.path.isdir(path) and not os.listdir(path):
        os.rmdir(path)
