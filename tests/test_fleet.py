"""Many hosts on one node, and three real ones with a network, clocks and programs that fail.

The drills of `tests.fleet` with the least numbers; docs/scaling.md has what they measure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fleet.estate import Estate
from tests.fleet.faults import Faults, obey
from tests.fleet.node import Node, Pollers
from tests.fleet.scale import Drill
from tests.fleet.world import Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with Fleet() as three:
        yield three


def test_every_host_obeys_every_change(fleet: Fleet) -> None:
    assert obey(fleet, 6)


@pytest.mark.attack(53, 56)
@pytest.mark.parametrize("fault", ["agent killed", "cut off", "clock a day ahead"])
def test_a_fault_lets_nobody_in_and_heals(fleet: Fleet, fault: str) -> None:
    drill = Faults(fleet, lasts=4)  # longer than an agent needs to notice a clock

    drill.round(fault)

    assert drill.logins > 0
    assert drill.wrong == []


def test_each_host_is_sent_what_concerns_it(tmp_path: Path) -> None:
    estate = Estate(hosts=30, services=750, hosts_of_one=3)
    node = Node(tmp_path, estate, workers=2)
    try:
        with Pollers(node, estate, processes=1, ramp=1) as pollers:
            drill = Drill(estate, node, pollers)
            drill.settle()
            assert drill.changes(12, per_hour=36_000) == 0
            assert drill.revoke() == 0
            sent = sum(len(versions) for versions in pollers.policies.values())
            assert sent < 2 * estate.hosts, "hosts are sent what does not concern them"
            node.stop()
    finally:
        node.stop()
    assert "put down to nobody" not in node.log()
    assert "graceful shutdown exceeded" not in node.log(), "hosts that wait held it up"
