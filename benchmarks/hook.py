"""What one run of the hook costs, over what the interpreter alone costs."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, Yardstick, spread
from sshd_hook import paths
from sshd_hook.bundle import BundleContent, ServiceRecord
from sshd_hook.install import PYTHON
from sshd_hook.policy import CONTRIBUTOR, Requirement
from tests.certificates import ALICE, authority, extensions, user_certificate
from tests.hook_host import HookHost
from tests.questions import DAY, HOST, SERVICE, arguments

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RUNS = 600
ROUNDS = 30  # in which each bundle takes its turn
FEW, MANY = 10, 1_000_000
LIST_MEMBERS = 5
SERVICES_IN_A_LIST = 4
SPAWN = Path(__file__).with_name("spawn.py")
BARE = (PYTHON, "-IS", "-c", "pass")


def measure() -> list[Figure]:
    """`hook_ratio` and `hook_flat_ratio`."""
    host = HookHost(PYTHON)
    try:
        host.set_policy(_content(FEW))
        bare, run = _times(host, BARE, _ask())
        few, many = _few_and_many(host)
    finally:
        host.stop()
    base = statistics.median(bare)
    return [
        Figure(
            "hook_ratio",
            round(statistics.median(run) / base, 3),
            "ratio",
            Yardstick("python3 -IS -c pass, ms", round(base, 3)),
            RUNS,
            round(spread([time / base for time in run]), 3),
        ),
        Figure(
            "hook_flat_ratio",
            round(statistics.median(many) / statistics.median(few), 3),
            "ratio",
            Yardstick(f"a bundle of {FEW} services, ms", round(statistics.median(few), 3)),
            RUNS,
            round(spread([time / statistics.median(few) for time in many]), 3),
        ),
    ]


def _few_and_many(host: HookHost) -> tuple[list[float], list[float]]:
    """Time runs over both bundles, in turn: each is moved in place before its runs."""
    host.set_policy(_content(MANY))
    host.path(paths.BUNDLE).rename(host.path(f"{paths.POLICY}/many"))
    host.set_policy(_content(FEW))
    host.path(paths.BUNDLE).rename(host.path(f"{paths.POLICY}/few"))
    times: dict[str, list[float]] = {"few": [], "many": []}
    for _ in range(ROUNDS):
        for name, taken in times.items():
            bundle = host.path(f"{paths.POLICY}/{name}")
            bundle.rename(host.path(paths.BUNDLE))
            taken.extend(_times(host, _ask(), runs=RUNS // ROUNDS)[0])
            host.path(paths.BUNDLE).rename(bundle)
    return times["few"], times["many"]


def _ask() -> list[str]:
    """A question that is answered by letting in: all checks, a verdict, the longest line."""
    now = int(time.time())
    certificate = user_certificate(
        valid_after=now - 60,
        valid_before=now + 3600,
        extensions=extensions(auth_time=str(now - 60)),
    )
    return [paths.PRINCIPALS, *arguments(certificate)]


def _times(host: HookHost, *commands: Sequence[str], runs: int = RUNS) -> list[list[float]]:
    """Milliseconds of each run of each command, in turn, each a child of one process."""
    words = (PYTHON, "-IS", "-c", SPAWN.read_text(), json.dumps([runs, commands]))
    ran = host.run(*words, seconds=600)
    assert ran.status == 0, ran
    answer: list[list[float]] = json.loads(ran.out)
    return answer


def _content(services: int) -> BundleContent:
    """A host of so many services, all of which ask for mfa, and their access lists."""
    requirement = Requirement(frozenset({"mfa"}), 3600)
    lists = max(1, services // SERVICES_IN_A_LIST)
    return BundleContent(
        host_id=HOST,
        version=1,
        authorities=(authority().public_key,),
        services=_records(services, lists, requirement),
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
