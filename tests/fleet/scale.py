"""Keep many hosts in long poll on one node, change things, and see what it costs and how fast it is.

`python -m tests.fleet.scale [--hosts N] [--services N] [--changes N] [--folder F]`. Figures are one line each.
Every change is checked: each host that it concerns must be sent it, and no other host anything.
"""

from __future__ import annotations

import argparse
import random
import resource
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
from tests.fleet import estate as names
from tests.fleet.estate import Estate
from tests.fleet.node import Node, Pollers

if TYPE_CHECKING:
    from sqlalchemy import Connection

PER_HOUR = 10_000
IDLE = 60  # seconds
PATIENCE = 120  # seconds without anything new
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
        begun = last = time.monotonic()
        used, had = self._node.seconds(), 0
        while had < self._estate.hosts:
            self._pollers.listen(1)
            if len(self._pollers.policies) > had:
                had, last = len(self._pollers.policies), time.monotonic()
            assert time.monotonic() - last < PATIENCE, "no more hosts come"
        cpu = self._node.seconds() - used
        hosts = self._estate.hosts
        say(f"join: {hosts} hosts have their first policy after {time.monotonic() - begun:.0f} s,")
        say(f"  {cpu:.0f} CPU s, {1000 * cpu / hosts:.2f} ms a host; {self._node.memory()} MiB")

    def idle(self, seconds: float) -> None:
        """See what it costs when nothing changes."""
        self._pollers.listen(seconds / 2)
        used = self._node.seconds()
        self._pollers.listen(seconds)
        cpu = (self._node.seconds() - used) / seconds
        say(f"idle: {100 * cpu:.0f} % of a core, {self._node.memory()} MiB")

    def changes(self, count: int, per_hour: int) -> int:
        """Change things at an even pace; how many hosts were not sent a change that concerns them.

        None waits for the one before.
        """
        used, begun = self._node.seconds(), time.monotonic()
        made = []
        for number in range(count):
            due = begun + number * 3600 / per_hour
            self._pollers.listen(max(0.0, due - time.monotonic()))
            made.append(self._change(number))
        self._pollers.listen(5)
        waited = 5
        while self._missing(made) and waited < PATIENCE:
            self._pollers.listen(1)
            waited += 1
        took = time.monotonic() - begun
        self._report(made, self._node.seconds() - used, took)
        return self._missing(made)

    def revoke(self) -> int:
        """Revoke a key, which every host must hear of; how many do not."""
        used, at = self._node.seconds(), time.monotonic()
        fingerprint = f"SHA256:{self._random.randbytes(32).hex()[:42]}A"
        now = int(time.time())
        revocation.revoke_key(self._node.engine, fingerprint, (), "operator", "lost", now=now)
        with reading(self._node.engine) as connection:
            version = revocations.version(connection)
        while self._without_list(version) and time.monotonic() - at < PATIENCE:
            self._pollers.listen(0.5)
        late = sorted(when - at for had, when in self._pollers.lists.values() if had >= version)
        left = self._without_list(version)
        cpu = self._node.seconds() - used
        say(f"revoked key: {len(late)} hosts, {left} without; {spread(late)}; {cpu:.1f} CPU s")
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

    def _report(self, made: list[Change], cpu: float, took: float) -> None:
        missing = self._missing(made)
        obeyed = sorted(late for change in made for late in change.obeyed)
        worst = sorted(max(change.obeyed) for change in made if change.obeyed)
        say(
            f"changes: {len(made)} in {took:.0f} s; {len(obeyed)} hosts concerned, {missing} missed"
        )
        say(f"  to each host: {spread(obeyed)}; to the last of a change: {spread(worst)}")
        say(f"  {100 * cpu / took:.0f} % of a core, {1000 * cpu / len(made):.0f} CPU ms a change")


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
    estate = Estate(chosen.hosts, chosen.services)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="amrgate-scale-")))
        node = Node(folder, estate, chosen.workers)
        stack.callback(node.stop)
        pollers = stack.enter_context(Pollers(node, estate, CLIENTS, chosen.ramp))
        drill = Drill(estate, node, pollers)
        drill.settle()
        drill.idle(IDLE)
        drill.changes(chosen.changes, chosen.per_hour)
        drill.revoke()
        drill.restart()


if __name__ == "__main__":
    main()
