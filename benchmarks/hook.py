"""What one run of the hook costs, over what the interpreter alone costs."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, Yardstick, spread
from ca.hosts.bundle_writer import BundleContent
from sshd_hook import paths
from sshd_hook.bundle import ServiceRecord
from sshd_hook.install import PYTHON
from sshd_hook.policy import CONTRIBUTOR, Requirement
from tests.certificates import ALICE, authority, extensions, user_certificate
from tests.hook_host import HOOK_ID, HookHost
from tests.questions import DAY, HOST, SERVICE, arguments

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RUNS = 600
FEW, MANY = 10, 1_000_000
LIST_MEMBERS = 5
SERVICES_IN_A_LIST = 4
SPAWN = Path(__file__).with_name("spawn.py")
BARE = (PYTHON, "-IS", "-c", "pass")


def measure() -> list[Figure]:
    """`hook_ratio` and `hook_flat_ratio`."""
    with ExitStack() as stack:
        few, many = (stack.enter_context(_spawner(services)) for services in (FEW, MANY))
        ask = question()
        bare, run = _in_turn((few, BARE), (few, ask))
        with_few, with_many = _in_turn((few, ask), (many, ask))
    return [
        _ratio("hook_ratio", run, bare, "python3 -IS -c pass, ms"),
        _ratio("hook_flat_ratio", with_many, with_few, f"a bundle of {FEW} services, ms"),
    ]


def _ratio(name: str, times: list[float], base: list[float], yardstick: str) -> Figure:
    middle = statistics.median(base)
    return Figure(
        name,
        round(statistics.median(times) / middle, 3),
        "ratio",
        Yardstick(yardstick, round(middle, 3)),
        RUNS,
        round(spread([time / middle for time in times]), 3),
    )


@contextmanager
def _spawner(services: int) -> Iterator[subprocess.Popen[str]]:
    """A process on a host of so many services that runs commands as sshd's command user."""
    host = HookHost(PYTHON)
    host.set_policy(_content(services))
    with spawning(host) as spawner:
        yield spawner
    host.stop()


@contextmanager
def spawning(host: HookHost) -> Iterator[subprocess.Popen[str]]:
    """A process on this host that runs commands as sshd's command user, and is the hook's sshd."""
    words = host.command([PYTHON, "-IS", "-c", SPAWN.read_text()], HOOK_ID)
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as spawner:
        yield spawner
        spawner.communicate()


def _in_turn(*runs: tuple[subprocess.Popen[str], Sequence[str]]) -> list[list[float]]:
    """Milliseconds of each of `RUNS` runs of each command, one after the other in turn."""
    times: list[list[float]] = [[] for _ in runs]
    for round_ in range(RUNS + 1):
        for (spawner, command), taken in zip(runs, times, strict=True):
            milliseconds = _took(spawner, command)
            if round_:
                taken.append(milliseconds)
    return times


def _took(spawner: subprocess.Popen[str], command: Sequence[str]) -> float:
    assert spawner.stdin is not None
    assert spawner.stdout is not None
    spawner.stdin.write(json.dumps(command) + "\n")
    spawner.stdin.flush()
    milliseconds, _memory, status = spawner.stdout.readline().split()
    assert status == "0", command[0]
    return float(milliseconds)


def question() -> list[str]:
    """A question that is answered by letting in: all checks, a verdict, the longest line."""
    now = int(time.time())
    certificate = user_certificate(
        valid_after=now - 60,
        valid_before=now + 3600,
        extensions=extensions(auth_time=str(now - 60)),
    )
    return [paths.PRINCIPALS, *arguments(certificate)]


def _content(services: int) -> BundleContent:
    """A host of so many services, all of which ask for mfa, and their access lists."""
    requirement = Requirement(frozenset({"mfa"}), 3600)
    lists = max(1, services // SERVICES_IN_A_LIST)
    return BundleContent(
        host_id=HOST,
        version=1,
        authorities=(authority().public_key,),
        services=list(_records(services, lists, requirement)),
        access_lists=[_members(number) for number in range(lists)],
    )


def _records(count: int, lists: int, requirement: Requirement) -> Iterator[ServiceRecord]:
    names = [SERVICE, *(f"bench{n:08d}-main-bvxea6i--app" for n in range(1, count))]
    for number, name in enumerate(names):
        yield ServiceRecord(
            name,
            requirement,
            max_offline=DAY,
            access_list=number % lists,
            forwards=("127.0.0.1:9001",),
        )


def _members(number: int) -> dict[str, tuple[int, bool]]:
    others = [f"{number:08x}-0000-4000-8000-{n:012x}" for n in range(LIST_MEMBERS - 1)]
    return dict.fromkeys([ALICE, *others], (CONTRIBUTOR, False))


if __name__ == "__main__":
    print(*measure(), sep="\n")
