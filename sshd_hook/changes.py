"""Changes to this machine that are all undone if one of them fails."""

from __future__ import annotations

import os
import subprocess
import sys

from sshd_hook import atomic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SECONDS = 120  # for one command
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


class ChangeError(Exception):
    """A step failed; the message names it."""


class Changes:
    """What was done, and for each of it how to undo it."""

    def __init__(self) -> None:
        self._undo: list[tuple[str, Callable[[], object]]] = []

    def write(self, path: str, data: bytes, placement: atomic.Placement = atomic.PUBLIC) -> None:
        """Replace a file; its former content, or its absence, comes back with `undo`."""
        try:
            with open(path, "rb") as file:
                before = file.read()
                status = os.fstat(file.fileno())
        except FileNotFoundError:
            self.on_undo(f"remove {path}", lambda: atomic.remove(path))
        else:
            old = atomic.Placement(status.st_mode & 0o7777, status.st_uid, status.st_gid)
            self.on_undo(f"restore {path}", lambda: atomic.write(path, before, old))
        atomic.write(path, data, placement)

    def edit(self, path: str, change: Callable[[str], str]) -> None:
        """Replace a file of others by what `change` makes of it; mode and owner stay."""
        with open(path, "rb") as file:
            text = file.read().decode("utf-8", "surrogateescape")
            status = os.fstat(file.fileno())
        placement = atomic.Placement(status.st_mode & 0o7777, status.st_uid, status.st_gid)
        new = change(text)
        if new != text:
            # A link is kept, and what it leads to is replaced.
            self.write(os.path.realpath(path), new.encode("utf-8", "surrogateescape"), placement)

    def folder(self, path: str, placement: atomic.Placement) -> None:
        """Make a folder, if need be, with this owner and mode."""
        if not os.path.isdir(path):
            os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
            os.mkdir(path, 0o700)
            self.on_undo(f"remove {path}", lambda: _remove_empty(path))
        os.chown(path, placement.uid, placement.gid)
        os.chmod(path, placement.mode)

    def run(self, command: Sequence[str], undo: Sequence[str] = ()) -> None:
        """Run a command that must succeed, and `undo` to take it back.

        Raises:
            ChangeError: it failed.
        """
        if undo:
            self.on_undo(" ".join(undo), lambda: run(undo))
        run(command)

    def on_undo(self, words: str, action: Callable[[], object]) -> None:
        """Remember what takes back the step that comes now."""
        self._undo.append((words, action))

    def undo(self) -> None:
        """Take everything back, the last first; what cannot be taken back is named."""
        while self._undo:
            words, action = self._undo.pop()
            try:
                action()
            except (OSError, ChangeError, subprocess.SubprocessError) as error:
                sys.stderr.write(f"sshd-hook: could not undo: {words}: {error}\n")


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


def _remove_empty(path: str) -> None:
    if os.path.isdir(path) and not os.listdir(path):
        os.rmdir(path)
