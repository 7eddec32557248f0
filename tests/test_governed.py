"""Whatever people do: each organization keeps somebody who can log in as it requires, and decide."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from ca.store.engine import open_engine
from tests.databases import new_sqlite
from tests.governing import NAMES, ORGANIZATIONS, ROLES, Governing

STEPS = st.integers(0, 8)
NAME = st.sampled_from(NAMES)


class Anything(RuleBasedStateMachine):
    """Everybody does anything to anybody."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp())
        self._engine = open_engine(new_sqlite(self._folder))
        self._governing = Governing(self._engine)

    @rule(
        step=STEPS,
        who=NAME,
        whom=NAME,
        where=st.sampled_from(ORGANIZATIONS),
        role=st.sampled_from(ROLES),
    )
    def take(self, step: int, who: str, whom: str, where: str, role: str) -> None:
        self._governing.take(step, who, whom, where, role)

    @invariant()
    def somebody_can_decide(self) -> None:
        assert self._governing.is_governed()

    def teardown(self) -> None:
        self._engine.dispose()
        shutil.rmtree(self._folder)


@pytest.mark.attack(146, 158)
def test_somebody_can_always_decide() -> None:
    run_state_machine_as_test(Anything, settings=settings(max_examples=20, stateful_step_count=40))
