"""Doing steps one after another, and saying how each went."""

from __future__ import annotations

import time
import traceback
from typing import TYPE_CHECKING

from machine.needs import MachineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.releases.office import Office


def go_through(steps: Iterable[tuple[str, Callable[[], None]]], office: Office) -> int:
    """Do the steps up to one that fails; return how many failed. After each the admin logs in."""
    for name, step in steps:
        begun = time.monotonic()
        try:
            step()
            admin = office.admin("echo", "in")
            assert admin.out == "in\n", admin
        except (AssertionError, MachineError) as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            print(f"  FAILED  {name}: {where.line}: {error}", flush=True)
            return 1
        print(f"  ok      {name}  ({time.monotonic() - begun:.1f} s)", flush=True)
    return 0
