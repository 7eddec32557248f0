"""What the audience sees: each command, what it really printed, its exit status and its time."""

from __future__ import annotations

import contextlib
import sys
import textwrap
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from machine.private import PrivateMachine, Result

WIDTH = 80
SECONDS = 60  # that one command may take
COLOURS = {"title": "1;34", "person": "1;32", "note": "2", "good": "32", "bad": "1;31"}


class DemoError(Exception):
    """The demo did not go as it must; the message is for the person at the terminal."""


class Stage:
    """Shows commands as they are run in a private machine."""

    def __init__(self, machine: PrivateMachine) -> None:
        self.machine = machine
        self._begin = time.monotonic()
        self._is_silent = False

    @contextlib.contextmanager
    def silence(self) -> Iterator[None]:
        """Run what is no part of the story without showing it."""
        self._is_silent = True
        try:
            yield
        finally:
            self._is_silent = False

    def title(self, text: str) -> None:
        """The heading of a step."""
        self._print(f"\n{paint('title', text)}")

    def say(self, text: str) -> None:
        """What the audience must know and no command tells."""
        for line in textwrap.wrap(text, WIDTH - 2):
            self._print(paint("note", f"# {line}"))

    def run(
        self,
        person: str,
        *words: str,
        shown: str = "",
        stdin: str = "",
        ends: tuple[int, ...] = (0,),
    ) -> Result:
        """Run a command as one of the machine's people, and show it.

        `shown` stands for the command where that would hide the point.

        Raises:
            DemoError: it ended with another status than `ends`.
        """
        self._prompt(person, shown or " ".join(words))
        begin = time.monotonic()
        result = self.machine.run(*words, user=person, stdin=stdin, seconds=SECONDS)
        self._ended(result.err + result.out, result.status, time.monotonic() - begin)
        if result.status not in ends:
            raise DemoError(f"That command should have ended with status {ends[0]}.")
        return result

    def log_in(self, person: str, words: tuple[str, ...], browse: Callable[[str], None]) -> None:
        """Run a login as one of the people, and `browse` to the address that it prints.

        Raises:
            DemoError: it failed.
        """
        command = ("amrgate", "login", "--no-browser", *words)
        self._prompt(person, " ".join(command))
        begin = time.monotonic()
        process = self.machine.popen(("timeout", str(SECONDS), *command), user=person)
        printed = self._until_address(process, browse)
        out, err = process.communicate()
        self._ended(printed + err + out, process.returncode, time.monotonic() - begin)
        if process.returncode:
            raise DemoError("The login failed.")

    def expect(self, what: str, found: str, wanted: str) -> None:
        """Say that something is as it must be.

        Raises:
            DemoError: it is not.
        """
        if found != wanted:
            raise DemoError(f"{what}:\n{found}\nbut it must be\n{wanted}")
        self._print(paint("good", f"✓ {what}"))

    def end(self) -> None:
        """How long all of it took."""
        self._print(f"\nAll of it took {time.monotonic() - self._begin:.0f} s.")

    def _until_address(self, process: subprocess.Popen[str], browse: Callable[[str], None]) -> str:
        printed = ""
        assert process.stderr is not None  # noqa: S101 -- popen opens a pipe
        for line in process.stderr:
            printed += line
            word = line.strip()
            if word.startswith("http://"):
                browse(word)
                break
        return printed

    def _prompt(self, person: str, command: str) -> None:
        sign = "#" if person == "root" else "$"
        self._print(f"{paint('person', person + sign)} {command}")

    def _ended(self, printed: str, status: int, seconds: float) -> None:
        for line in printed.splitlines():
            self._print(line)
        exit_status = f"exit {status}, " if status else ""
        self._print(paint("note", f"({exit_status}{seconds:.2f} s)"))

    def _print(self, line: str) -> None:
        if not self._is_silent:
            print(line, flush=True)  # noqa: T201 -- this is the show


def paint(kind: str, text: str) -> str:
    """`text` in its colour, on a terminal; no meaning rests on the colour."""
    return f"\033[{COLOURS[kind]}m{text}\033[0m" if sys.stdout.isatty() else text
