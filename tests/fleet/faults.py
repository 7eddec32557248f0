"""Change what is required while hosts obey, and while everything fails that can.

`python -m tests.fleet.faults obey|faults [N]`. Whatever fails, a login must be answered as a policy
says that the host had during it, which is never older than what it had before, and everything must
come to rest at the newest policy by itself.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.fleet.scale import say, spread
from tests.fleet.world import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fleet.world import Host

LOOK_EVERY = 0.004  # seconds
PATIENCE = 150  # seconds: a poll that nobody answers ends after one minute
LASTS = 6.0  # seconds, of a fault
DAY = 90_000  # seconds: of a clock that is wrong; more than a statement is good for
VALID = 3 * 86_400  # seconds before and after now: of certificates that no clock here outlives


@dataclass
class Faults:
    """What went wrong in a fleet, and how long it took to heal."""

    fleet: Fleet
    lasts: float = LASTS
    logins: int = 0
    allowed: int = 0
    wrong: list[str] = field(default_factory=list)
    healed: dict[str, list[float]] = field(default_factory=dict)
    required: dict[int, bool] = field(default_factory=dict)
    """Whether a version asks for `mfa`."""

    def __post_init__(self) -> None:
        self._random = random.Random(7)
        now = int(time.time())
        times = {"valid_after": now - VALID, "valid_before": now + VALID}
        for host in self.fleet.hosts:
            self.fleet.certify(host, "alice", "pwd", **times)
            self.fleet.certify(host, "bob", "mfa,otp,pwd", **times)
        self.change()
        self.heal("nothing")

    def change(self) -> int:
        """Require `mfa`, or nothing, by turns."""
        self._newest, _at = self.fleet.require(*(() if self.fleet.required else ("mfa",)))
        self.required[self._newest] = bool(self.fleet.required)
        return self._newest

    def look(self, moved: Host | None = None) -> None:
        """Let somebody log in somewhere, and see that the answer is right."""
        host = self._random.choice(self.fleet.hosts)
        person = self._random.choice(("alice", "bob"))
        before = host.obeys()
        admitted = host.admits(person)
        after = host.obeys()
        during = [asks for version, asks in self.required.items() if before <= version <= after]
        right = {False} if host is moved else {person == "bob" or not asks for asks in during}
        self.logins += 1
        self.allowed += admitted
        if after < before or admitted not in right:
            self.wrong.append(f"{person} at {host.name}: {admitted}, versions {before} to {after}")

    def heal(self, fault: str) -> None:
        """Wait until every host obeys the newest, and lets in whom it allows."""
        begun = time.monotonic()
        while any(host.obeys() != self._newest for host in self.fleet.hosts):
            if time.monotonic() - begun > PATIENCE:
                self.wrong.append(f"{fault}: not healed after {PATIENCE} s")
                break
            time.sleep(0.02)
        self.healed.setdefault(fault, []).append(time.monotonic() - begun)
        for host in self.fleet.hosts:
            if not host.admits("bob"):
                self.wrong.append(f"{fault}: {host.name} refuses after it has healed")

    def round(self, fault: str) -> None:
        """One fault, with changes and logins in the midst of it, and its end."""
        host = self._random.choice(self.fleet.hosts)
        begin, end = FAULTS[fault]
        moved = host if fault.startswith("clock") else None
        if fault.startswith("agent"):
            self.change()
            time.sleep(self._random.uniform(0, 0.4))  # at any step of putting it in place
        begin(self.fleet, host)
        self.change()
        until = time.monotonic() + self.lasts
        while time.monotonic() < until:
            self.look(moved)
        end(self.fleet, host)
        self.heal(fault)


def _cable(**faults: float) -> tuple[Callable[[Fleet, Host], None], Callable[[Fleet, Host], None]]:
    return (
        lambda fleet, host: fleet.wire.set(host.address, **faults),
        lambda fleet, host: fleet.wire.mend(host.address),
    )


def _clock(seconds: int) -> tuple[Callable[[Fleet, Host], None], Callable[[Fleet, Host], None]]:
    return (
        lambda _fleet, host: host.move_clock(seconds),
        lambda _fleet, host: host.move_clock(0),
    )


FAULTS: dict[str, tuple[Callable[[Fleet, Host], None], Callable[[Fleet, Host], None]]] = {
    "agent killed": (
        lambda _fleet, host: host.kill_agent(),
        lambda _fleet, host: host.start_agent(),
    ),
    "CA killed": (
        lambda fleet, _host: fleet.kill_service(),
        lambda fleet, _host: fleet.start_service(),
    ),
    "cut off": _cable(out=0, into=0),
    "cut off outwards": _cable(out=0),
    "cut off inwards": _cable(into=0),
    "2 s late": _cable(delay=2),
    "30 % lost": _cable(loss=0.3),
    "4 kB a second": _cable(rate=4000),
    "clock a day ahead": _clock(DAY),
    "clock a day behind": _clock(-DAY),
}


def obey(fleet: Fleet, count: int) -> bool:
    """Change something `count` times; how long until it is obeyed at every host (F12)."""
    fleet.require()  # so that the first change is one
    late, last = [], []
    for number in range(count):
        time.sleep((0.11, 0.43, 0.23, 0.61, 0.31)[number % 5])  # at any point of their rhythms
        version, at = fleet.require(*(() if number % 2 else ("mfa",)))
        waiting = list(fleet.hosts)
        took = []
        while waiting and time.monotonic() - at < PATIENCE:
            for host in [one for one in waiting if one.obeys() >= version]:
                took.append(time.monotonic() - at)
                waiting.remove(host)
            time.sleep(LOOK_EVERY)
        late += took
        last.append(max(took, default=PATIENCE))
    say(f"F12: {count} changes at {len(fleet.hosts)} hosts, {3 * count - len(late)} not obeyed")
    say(f"  at each host: {spread(late)}; at the last of them: {spread(last)}")
    return len(late) == count * len(fleet.hosts)


def faults(fleet: Fleet, count: int) -> bool:
    """Each fault by turns, `count` in all."""
    drill = Faults(fleet)
    names = [*FAULTS]
    for number in range(count):
        drill.round(names[number % len(names)])
    refused = drill.logins - drill.allowed
    say(f"faults: {count}, {drill.logins} logins ({drill.allowed} in, {refused} refused),")
    say(f"  {len(drill.wrong)} wrong")
    for fault, seconds in drill.healed.items():
        worst = max(seconds)
        say(f"  {fault}: healed {len(seconds)} times, at the latest after {worst:.1f} s")
    for one in drill.wrong:
        say(f"  WRONG: {one}")
    return not drill.wrong


DRILLS = {"obey": obey, "faults": faults}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fleet.faults")
    parser.add_argument("name", choices=DRILLS)
    parser.add_argument("n", type=int, nargs="?", default=1000, help="how many changes, or faults")
    chosen = parser.parse_args()
    with Fleet() as fleet:
        held = DRILLS[chosen.name](fleet, chosen.n)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
