"""What the audience sees: each command, what it really printed, its exit status and its time."""

from __future__ import annotations

import contextlib
import shlex
import time
from typing import TYPE_CHECKING

from demo.terminal import fold_command, fold_output, fold_prose, paint, ticking
from machine.private import Result

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Sequence

    from machine.private import PrivateMachine

SECONDS = 60  # that one command may take
LOG = "/var/log/amrgate.log"  # of the daemons
LOG_LINES = 20


class DemoError(Exception):
    """The demo did not go as it must; the message is for the person at the terminal."""


class Stage:
    """Shows commands as they are run in a private machine."""

    def __init__(self, machine: PrivateMachine) -> None:
        self.machine = machine
        self._begin = time.monotonic()
        self._is_silent = False

    @contextlib.contextmanager
    def log_shown_on_failure(self) -> Iterator[None]:
        """Whoever sees the demo fail can read what the daemons said: it is gone a moment later."""
        try:
            yield
        except DemoError as error:
            log = self.machine.path(LOG)
            last = log.read_text().splitlines()[-LOG_LINES:] if log.exists() else []
            raise DemoError("\n".join((f"{error}", f"The end of {LOG}:", *last))) from error

    def title(self, text: str) -> None:
        """The heading of a step."""
        self._print(f"\n{paint('title', text)}")

    def say(self, text: str) -> None:
        """What the audience must know and no command tells."""
        for line in fold_prose(text):
            self._print(paint("note", line))

    @contextlib.contextmanager
    def work(self, text: str) -> Iterator[None]:
        """Say what is done and how long it took, and show no more of it."""
        self.say(text)
        with self._time():
            self._is_silent = True
            try:
                yield
            finally:
                self._is_silent = False

    def run(
        self,
        person: str,
        *words: str,
        shown: Sequence[str] = (),
        stdin: str = "",
        ends: tuple[int, ...] = (0,),
    ) -> Result:
        """Run a command as one of the machine's people, and show it.

        `shown` stands for its words where they would hide the point.

        Raises:
            DemoError: it ended with another status than `ends`.
        """
        self._prompt(person, shown or self._typed(words, stdin))
        with self._time() as results:
            result = self.machine.run(*words, user=person, stdin=stdin, seconds=SECONDS)
            results.append(result)
        if result.status not in ends:
            raise DemoError(f"That command should have ended with status {ends[0]}.")
        return result

    def start(self, *words: str, is_up: Callable[[], bool] = lambda: True) -> int:
        """Start a daemon as root, wait until it is up, and return its process id.

        Raises:
            DemoError: it takes too long.
        """
        self._prompt("root", (*words, "&"))
        with self._time():
            process = self.machine.spawn(*words, log=LOG)
            deadline = time.monotonic() + SECONDS
            while not is_up():
                if time.monotonic() > deadline:
                    raise DemoError("It does not answer.")
                time.sleep(0.05)
        return process

    def log_in(self, person: str, words: tuple[str, ...], browse: Callable[[str], None]) -> None:
        """Run a login as one of the people, and `browse` to the address that it prints.

        Raises:
            DemoError: it failed.
        """
        command = ("amrgate", "login", "--no-browser", *words)
        self._prompt(person, command)
        with self._time() as results:
            process = self.machine.popen(("timeout", str(SECONDS), *command), user=person)
            printed = self._until_address(process, browse)
            out, err = process.communicate()
            results.append(Result(process.returncode, out, printed + err))
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

    def _typed(self, words: Sequence[str], stdin: str) -> list[str]:
        typed = [shlex.quote(word) for word in words]
        return [*typed, f"<<< {shlex.quote(stdin.strip())}"] if stdin else typed

    def _prompt(self, person: str, chunks: Sequence[str]) -> None:
        sign = f"{person}{'#' if person == 'root' else '$'}"
        self._print(f"{paint('person', sign)} {fold_command(chunks, len(sign) + 1)}")

    @contextlib.contextmanager
    def _time(self) -> Iterator[list[Result]]:
        """Show how long it takes, and before that the results that are put into the list."""
        results: list[Result] = []
        begin = time.monotonic()
        with contextlib.nullcontext() if self._is_silent else ticking():
            yield results
        seconds = time.monotonic() - begin
        for line in "".join(result.err + result.out for result in results).splitlines():
            for row in fold_output(line):
                self._print(row)
        failed = "".join(f"exit {result.status}, " for result in results if result.status)
        self._print(paint("note", f"({failed}{seconds:.2f} s)"))

    def _print(self, line: str) -> None:
        if not self._is_silent:
            print(line, flush=True)  # noqa: T201 -- this is the show
