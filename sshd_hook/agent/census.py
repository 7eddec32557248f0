"""Telling the CA which connections are open, so that it can say before a change which that ends."""

from __future__ import annotations

import time
from collections import Counter

from sshd_hook import verdict
from sshd_hook.agent import apply, connections, duty, peers, poll, processes
from sshd_hook.names import parse_service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sshd_hook.agent.host import Host

    Census = Counter[tuple[str, str, str]]
    """How many connections are open, by service (without an instance), session and address."""

LOOK_EVERY = 3.0  # seconds
SAY_EVERY = 15.0  # seconds, at most
MOST = 4096  # of these in one report; the rest is left out
FAILURES = (OSError, ValueError, poll.CAError, verdict.VerdictError)


def count(addresses: dict[tuple[int, str], str]) -> Census:
    """Count what is open now.

    `addresses` is what was found of them before, by process and start, and is brought up to date: to
    look for one is to read all connections of the machine.

    Raises:
        OSError, ValueError, verdict.VerdictError: it cannot be seen.
    """
    found: Census = Counter()
    known = verdict.connections()
    before = dict(addresses)
    addresses.clear()
    if known:
        table, owns = processes.Table(), apply.load_accounts().owns
        of = peers.Peers().of
        for pid, start, connection in known:
            name = parse_service(connection.service)
            if name is not None and connections.is_open(pid, table, owns):
                address = before[pid, start] if (pid, start) in before else of(pid) or ""
                addresses[pid, start] = address
                found[name.record, connection.session, address] += 1
    return found


class Teller:
    """Tells the CA whenever it is something else, but not at every login."""

    def __init__(self, known: Host, ca: poll.CA) -> None:
        self._host = known
        self._ca = ca
        self._addresses: dict[tuple[int, str], str] = {}
        self._told: Census | None = None  # what was said before this agent ran is not known
        self._next = 0.0  # not before this monotonic time

    def run(self) -> None:
        """Do so for ever."""
        duty.repeat(
            lambda: time.sleep(LOOK_EVERY),
            lambda: self.round(time.monotonic()),
            FAILURES,
            "the CA is not told which connections are open",
        )

    def round(self, now: float) -> object:
        """Look once, and say it if there is something to say; `duty.WAITING` if it is not time yet.

        Raises:
            FAILURES: it cannot be seen or said now; the next round tries again.
        """
        if now < self._next:
            return duty.WAITING
        found = count(self._addresses)
        if found != self._told:
            self._next = now + SAY_EVERY
            self._ca.tell_open(self._host, found.most_common(MOST))
            self._told = found
        return None
