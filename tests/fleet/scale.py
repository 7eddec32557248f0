"""Keep many hosts in long poll on one node, change things, and see what it costs and how fast it is.

`python -m tests.fleet.scale [--hosts N] [--services N] [--changes N]`. Every change is checked: each
host that it concerns must be sent it, and no other host anything. "CPU" is the node's alone; what the
processes that play the hosts use is said beside it. A run that is cut short says what it has seen.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert

from ca.issuance import revocation
from ca.store import directory, revocations, tables
from ca.store.directory import Requirement
from ca.store.engine import reading, writing
from sshd_hook.agent.poll import WAIT
from tests.fleet import estate as names
from tests.fleet.estate import Estate
from tests.fleet.node import Node, Pollers

if TYPE_CHECKING:
    from sqlalchemy import Connection

PER_HOUR = 10_000
IDLE = 60  # seconds
PATIENCE = 120  # seconds without anything new
TELL_EVERY = 30  # seconds
TELL_CHANGES = 50
CLIENTS = 2  # processes that play hosts
ONE_OF_A_HUNDRED = 98


@dataclass
class Change:
    """A change, when it was committed, and whom it concerns."""

    version: int
    at: float
    hosts: range
    obeyed: list[float] = field(default_factory=list)
    """Seconds until each of them was sent it."""


class Drill:
    """The node, the hosts on it, and what was changed."""

    def __init__(self, estate: Estate, node: Node, pollers: Pollers) -> None:
        self._estate = estate
        self._node = node
        self._pollers = pollers
        self._random = random.Random(1)

    def settle(self) -> None:
        """Wait until every host has its policy."""
        begun = last = told = time.monotonic()
        used, played = self._used()
        had = 0
        while had < self._estate.hosts:
            self._pollers.listen(1)
            now = time.monotonic()
            if len(self._pollers.policies) > had:
                had, last = len(self._pollers.policies), now
            assert now - last < PATIENCE, f"no more hosts come; {len(self._pollers.failed)} failed"
            if now - told > TELL_EVERY:
                told = now
                self._tell_join(had, now - begun, used, played)
        self._tell_join(had, time.monotonic() - begun, used, played)

    def _tell_join(self, had: int, took: float, used: float, played: float) -> None:
        cpu, playing = self._used()
        cpu, playing = cpu - used, playing - played
        say(f"join: {had} hosts have their first policy after {took:.0f} s,")
        say(
            f"  {cpu:.0f} CPU s, {1000 * cpu / max(had, 1):.2f} ms a host; {self._node.memory()} MiB;"
        )
        say(f"  {playing:.0f} CPU s of the players; polls that failed: {dict(self._pollers.why)}")

    def _used(self) -> tuple[float, float]:
        """The processor time of the node, and of those who play the hosts."""
        return self._node.seconds(), self._pollers.seconds()

    def idle(self, seconds: float) -> None:
        """See what it costs when nothing changes."""
        self._pollers.listen(seconds / 2)
        used, played = self._used()
        self._pollers.listen(seconds)
        cpu, playing = self._used()
        cpu, playing = (cpu - used) / seconds, (playing - played) / seconds
        polls = self._estate.hosts / (WAIT + 0.5)  # each pauses half a second between two
        say(f"idle: {100 * cpu:.0f} % of a core, {1000 * cpu / polls:.2f} ms a poll,")
        say(f"  {self._node.memory()} MiB; players: {100 * playing:.0f} % of a core")

    def changes(self, count: int, per_hour: int) -> int:
        """Change things at an even pace; how many hosts were not sent a change that concerns them.

        None waits for the one before.
        """
        begun, (used, played) = time.monotonic(), self._used()
        made: list[Change] = []
        try:
            for number in range(count):
                due = begun + number * 3600 / per_hour
                self._pollers.listen(max(0.0, due - time.monotonic()))
                made.append(self._change(number))
                if (number + 1) % TELL_CHANGES == 0:
                    say(f"  {number + 1} changes, {self._missing(made)} not yet sent")
            self._pollers.listen(5)
            waited = 5
            while self._missing(made) and waited < PATIENCE:
                self._pollers.listen(1)
                waited += 1
        finally:
            cpu, playing = self._used()
            self._report(made, cpu - used, playing - played, time.monotonic() - begun)
        return self._missing(made)

    def revoke(self) -> int:
        """Revoke a key, which every host must hear of; how many do not."""
        at, (used, played) = time.monotonic(), self._used()
        fingerprint = f"SHA256:{self._random.randbytes(32).hex()[:42]}A"
        now = int(time.time())
        revocation.revoke_key(self._node.engine, fingerprint, (), "operator", "lost", now=now)
        with reading(self._node.engine) as connection:
            version = revocations.version(connection)
        while self._without_list(version) and time.monotonic() - at < PATIENCE:
            self._pollers.listen(0.5)
        late = sorted(when - at for had, when in self._pollers.lists.values() if had >= version)
        left = self._without_list(version)
        cpu, playing = self._used()
        say(f"revoked key: {len(late)} hosts, {left} without; {spread(late)};")
        say(f"  {cpu - used:.1f} CPU s; {playing - played:.1f} of the players")
        return left

    def restart(self) -> None:
        """Stop the node and start it again, and see when every host is heard again."""
        took = self._node.stop()
        say(f"stop: {took:.2f} s")
        self._pollers.failed.clear()
        begun = time.monotonic()
        self._node.start()
        quiet = 0.0
        while quiet < 2 * 10:
            self._pollers.listen(1)
            quiet = time.monotonic() - max(self._pollers.failed, default=begun)
        last = max(self._pollers.failed, default=begun) - begun
        say(
            f"restart: the last failed poll {last:.1f} s after it; {self._node.seconds():.1f} CPU s"
        )
        self.revoke()

    def _without_list(self, version: int) -> int:
        return self._estate.hosts - sum(
            had >= version for had, _when in self._pollers.lists.values()
        )

    def _change(self, number: int) -> Change:
        """One in ten is of an organization, the others of one project."""
        project = self._random.randrange(self._estate.projects)
        organization = self._estate.organization_of(project)
        with writing(self._node.engine) as connection:
            directory.lock(connection)
            if number % 10 == 0:
                first = organization * self._estate.hosts_of_one
                hosts = range(first, min(first + self._estate.hosts_of_one, self._estate.hosts))
                self._require(connection, organization, number)
            else:
                hosts = range(self._estate.host_of(project), self._estate.host_of(project) + 1)
                self._give_role(connection, organization, project)
            version = directory.bump(connection, int(time.time()))
        return Change(version, time.monotonic(), hosts)

    def _require(self, connection: Connection, organization: int, number: int) -> None:
        asked = Requirement(("mfa",), max_age=300 + 60 * number)
        directory.put_requirement(connection, names.organization_id(organization), asked)

    def _give_role(self, connection: Connection, organization: int, project: int) -> None:
        """To somebody who has none there; from whoever has it already, it is taken."""
        access = tables.project_access
        row = {
            "project_id": names.project_id(project),
            "user_id": names.user_id(organization, 1),
            "scope": "production",
        }
        there = delete(access).where(*(access.c[name] == value for name, value in row.items()))
        if not connection.execute(there).rowcount:
            connection.execute(insert(access).values(role="contributor", **row))

    def _missing(self, made: list[Change]) -> int:
        missing = 0
        for change in made:
            sent = [
                next(
                    (when for had, when in self._pollers.policies[host] if had >= change.version), 0
                )
                for host in change.hosts
            ]
            missing += sent.count(0)
            change.obeyed = [when - change.at for when in sent if when]
        return missing

    def _report(self, made: list[Change], cpu: float, playing: float, took: float) -> None:
        if not made:
            return
        missing = self._missing(made)
        obeyed = sorted(late for change in made for late in change.obeyed)
        worst = sorted(max(change.obeyed) for change in made if change.obeyed)
        say(
            f"changes: {len(made)} in {took:.0f} s; {len(obeyed)} hosts concerned, {missing} missed"
        )
        say(f"  to each host: {spread(obeyed)}; to the last of a change: {spread(worst)}")
        say(f"  {100 * cpu / took:.0f} % of a core, {1000 * cpu / len(made):.0f} CPU ms a change;")
        say(f"  players: {100 * playing / took:.0f} % of a core")


def spread(values: list[float]) -> str:
    """p50, p99 and worst, in seconds."""
    if len(values) < 2:
        return f"{values}"
    p99 = statistics.quantiles(values, n=100)[ONE_OF_A_HUNDRED]
    return f"p50 {statistics.median(values):.3f} p99 {p99:.3f} worst {max(values):.3f} s"


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 -- figures for a person


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fleet.scale")
    parser.add_argument("--hosts", type=int, default=20_000)
    parser.add_argument("--services", type=int, default=1_000_000)
    parser.add_argument("--changes", type=int, default=500)
    parser.add_argument("--per-hour", type=int, default=PER_HOUR)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ramp", type=float, default=60)
    chosen = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was seen is said
    estate = Estate(chosen.hosts, chosen.services)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="amrgate-scale-")))
        begun = time.monotonic()
        node = Node(folder, estate, chosen.workers)
        stack.callback(node.stop)
        say(f"filled: {chosen.services} services, {time.monotonic() - begun:.0f} s; load {load()}")
        pollers = stack.enter_context(Pollers(node, estate, CLIENTS, chosen.ramp))
        drill = Drill(estate, node, pollers)
        drill.settle()
        drill.idle(IDLE)
        drill.changes(chosen.changes, chosen.per_hour)
        drill.revoke()
        drill.restart()
        say(f"polls that failed: {dict(pollers.why)}; load {load()}")


def load() -> str:
    """How busy the machine was in the last one, five and fifteen minutes."""
    return " ".join(f"{one:.1f}" for one in os.getloadavg())


if __name__ == "__main__":
    main()
