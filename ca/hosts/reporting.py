"""Letting a host only report who lacks what is asked for, or hold it against them again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ca.directory.apply import execute
from ca.directory.apply.diff import Change
from ca.directory.apply.rehearse import meet
from ca.errors import NotFound
from ca.store import directory, hosts, served
from ca.store.engine import rehearsing, writing
from ca.store.items import Item, Items

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from ca.directory.apply.rehearse import LockedOut
    from ca.directory.consequences import Lost
    from ca.store.items import Attributes


def set_report_only(engine: Engine, name: str, actor: str, *, report_only: bool) -> list[Change]:
    """Let the host `name` only report, or not; return what changed, for `loosened.announce`.

    Raises:
        NotFound: there is none of this name.
    """
    with writing(engine) as connection:
        return _set(connection, name, actor, report_only=report_only)


def rehearse(engine: Engine, name: str, *, report_only: bool) -> tuple[Lost, LockedOut]:
    """Whom `set_report_only` would meet.

    Raises:
        NotFound: as it does.
    """
    with rehearsing(engine) as connection:
        served_there = [one.name for one in served.organizations_on(connection, name)]

        def change() -> None:
            _set(connection, name, "rehearsal", report_only=report_only)

        return meet(connection, served_there, change, int(time.time()))


def _set(connection: Connection, name: str, actor: str, *, report_only: bool) -> list[Change]:
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
