"""Letting a host only report who lacks what is asked for, or hold it against them again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ca.directory.apply import execute
from ca.directory.apply.diff import Change
from ca.errors import NotFound
from ca.store import directory, hosts
from ca.store.engine import writing
from ca.store.items import Item, Items

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from ca.store.items import Attributes


def set_report_only(engine: Engine, name: str, actor: str, *, report_only: bool) -> list[Change]:
    """Let the host `name` only report, or not; return what changed, for `loosened.announce`.

    Raises:
        NotFound: there is none of this name.
    """
    with writing(engine) as connection:
        directory.lock(connection)
        host = hosts.find_host(connection, name)
        if host is None:
            raise NotFound(f"There is no host {name!a}.")
        if host.report_only == report_only:
            return []
        before: Attributes = {"report_only": host.report_only}
        after: Attributes = {"report_only": report_only}
        changes = [Change(Item("host", (name,)), before, after)]
        execute.carry_out(connection, Items(connection), changes, actor)
    return changes
