"""Figure F7: what the hook and a login with it take when many come at once: tables, in minutes.

    .venv/bin/python -m benchmarks.latency

The yardstick of a run of the hook is a bare start of its interpreter, as many at once, on the same
host and in turn with it; that of a login is the same one at an sshd that reads a static file.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.hook import BARE, question, spawning
from benchmarks.login import HOOKED, STATIC, timed
from ca.hosts.bundle_writer import BundleContent
from sshd_hook.bundle import ServiceRecord
from sshd_hook.install import PYTHON
from sshd_hook.policy import CONTRIBUTOR, Requirement
from tests.certificates import ALICE, authority
from tests.hook_host import HookHost
from tests.questions import DAY, HOST, SERVICE

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

RUNS = 1600  # of each command, so that 99.9 % is the second longest
USERS = (100, 10_000, 100_000)
AT_ONCE = (1, 50, 200)
SERVICES = 20  # of the host; each user has a role on one of them
LOGINS = {1: 40, 50: 4, 200: 2}  # at once, and how often that
SECONDS = 400  # for all logins
# Each login's time from its start to its end, by the port; all of a turn start together.
TIMER = """
import json, os, sys, time
counts, names, ports = json.loads(sys.argv[1]), sys.argv[2].split(), sys.argv[3:]
def turn(port, count):
    begun = {}
    for number in range(count):
        there = names[number % len(names)] + "@ssh.acme.example"
        words = ["ssh", "-p", port, "-n", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR",
                 "-o", "UserKnownHostsFile=/dev/null", there, "true"]
        at = time.perf_counter()
        begun[os.posix_spawnp("ssh", words, os.environ)] = at
    taken, wrong = [], 0
    while begun:
        pid, status = os.wait()
        taken.append(1000 * (time.perf_counter() - begun.pop(pid)))
        wrong += status != 0
    return taken, wrong
seen = {}
for count, turns in counts.items():
    cells = seen[count] = {port: [[], 0] for port in ports}
    for _ in range(turns):
        ports.reverse()
        for port in ports:
            taken, wrong = turn(port, int(count))
            cells[port][0] += taken
            cells[port][1] += wrong
print(json.dumps(seen))
"""


@dataclass
class Runs:
    """What the runs of one command took: ms of each, the most kB, how many did not succeed."""

    times: list[float] = field(default_factory=list)
    memory: int = 0
    failed: int = 0

    def parts(self) -> str:
        """The middle, 99 % and 99.9 % of the times."""
        ordered = sorted(self.times)
        return " ".join(f"{ordered[int(len(ordered) * part)]:9.1f}" for part in (0.5, 0.99, 0.999))

    def slow(self) -> float:
        """What 99 % take at most."""
        return sorted(self.times)[int(len(self.times) * 0.99)]


def main() -> int:
    """Print both tables. 1 if any run or login did not succeed."""
    began = time.monotonic()
    print(
        f"load before {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors, {RUNS} runs each, ms"
    )
    print(
        f"{'users':>7} {'at once':>7} | {'hook: p50, p99, p99.9':^29} | "
        f"{'bare: p50, p99, p99.9':^29} | {'p99/bare':>8} | {'kB':>6} | {'bare':>6} | failed"
    )
    failed = sum(_hook(users) for users in USERS)
    print(
        f"{'logins':>7} {'at once':>7} | {'with the hook':^29} | {'with a static file':^29} | "
        f"p50 more, p99 more | failed"
    )
    failed += _logins()
    print(f"load after {os.getloadavg()[0]:.1f}, {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


def _hook(users: int) -> int:
    """Measure the hook on a host with so many users; return how many runs failed."""
    failed = 0
    host = HookHost(PYTHON)
    host.set_policy(_content(users))
    with ExitStack() as stack:
        spawners: list[subprocess.Popen[str]] = []
        for at_once in AT_ONCE:
            # Each is a process of its own, as each sshd is: the verdicts are told apart by it.
            more = range(at_once - len(spawners))
            spawners += [stack.enter_context(spawning(host)) for _ in more]
            hook, bare = Runs(), Runs()
            ask = question()
            for _ in range(RUNS // at_once):
                _together(spawners, BARE, bare)
                _together(spawners, ask, hook)
            ratio = hook.slow() / bare.slow()
            print(
                f"{users:7} {at_once:7} | {hook.parts()} | {bare.parts()} | {ratio:8.2f} |"
                f" {hook.memory:6} | {bare.memory:6} | {hook.failed}",
                flush=True,
            )
            failed += hook.failed + bare.failed
    host.stop()
    return failed


def _together(
    spawners: Sequence[subprocess.Popen[str]], command: Sequence[str], runs: Runs
) -> None:
    """Let all of them run a command at the same moment."""
    for spawner in spawners:
        assert spawner.stdin is not None
        spawner.stdin.write(json.dumps(command) + "\n")
        spawner.stdin.flush()
    for spawner in spawners:
        assert spawner.stdout is not None
        milliseconds, memory, status = spawner.stdout.readline().split()
        runs.times.append(float(milliseconds))
        runs.memory = max(runs.memory, int(memory))
        runs.failed += status != "0"


def _content(users: int) -> BundleContent:
    """A host of some services, and so many people, each with a role on one of them."""
    requirement = Requirement(frozenset({"mfa"}), 3600)
    names = [SERVICE, *(f"bench{n:08d}-main-bvxea6i--app" for n in range(1, SERVICES))]
    people = [ALICE, *(f"00000000-0000-4000-8000-{n:012x}" for n in range(1, users))]
    return BundleContent(
        host_id=HOST,
        version=1,
        authorities=(authority().public_key,),
        services=[
            ServiceRecord(name, requirement, max_offline=DAY, access_list=number)
            for number, name in enumerate(names)
        ],
        access_lists=[
            dict.fromkeys(people[number::SERVICES], (CONTRIBUTOR, False))
            for number in range(SERVICES)
        ],
    )


def _logins() -> int:
    """Measure logins at two real sshds in turn; return how many failed."""
    failed = 0
    for at_once, cells in timed(TIMER, json.dumps(LOGINS), SECONDS).items():
        hooked, static = (Runs(cells[str(port)][0]) for port in (HOOKED, STATIC))
        wrong = sum(cells[str(port)][1] for port in (HOOKED, STATIC))
        middle = statistics.median(hooked.times) - statistics.median(static.times)
        print(
            f"{len(hooked.times):7} {at_once:>7} | {hooked.parts()} | {static.parts()} |"
            f" {middle:8.1f}, {hooked.slow() - static.slow():8.1f} | {wrong}"
        )
        failed += wrong
    return failed


if __name__ == "__main__":
    sys.exit(main())
