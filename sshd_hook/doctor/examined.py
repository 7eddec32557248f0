"""The host under examination: what its programs answered, each asked once, for all checks."""

from __future__ import annotations

import contextlib
import functools
import grp
import os
import pwd
import subprocess
import time

from sshd_hook import accounts, bundle, freshness, paths, preflight, questions
from sshd_hook.agent import apply, host, supervise
from sshd_hook.changes import ENVIRONMENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from sshd_hook.questions import Question

PATIENCE = 5  # seconds for a program to answer
USERDB_SOCKETS = (paths.USERDB_ROOT_SOCKET, paths.USERDB_SOCKET)
USERDB_PATIENCE = 1.0  # seconds
USERDB_SLOW = 0.25  # seconds; it takes one thousandth
TRIES = 2  # to be slow once is chance
ADMINISTRATORS = ("sudo", "wheel")  # groups
BYPASS = "SYSTEMD_BYPASS_USERDB"  # nss-systemd(8) then asks no user database
MAX_ADMINISTRATORS = 5  # to ask sshd about


class Unknown(Exception):
    """It cannot be known while something else is wrong, which another check reports."""


class SshdError(Unknown):
    """sshd does not answer; the message is its own."""


class Settings:
    """What sshd would do for a login: values by keyword in lower case."""

    def __init__(self, answer: str) -> None:
        self._values: dict[str, list[str]] = {}
        for line in answer.splitlines():
            keyword, _, value = line.partition(" ")
            self._values.setdefault(keyword, []).append(value)

    def all(self, keyword: str) -> list[str]:
        """Every value of a keyword; none if this sshd does not know it, or it is not set."""
        return self._values.get(keyword, [])

    def get(self, keyword: str) -> str:
        """Its values in one line; `none` if there are none."""
        return " ".join(self.all(keyword)) or "none"

    def knows(self, keyword: str) -> bool:
        """Whether this sshd has such a keyword and a value for it."""
        return keyword in self._values


class Examined:
    """The host that this is, at the time `now`, in seconds since the epoch."""

    def __init__(self, now: int) -> None:
        self.now = now
        # While our user database hangs, every look-up of a name would, here and in sshd.
        if self.userdb_is_well:
            os.environ.pop(BYPASS, None)
        else:
            os.environ[BYPASS] = "1"
        self._answers: dict[Question, Settings | SshdError] = {}

    # --- sshd ---

    def sshd(self, question: Question = questions.ROOT) -> Settings:
        """What sshd says it would do for a login; root's will do for what is set for all of them.

        Without one, sshd gives no answer where a Match block is about LocalPort.

        Raises:
            SshdError: its configuration is not valid.
        """
        if question not in self._answers:
            self._answers[question] = _ask_sshd(question)
        answer = self._answers[question]
        if isinstance(answer, SshdError):
            raise answer
        return answer

    @functools.cached_property
    def gate(self) -> list[tuple[Question, Settings]]:
        """What sshd would do for logins to services, at least one for each Match block.

        Raises:
            SshdError: its configuration is not valid.
        """
        asked = questions.about_services(sorted(self.live_services))
        return [(question, self.sshd(question)) for question in asked]

    @functools.cached_property
    def administrators(self) -> list[tuple[Question, Settings]]:
        """What sshd would do for root and for those who may become root.

        Raises:
            SshdError: its configuration is not valid.
        """
        names = []
        for group in ADMINISTRATORS:
            with contextlib.suppress(KeyError):
                names += grp.getgrnam(group).gr_mem
        asked = [questions.ROOT, *map(questions.Question, names[:MAX_ADMINISTRATORS])]
        return [(question, self.sshd(question)) for question in asked]

    # --- users ---

    @functools.cached_property
    def users(self) -> dict[str, pwd.struct_passwd]:
        """The system users of ours that there are."""
        found = {}
        for name in (paths.HOOK_USER, paths.USERDB_USER):
            with contextlib.suppress(KeyError):
                found[name] = pwd.getpwnam(name)
        return found

    def user(self, name: str) -> pwd.struct_passwd:
        """One of them.

        Raises:
            Unknown: it is gone.
        """
        if name not in self.users:
            raise Unknown
        return self.users[name]

    @functools.cached_property
    def userdb_seconds(self) -> dict[str, float | None]:
        """How long the user database takes for an answer at each socket, or None if it gives none."""
        return {path: _time_of_answer(path) for path in USERDB_SOCKETS}

    @property
    def userdb_is_well(self) -> bool:
        """Whether it answers at each."""
        return None not in self.userdb_seconds.values()

    def check_name_service(self) -> None:
        """See that the name service can be asked about services.

        Raises:
            Unknown: it cannot, for our user database does not answer.
        """
        if not self.userdb_is_well:
            raise Unknown

    @functools.cached_property
    def accounts(self) -> accounts.Accounts:
        """The map of uids.

        Raises:
            Unknown: it is missing or damaged.
        """
        try:
            return apply.load_accounts()
        except (OSError, accounts.AccountsError) as error:
            raise Unknown from error

    @property
    def live_services(self) -> dict[str, int]:
        """The services that have accounts here, and their uids; none if the map is damaged."""
        try:
            return self.accounts.live
        except Unknown:
            return {}

    # --- policy ---

    @functools.cached_property
    def record(self) -> host.Host:
        """Who this host is.

        Raises:
            Unknown: it does not know.
        """
        try:
            return host.load()
        except host.HostError as error:
            raise Unknown from error

    @functools.cached_property
    def floor(self) -> host.Floor:
        """What it must not fall behind.

        Raises:
            Unknown: that is damaged.
        """
        try:
            return host.load_floor()
        except host.HostError as error:
            raise Unknown from error

    @functools.cached_property
    def bundle_bytes(self) -> bytes:
        """The policy in place.

        Raises:
            Unknown: there is none.
        """
        try:
            with open(paths.BUNDLE, "rb") as file:
                return file.read()
        except FileNotFoundError as error:
            raise Unknown from error

    @functools.cached_property
    def bundle(self) -> bundle.Bundle:
        """The same, to be read.

        Raises:
            Unknown: there is none, or it is damaged.
        """
        try:
            return bundle.from_bytes(self.bundle_bytes)
        except ValueError as error:
            raise Unknown from error

    @functools.cached_property
    def statement(self) -> freshness.Freshness:
        """The CA's word that the policy is current.

        Raises:
            Unknown: there is none, or it is damaged.
        """
        try:
            with open(paths.FRESH, "rb") as file:
                return freshness.parse(file.read())
        except (OSError, freshness.FreshnessError) as error:
            raise Unknown from error


def _time_of_answer(path: str) -> float | None:
    fastest = None
    for _ in range(TRIES):
        begin = time.monotonic()
        if not supervise.answers(path, USERDB_PATIENCE):
            return None
        fastest = min(time.monotonic() - begin, fastest or USERDB_PATIENCE)
        if fastest < USERDB_SLOW:
            break
    return fastest


def ask(command: Sequence[str]) -> str | None:
    """What a program prints, or None if it fails.

    Raises:
        OSError, subprocess.SubprocessError: it cannot be run, or takes too long.
    """
    done = _run(command)
    return None if done.returncode else done.stdout


def _ask_sshd(question: Question) -> Settings | SshdError:
    with contextlib.suppress(OSError):  # sshd says it, too
        preflight.make_sshd_answer()
    try:
        done = _run((preflight.SSHD, "-T", "-C", question.specification()))
    except (OSError, subprocess.SubprocessError) as error:
        return SshdError(str(error))
    if done.returncode:
        return SshdError(done.stderr.strip() or f"it ended with {done.returncode}")
    return Settings(done.stdout)


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    bypass = {BYPASS: os.environ[BYPASS]} if BYPASS in os.environ else {}
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**ENVIRONMENT, **bypass},
        text=True,
        errors="replace",
        timeout=PATIENCE,
        check=False,
    )
