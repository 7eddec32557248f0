"""The agent's loop: ask, verify, install, acknowledge, and go on whatever happens."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import random
import subprocess
import threading
import time
from functools import partial

from sshd_hook import accounts, paths, service, verdict
from sshd_hook.agent import (
    apply,
    census,
    clock,
    connections,
    decisions,
    duty,
    host,
    host_certificates,
    keygen,
    keys,
    poll,
    sweep,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SWEEP_EVERY = 10  # seconds
LOOK_EVERY = 3  # seconds: who was still logging in at a change is seen at the next look
FIRST_PAUSE = 0.5  # seconds after a failure, doubled with each further one
LONGEST_PAUSE = 10.0
SHORTEST_ROUND = 1.0  # seconds for an answer without news: a CA that never waits is not flooded

FAILURES = (
    poll.CAError,
    apply.Refused,
    accounts.AccountsError,
    host.HostError,
    keygen.KeygenError,
    subprocess.SubprocessError,
    OSError,
)


class Agent:
    """The agent of this host. One at a time may run: `lock` sees to it."""

    def __init__(self) -> None:
        self._host = host.load()
        ca_file = host.CA_FILE if os.path.exists(host.CA_FILE) else None
        self._ca = poll.CA(self._host.ca, ca_file)
        self._installed = apply.read_installed(self._host)
        # The first question is for everything: what somebody damaged is set right by a restart.
        self._have = poll.Have()
        self.changed = threading.Event()
        self._clock = clock.Clock()

    def run(self) -> None:
        """Follow the CA until this process is ended."""
        pause = 0.0
        wait = 0
        trouble = duty.Trouble("the CA is heard again, and followed")
        while True:
            begun = time.monotonic()
            try:
                changed = self.update(wait)
            except FAILURES as error:
                trouble.lasts(str(error) or type(error).__name__, time.monotonic())
                wait = 0  # when the CA is back, its word is needed at once, also without a change
                pause = min(2 * pause or FIRST_PAUSE, LONGEST_PAUSE)
                # Not all hosts at the same moment that lost the same CA.
                time.sleep(random.uniform(pause / 2, pause))  # noqa: S311 -- no secret
                continue
            trouble.ends()
            pause = 0.0
            wait = poll.WAIT
            if not changed:
                time.sleep(max(0.0, SHORTEST_ROUND - (time.monotonic() - begun)))

    def update(self, wait: int) -> bool:
        """Ask once and install the answer; say whether there was a new bundle or list.

        Raises:
            poll.CAError: the CA is away.
            apply.Refused: the answer is not to be obeyed.
            accounts.AccountsError, host.HostError: a file of this host's own is damaged.
            OSError: a file cannot be written.
        """
        floor = host.load_floor()
        update = self._ca.policy(self._host, self._have, floor.version, wait)
        keys.follow(update.keys)
        now = int(time.time())
        try:
            verified = apply.verify(update, self._host, floor, self._installed, now)
        except apply.NotCurrent as error:
            with contextlib.suppress(OSError):  # it is logged
                self._clock.doubt(error.skew)
            raise
        apply.install(verified)
        self._installed, statement = verified.installed, verified.freshness
        with contextlib.suppress(OSError):
            self._clock.hear(statement.issued_at)
        self.changed.set()
        had, self._have = self._have, poll.Have(statement.version, statement.krl_version)
        if verified.bundle is not None:
            service.log(f"obeying version {self._have.version}")
            self._acknowledge()
        return verified.bundle is not None or self._have != had

    def duties(self) -> tuple[Callable[[], None], ...]:
        """What else is to be done for ever, each in a thread of its own."""
        courier = decisions.Courier(self._host, self._ca)
        renewal = partial(host_certificates.follow, self._host, self._ca)
        return courier.run, renewal, census.Teller(self._host, self._ca).run, self._look_at_clock

    def _look_at_clock(self) -> None:
        complaint = "the clock is not looked after"
        duty.repeat(lambda: time.sleep(LOOK_EVERY), self.look_at_clock, (OSError,), complaint)

    def look_at_clock(self) -> None:
        """See whether it is right; if it is behind, nothing that the CA said holds meanwhile.

        Raises:
            OSError: a file cannot be written.
        """
        with contextlib.suppress(OSError):  # it is logged, and kept in memory
            self._clock.look()
        if self._clock.is_behind:
            apply.hold()
        else:
            apply.release()

    def _acknowledge(self) -> None:
        try:
            self._ca.acknowledge(self._host, self._installed.version, self._installed.digest)
        except poll.CAError as error:
            service.log(f"version {self._installed.version} is not acknowledged: {error}")


def main() -> None:
    """Run the agent for ever.

    Raises:
        host.HostError: this host is not enrolled, or another agent runs.
        poll.CAError: the address of the CA is none to be trusted.
    """
    threading.excepthook = _end_agent
    with lock():
        make_run_folders()
        agent = Agent()
        with contextlib.suppress(*FAILURES):
            apply.make_homes(apply.load_accounts().live)
        threading.Thread(target=_sweep_for_ever, daemon=True).start()
        threading.Thread(target=_end_for_ever, args=(agent.changed,), daemon=True).start()
        for duty in agent.duties():
            threading.Thread(target=duty, daemon=True).start()
        service.Notifier().ready()
        agent.run()


def once() -> None:
    """Ask the CA once, install its answer and return.

    Raises:
        as `main` and `Agent.update` do.
    """
    with lock():
        Agent().update(0)


@contextlib.contextmanager
def lock() -> Iterator[None]:
    """Hold what only one agent can hold: two would write the same files.

    Raises:
        host.HostError: another one has it, or this host is not enrolled.
    """
    try:
        fd = os.open(paths.AGENT, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        raise host.HostError("this host is not enrolled: run `sshd-hook enroll` first") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise host.HostError("an agent runs already: stop it first") from None
    finally:
        os.close(fd)


def make_run_folders() -> None:
    """Make the folder of verdicts, which is gone after each boot."""
    os.makedirs(paths.RUN, 0o755, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.mkdir(paths.VERDICTS, 0o700)
    hook = pwd.getpwnam(paths.HOOK_USER)
    os.chown(paths.VERDICTS, hook.pw_uid, hook.pw_gid)
    os.chmod(paths.VERDICTS, 0o700)


def _end_agent(failed: threading.ExceptHookArgs) -> None:
    """End the whole agent, to be started anew, rather than go on without one of its duties."""
    service.log(f"a duty failed, so the agent ends: {failed.exc_type.__name__}: {failed.exc_value}")
    os._exit(1)


def _sweep_for_ever() -> None:
    while True:
        time.sleep(SWEEP_EVERY)
        with contextlib.suppress(OSError):
            sweep.sweep()


def _end_for_ever(changed: threading.Event) -> None:
    """End what is refused by now, after each change and every few seconds."""

    def wait() -> None:
        changed.wait(LOOK_EVERY)
        changed.clear()

    duty.repeat(
        wait,
        lambda: connections.end_refused(int(time.time())),
        (*FAILURES, ValueError, verdict.VerdictError),
        "open connections cannot be looked at",
    )
