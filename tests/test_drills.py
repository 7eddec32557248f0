"""Each drill runs, holds, and would not hold if what it tries had come to nothing."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.drills.__main__ import DRILLS
from tests.drills.drill import Drill, Finding
from tests.drills.nodes import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest.mark import ParameterSet

PAGE = Path(__file__).parent.parent / "docs" / "reliability.md"


def with_attack(drill: Drill) -> ParameterSet:
    return pytest.param(drill, marks=[pytest.mark.attack(drill.attack)] if drill.attack else [])


@pytest.fixture
def quick_hashes() -> None:
    """None here: the nodes hash passwords at their whole cost."""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(stack)


@pytest.mark.parametrize("drill", [with_attack(drill) for drill in DRILLS.values()], ids=DRILLS)
def test_a_drill_of_the_least_size_holds(stage: Stage, drill: Drill) -> None:
    told: list[int] = []

    found = drill.run(stage, drill.least, told.append)

    assert found.holds, found
    assert told, "it says how far it has come"


@pytest.mark.parametrize(
    "found", [Finding(0, 0), Finding(10, 1), Finding(10, 0, missed="too slow")], ids=str
)
def test_what_makes_a_drill_fail(found: Finding) -> None:
    assert not found.holds


def test_the_page_says_how_to_repeat_each_drill_and_names_no_other() -> None:
    named = re.findall(r"`make drills DRILL=([\w-]+)(?: N=\d+)?`", PAGE.read_text())
    assert set(named) == {*DRILLS}
