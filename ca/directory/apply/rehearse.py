"""What applying a file would do, and whom it would meet: done, looked at, and undone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ca.directory.apply import execute
from ca.directory.consequences import Lost, count_certificates, lost, standing
from ca.directory.doors import doors
from ca.store import projects, served
from ca.store.engine import reading, rehearsing
from sshd_hook import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sqlalchemy import Connection, Engine

    from ca.directory.apply.diff import Change
    from ca.directory.apply.document import Document
    from ca.directory.apply.plan import Plan

    LockedOut = set[tuple[str, str]]
    """By host and user name: who has a role for services there, but lacks what they would need."""


@dataclass(frozen=True)
class Rehearsal:
    """What there is to do, and what it takes away from people and of what is live now."""

    plan: Plan
    lost: Lost
    certificates: int
    locked_out: LockedOut

    @property
    def takes_away(self) -> bool:
        """Whether anything goes, or anybody loses a way in or what they have open."""
        gone = self.lost
        removed = any(change.after is None for change in self.plan.changes)
        people = gone.unable or gone.programs or self.locked_out
        return removed or bool(people or gone.sessions or gone.connections)


def rehearse(engine: Engine, document: Document) -> Rehearsal:
    """See what `execute.apply` would do now.

    Raises:
        InvalidFile, Conflict: it would do nothing, for that reason.
    """
    now = int(time.time())
    with rehearsing(engine) as connection:
        what = execute.planned(connection, document)
        concerned = sorted(_concerned(connection, what.changes))
        gone, locked_out = meet(
            connection,
            concerned,
            lambda: execute.make_so(connection, document, what, "rehearsal"),
            now,
        )
    with reading(engine) as connection:
        certificates = count_certificates(connection, gone.sessions.values(), now)
    return Rehearsal(what, gone, certificates, locked_out)


def meet(
    connection: Connection, names: Iterable[str], change: Callable[[], object], now: int
) -> tuple[Lost, LockedOut]:
    """Make a change, and say whom it meets in the organizations of these names."""
    every = tuple(names)
    before, opened = standing(connection, every, now), doors(connection, every)
    change()
    gone = lost(before, standing(connection, every, now))
    return gone, opened.open & doors(connection, every).shut


def _concerned(connection: Connection, changes: Iterable[Change]) -> set[str]:
    """The names of the organizations whose people or services a change could meet."""
    found: set[str] = set()
    places: set[str] = set()
    for change in changes:
        kind, key = change.item
        for side in (change.before, change.after):
            if side and "organization_id" in side:
                found.add(str(side["organization_id"]))
        if kind in ("organization", "member"):
            found.add(key[0])
        elif kind == "host":
            found |= {one.name for one in served.organizations_on(connection, key[0])}
        elif kind == "requirement" and key[0] == "organization":
            found.add(key[1])
        else:
            places |= set(_projects_of(kind, key))
    owners = (projects.find_project(connection, place) for place in places)
    return found | {owner[1].name for owner in owners if owner is not None}


def _projects_of(kind: str, key: tuple[str, ...]) -> Iterator[str]:
    """The project of an environment, a role, a service or a requirement on one."""
    name = key[1] if kind == "requirement" else key[0]
    service = names.parse_service(name)
    if service is not None:
        yield service.project
    elif names.is_project(name):
        yield name
