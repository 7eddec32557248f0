"""Whom a change concerns: at least everybody whose bundle is another one after it."""

from __future__ import annotations

import random
import re
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, event, insert, select, text, update

from ca.hosts.changes import Changes
from ca.store import directory, tables
from ca.store.engine import reading, writing
from tests.changing import HOSTS, contents, follow
from tests.fleet import estate

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine, Table

STEPS = 120
NOTED = {
    *("hosts", "services", "environments", "projects", "project_access", "organizations"),
    *("requirements", "sso_providers", "service_users", "users"),
}


class Hand:
    """Changes something at random, straight in the database."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._made = 0

    def change(self, connection: Connection) -> None:
        self._random.choice(self._ways())(connection)

    def _ways(self) -> list[Callable[[Connection], None]]:
        return [
            *([self._require, self._give, self._take, self._set_role] * 2),
            *(self._make_service, self._move_service, self._forward, self._drop_service),
            *(self._set_environment, self._drop_environment, self._move_project),
            *(self._set_offline, self._disable, self._exempt, self._provide, self._report),
        ]

    def _row(self, connection: Connection, table: Table) -> Any:
        """Some row of a table, or None."""
        order = list(table.primary_key)
        rows = connection.execute(select(table).order_by(*order)).all()
        return self._random.choice(rows) if rows else None

    def _where(self, table: Table, row: Any) -> list[Any]:
        return [column == getattr(row, column.name) for column in table.primary_key]

    def _set(self, connection: Connection, table: Table, **values: Any) -> None:
        row = self._row(connection, table)
        if row is not None:
            connection.execute(update(table).where(*self._where(table, row)).values(**values))

    def _drop(self, connection: Connection, table: Table) -> None:
        row = self._row(connection, table)
        if row is not None:
            connection.execute(delete(table).where(*self._where(table, row)))

    def _require(self, connection: Connection) -> None:
        table, column = self._random.choice(
            [(tables.organizations, "id"), (tables.projects, "id"), (tables.services, "name")]
        )
        subject = getattr(self._row(connection, table), column)
        amr = self._random.choice([(), ("mfa",)])
        asked = directory.Requirement(amr, self._random.randrange(300, 9000, 60) if amr else None)
        directory.put_requirement(connection, subject, asked)

    def _give(self, connection: Connection) -> None:
        project = self._row(connection, tables.projects).id
        user = self._row(connection, tables.users).id
        there = tables.project_access.c
        if not connection.execute(
            select(there.role).where(there.project_id == project, there.user_id == user)
        ).first():
            row = {"project_id": project, "user_id": user, "scope": "project", "role": "viewer"}
            connection.execute(insert(tables.project_access).values(**row))

    def _take(self, connection: Connection) -> None:
        self._drop(connection, tables.project_access)

    def _set_role(self, connection: Connection) -> None:
        role = self._random.choice(["viewer", "contributor", "admin"])
        self._set(connection, tables.project_access, role=role)

    def _make_service(self, connection: Connection) -> None:
        self._made += 1
        project = self._row(connection, tables.projects).id
        connection.execute(
            insert(tables.services).values(
                name=f"{project}-main--new{self._made}",
                project_id=project,
                environment="main",
                host=self._random.choice(HOSTS),
                forwards=[],
            )
        )

    def _move_service(self, connection: Connection) -> None:
        self._set(connection, tables.services, host=self._random.choice(HOSTS))

    def _forward(self, connection: Connection) -> None:
        self._set(connection, tables.services, forwards=[f"a:{self._random.randrange(1, 999)}"])

    def _drop_service(self, connection: Connection) -> None:
        self._drop(connection, tables.services)

    def _set_environment(self, connection: Connection) -> None:
        kind = self._random.choice(["production", "staging"])
        active = self._random.random() < 0.5
        self._set(connection, tables.environments, type=kind, active=active)

    def _drop_environment(self, connection: Connection) -> None:
        row = self._row(connection, tables.environments)
        connection.execute(
            delete(tables.environments).where(*self._where(tables.environments, row))
        )
        if self._random.random() < 0.7:  # and back again, by another step's transaction or this one
            connection.execute(insert(tables.environments).values(**row._mapping))

    def _move_project(self, connection: Connection) -> None:
        owner = self._row(connection, tables.organizations).id
        self._set(connection, tables.projects, organization_id=owner)

    def _set_offline(self, connection: Connection) -> None:
        seconds = self._random.randrange(300, 86400)
        self._set(connection, tables.organizations, max_offline=seconds)

    def _disable(self, connection: Connection) -> None:
        since = self._random.choice([None, 1])
        self._set(connection, tables.users, disabled_at=since)

    def _exempt(self, connection: Connection) -> None:
        user = self._row(connection, tables.project_access)
        if user is None:
            return
        project = connection.execute(
            select(tables.projects).where(tables.projects.c.id == user.project_id)
        ).one()
        mine = tables.service_users
        connection.execute(delete(mine).where(mine.c.user_id == user.user_id))
        if self._random.random() < 0.7:
            row = {"user_id": user.user_id, "organization_id": project.organization_id}
            connection.execute(insert(mine).values(exempt=self._random.random() < 0.8, **row))

    def _provide(self, connection: Connection) -> None:
        self._made += 1
        if self._random.random() < 0.5:
            owner = self._row(connection, tables.organizations).id
            row = {"slug": f"s{self._made}", "organization_id": owner}
            connection.execute(insert(tables.sso_providers).values(**row))
        else:
            self._set(connection, tables.sso_providers, retired_at=self._made)

    def _report(self, connection: Connection) -> None:
        row = self._row(connection, tables.hosts)
        changed = update(tables.hosts).where(tables.hosts.c.id == row.id)
        connection.execute(changed.values(report_only=not row.report_only))


# What takes much away: once each, so that something is left to be changed.
ENDS: dict[str, Callable[[Connection], None]] = {
    "a user": lambda tx: _end(tx, tables.users, estate.user_id(0, 0)),
    "a project": lambda tx: _end(tx, tables.projects, estate.project_id(3)),
    "an organization": lambda tx: _end(tx, tables.organizations, estate.organization_id(1)),
    "a host": lambda tx: _end(tx, tables.hosts, estate.host_id(9)),
}


def _end(connection: Connection, table: Table, key: str) -> None:
    connection.execute(delete(table).where(table.c.id == key))


def test_whoever_is_told_something_else_is_woken(filled: Engine) -> None:
    hand, followed = Hand(5), Changes()
    before, moment = contents(filled), follow(filled, followed)
    told = woken = 0
    half = [hand.change] * (STEPS // 2)
    steps = [*half, *ENDS.values(), *half]
    for number, step in enumerate(steps):
        with writing(filled) as connection:
            directory.lock(connection)
            if number % 7 == 0:  # a transaction may say first that it changes something
                directory.bump(connection, int(time.time()))
            step(connection)
            if number % 3 == 0:
                hand.change(connection)
            if number % 7:
                directory.bump(connection, int(time.time()))
        if number % 5 == 0:
            continue  # two transactions seen at once
        with writing(filled) as connection:  # of something else
            directory.bump(connection, int(time.time()))
        now = follow(filled, followed)
        after = contents(filled)
        changed = {name for name in HOSTS if after[name] != before[name]}
        concerned = {name for name in HOSTS if followed.since(name, moment)}
        assert changed <= concerned, step
        told, woken = told + len(changed), woken + len(concerned)
        before, moment = after, now

    assert told > STEPS / 2, "what is drawn seldom changes anything"
    assert woken < len(HOSTS) * STEPS / 2, "nearly everybody is woken by everything"


@pytest.mark.parametrize("what", ENDS)
def test_what_ends_is_heard_of(filled: Engine, what: str) -> None:
    followed = Changes()
    before, moment = contents(filled), follow(filled, followed)
    with writing(filled) as connection:
        directory.lock(connection)
        ENDS[what](connection)
        directory.bump(connection, int(time.time()))
    follow(filled, followed)
    after = contents(filled)

    changed = {name for name in HOSTS if after[name] != before[name]}
    assert changed
    assert changed == {name for name in HOSTS if followed.since(name, moment)}


def test_all_that_a_bundle_is_made_from_is_watched(filled: Engine) -> None:
    """Also a table that is new: nobody can forget to say that it changed."""
    read: set[str] = set()

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        read.update(re.findall(r"(?:FROM|JOIN) (\w+)", statement))

    event.listen(filled, "before_cursor_execute", note)
    with writing(filled) as connection:
        directory.put_requirement(connection, estate.organization_id(0), directory.Requirement())
    contents(filled)
    event.remove(filled, "before_cursor_execute", note)

    assert {name for name in read if name in tables.metadata.tables} == NOTED | {
        "directory_version"
    }
    expected = {
        f"note_{name}_{way}"
        for name in (*NOTED, "revoked_keys")
        for way in ("insert", "update", "delete")
    } | {"note_revocations_insert", "note_revocations_update"}
    assert _triggers(filled) == expected


def _triggers(engine: Engine) -> set[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    if engine.dialect.name == "postgresql":
        query = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
    with reading(engine) as connection:
        return set(connection.execute(text(query)).scalars())


def test_who_forgets_the_lock_is_not_overtaken(filled: Engine) -> None:
    """Else a version could be followed before a change that was noted at an older one."""
    followed = Changes()
    moment = follow(filled, followed)
    bumped = threading.Event()

    def bump() -> None:
        with writing(filled) as connection:
            directory.lock(connection)
            directory.bump(connection, int(time.time()))
        bumped.set()

    other = threading.Thread(target=bump)
    with writing(filled) as connection:
        asked = directory.Requirement(("mfa",))
        directory.put_requirement(connection, estate.project_id(0), asked)
        other.start()
        assert not bumped.wait(0.5)
    other.join()
    follow(filled, followed)

    assert followed.since(estate.host_name(0), moment)


def test_of_too_many_names_it_is_enough_that_it_was_everybody(
    filled: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ca.hosts.changes.MAX_KEPT", 3)
    followed = Changes()
    moment = follow(filled, followed)
    with writing(filled) as connection:
        directory.lock(connection)
        for number in range(4):
            subject = estate.project_id(number)
            directory.put_requirement(connection, subject, directory.Requirement(("mfa",)))
        directory.bump(connection, int(time.time()))
    later = follow(filled, followed)

    assert all(followed.since(name, moment) for name in HOSTS)
    assert not any(followed.since(name, later) for name in HOSTS)
