"""A real sshd with the hook, when very many come at once, and somebody who only asks.

Figure F7 is about the times; that nobody is answered wrongly meanwhile is attack 58. Figure F8 is
how long an administrator waits while somebody with a public certificate, and no key, makes sshd run
the hook as often as it can (attack 60).
"""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from machine.clients import SERVICE, Step, probe
from machine.people import PASSWORD_ONLY
from machine.sshd import restart_sshd
from sshd_hook.wire import b64
from tests.drills.drill import Drill, Finding
from tests.hosts import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.host import Host
    from tests.drills.nodes import Stage

MANY = """
mkdir -p ~/many; cd ~/many
for i in $(seq {count}); do
    ( begin=$(date +%s%N); ssh {service}@ssh.acme.example echo in >$i.out 2>$i.err
      echo $? $(( ($(date +%s%N) - begin) / 1000000 )) >$i.end ) &
done
wait
for i in $(seq {count}); do echo $(cat $i.end) $(wc -l <$i.err) $(cat $i.out); done
"""
TICKS = 100  # a second, in /proc/*/stat
PATIENCE = 2.0  # seconds an administrator waits for his login, at the best


def logins(stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """So many at the same moment, half of whom lack a factor."""
    host, each = stage.host, count // 2
    host.require("mfa")
    host.certify("alice")
    host.certify("carol", PASSWORD_ONLY)
    restart_sshd(host.machine, f"MaxStartups={2 * count}")
    script = ("sh", "-c", MANY.format(count=each, service=SERVICE))

    def run(person: str) -> list[list[str]]:
        out = host.machine.run(*script, user=person, seconds=300).out
        return [line.split() for line in out.splitlines()]

    with ThreadPoolExecutor() as pool:
        allowed, refused = pool.map(run, ("alice", "carol"))
    restart_sshd(host.machine)
    # One that ended this moment is gone the next.
    wait_for(lambda: not host.machine.check("sh", "-c", "ps -eo stat,args | grep ^Z || true"))
    host.set_policy()
    tell(count)
    right = [(line[0], line[3:]) == ("0", ["in"]) for line in allowed]
    right += [(line[0], line[3:]) == ("255", []) for line in refused]
    times = sorted(int(line[1]) for line in allowed)
    figures = {
        "p50": f"{statistics.median(times)} ms",
        "p99": f"{times[int(len(times) * 0.99)]} ms",
    }
    missing = "" if len(right) == 2 * each else f"{2 * each - len(right)} have no answer"
    return Finding(len(right), right.count(False), figures, missing)


def flood(connections: int) -> Callable[[Stage, int, Callable[[int], None]], Finding]:
    """So many queries on each of these connections, with the limit that operators are advised."""

    def run(stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
        host = stage.host
        queries: list[Step] = [("query", SERVICE, b64(host.certify("bob")), count)]
        restart_sshd(host.machine, "PerSourceMaxStartups=5")
        times: list[float] = []
        spent, begun = -_of_children(host), time.monotonic()
        with ThreadPoolExecutor() as pool:
            asking = pool.submit(probe, host.machine, *[queries] * connections)
            while not asking.done():
                times.append(host.admin_login())
            seen = asking.result()
        took = time.monotonic() - begun
        spent += _of_children(host)
        restart_sshd(host.machine)
        answers = [answer for one in seen for answer in one["answers"]]
        tell(count)
        # The best of them is free of what else the machine does; shut out, none gets in.
        missed = "" if min(times) < PATIENCE else f"the administrator waited {min(times):.1f} s"
        figures = {
            "answered": f"{answers.count('sign')}, {answers.count('sign') / took:.0f} a second",
            "processor time of sshd's children": f"{spent:.1f} s",
            "administrator's logins meanwhile": str(len(times)),
            "the longest of them": f"{max(times):.1f} s",
        }
        return Finding(answers.count("sign"), answers.count("in"), figures, missed)

    return run


def _of_children(host: Host) -> float:
    """Seconds of processor time of all that sshd started and that has ended."""
    stat = host.machine.check("sh", "-c", "cat /proc/$(cat /run/sshd.pid)/stat")
    fields = stat.rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / TICKS


DRILLS = (
    Drill("logins", "F7", "0 wrong of 200 at once", 200, 40, logins, attack=58),
    Drill("flood", "F8", "0 in; < 2 s", 1000, 60, flood(1), attack=60),
    Drill("flood-many", "F8", "0 in; < 2 s", 1000, 10, flood(100), attack=60),
)
