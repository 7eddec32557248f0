"""What a drill is, and what it found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.drills.nodes import Stage


@dataclass(frozen=True)
class Finding:
    """What came of `tried` attempts."""

    tried: int
    """Attempts that could have gone wrong. None at all is a drill that shows nothing."""

    events: int
    """Those of them that did what must not be."""

    figures: dict[str, str] = field(default_factory=dict)
    """What else was measured, each with its unit."""

    missed: str = ""
    """Which of these misses its target, in words."""

    @property
    def holds(self) -> bool:
        return self.tried > 0 and self.events == 0 and not self.missed

    def __str__(self) -> str:
        words = [f"{self.events} of {self.tried}"]
        if self.tried and not self.events:
            words[0] += f" (95 % bound {3 / self.tried:.1e})"
        if self.missed:
            words.append(self.missed)
        words += [f"{name} {value}" for name, value in self.figures.items()]
        return ", ".join(words)


@dataclass(frozen=True)
class Drill:
    """One figure of docs/reliability.md."""

    name: str
    figure: str
    """Its number in the list of figures, such as "F13"."""

    target: str
    usual: int
    """How many attempts are made where nobody says."""

    least: int
    """With how many the suite sees that it runs."""

    run: Callable[[Stage, int, Callable[[int], None]], Finding]
    """Makes about so many attempts, telling now and then how many it has made."""

    attack: int = 0
    """The case of the list of attacks that it is, if it is one."""
