"""Queries about hosts: joining, what one of them serves, and what it said last."""

from __future__ import annotations

import json
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Connection,
    Select,
    String,
    Text,
    Update,
    bindparam,
    cast,
    delete,
    func,
    insert,
    select,
    update,
)

from ca.store import tables
from ca.store.directory import REQUIREMENT_COLUMNS, requirement_of
from ca.store.tables import hosts, join_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ca.store.directory import Requirement


AT_ONCE = 1000  # values in one statement: no database takes any number of them


@dataclass(frozen=True)
class Built:
    """A bundle that was made for a host, or none.

    `digest` is the SHA-256 of it in hex, `content` that of what it says (`Encoded.digest`).
    """

    version: int = 0
    digest: str = ""
    content: str = ""


@dataclass(frozen=True)
class Host:
    """A machine with sshd. `joined_at` is None until it has joined; `names` are its own.

    One that is `report_only` holds no requirement against anybody, but for the networks.
    """

    id: str
    name: str
    names: tuple[str, ...]
    joined_at: int | None = None
    seen_at: int | None = None
    acknowledged: tuple[int, str] = (0, "")
    """The version and digest of the bundle that it said it has put in place."""
    built: Built = Built()
    """The bundle that was made for it last."""
    report_only: bool = False


_COLUMNS = (
    hosts.c.id,
    hosts.c.name,
    hosts.c.names,
    hosts.c.joined_at,
    hosts.c.seen_at,
    hosts.c.acknowledged_version,
    hosts.c.acknowledged_digest,
    hosts.c.built_version,
    hosts.c.built_digest,
    hosts.c.built_content,
    hosts.c.report_only,
)


VERSIONS: Select[Any] = select(
    select(tables.directory_version.c.version).scalar_subquery().label("directory"),
    select(tables.revocation_list.c.version).scalar_subquery().label("revocations"),
)
"""Those of all that hosts obey."""

STANDING: Select[Any] = VERSIONS.add_columns(*_COLUMNS).where(
    hosts.c.token_hash == bindparam("token_hash", type_=String)
)
"""The versions, and the host whose token this is, for `host_of`."""


def host_of(row: Any) -> Host:
    """The host in a row of it."""
    acknowledged = (row.acknowledged_version, row.acknowledged_digest)
    built = Built(row.built_version, row.built_digest, row.built_content)
    return Host(
        row.id,
        row.name,
        tuple(row.names),
        row.joined_at,
        row.seen_at,
        acknowledged,
        built,
        bool(row.report_only),
    )


def all_hosts(connection: Connection) -> list[Host]:
    """Every host, by name."""
    return [host_of(row) for row in connection.execute(select(*_COLUMNS).order_by(hosts.c.name))]


def find_host(connection: Connection, name: str) -> Host | None:
    """The host that is called `name`."""
    row = connection.execute(select(*_COLUMNS).where(hosts.c.name == name)).one_or_none()
    return None if row is None else host_of(row)


def add_host(connection: Connection, host_id: str, name: str) -> None:
    """Put a host into the directory, which has not joined yet."""
    connection.execute(insert(hosts).values(id=host_id, name=name, names=[name]))


def place(connection: Connection, host_name: str, services: Sequence[str]) -> list[str]:
    """Put these services on a host; return those that there are."""
    table = tables.services
    moved = update(table).where(table.c.name.in_(services)).values(host=host_name)
    return list(connection.execute(moved.returning(table.c.name)).scalars())


def remove_host(connection: Connection, host_id: str) -> None:
    """Take a host out of the directory: its token is void."""
    connection.execute(delete(hosts).where(hosts.c.id == host_id))


# --- joining --------------------------------------------------------------------------------


def add_join_token(
    connection: Connection, token_hash: str, host_id: str, names: Sequence[str], expires_at: int
) -> None:
    """Store a join token in the place of others for the same host."""
    connection.execute(delete(join_tokens).where(join_tokens.c.host_id == host_id))
    connection.execute(
        insert(join_tokens).values(
            token_hash=token_hash, host_id=host_id, names=list(names), expires_at=expires_at
        )
    )


def spend_join_token(
    connection: Connection, token_hash: str, host_name: str, now: int
) -> tuple[str, tuple[str, ...]] | None:
    """Spend a join token made for `host_name`: the host's id and its names.

    None if it was spent, is too old, was made for another host or never was. One statement, so
    that of any number of uses at once, on any number of nodes, one succeeds.
    """
    named = select(hosts.c.id).where(hosts.c.name == host_name).scalar_subquery()
    row = connection.execute(
        update(join_tokens)
        .where(
            join_tokens.c.token_hash == token_hash,
            join_tokens.c.host_id == named,
            join_tokens.c.used_at.is_(None),
            join_tokens.c.expires_at > now,
        )
        .values(used_at=now)
        .returning(join_tokens.c.host_id, join_tokens.c.names)
    ).one_or_none()
    return None if row is None else (row.host_id, tuple(row.names))


def join(connection: Connection, joined: Host, token_hash: str, public_key: bytes) -> None:
    """Note that a host joined; the token of an earlier time it did so is void."""
    connection.execute(
        update(hosts)
        .where(hosts.c.id == joined.id)
        .values(
            names=list(joined.names),
            token_hash=token_hash,
            public_key=public_key,
            joined_at=joined.joined_at,
            seen_at=joined.seen_at,
            acknowledged_version=0,
            acknowledged_digest="",
        )
    )


def lock_hosts(connection: Connection, ids: Iterable[str]) -> None:
    """Before several hosts are written: in order, so that of two who do it none waits for the other."""
    wanted = sorted(ids)
    for start in range(0, len(wanted), AT_ONCE):
        some = hosts.c.id.in_(wanted[start : start + AT_ONCE])
        connection.execute(select(hosts.c.id).where(some).order_by(hosts.c.id).with_for_update())


def acknowledge(connection: Connection, said: Mapping[str, tuple[int, str]]) -> None:
    """Note which bundle each host, by its id, has put in place: version and digest."""
    _write(
        connection,
        update(hosts).values(
            acknowledged_version=bindparam("version"), acknowledged_digest=bindparam("digest")
        ),
        [{"host": one, "version": said[one][0], "digest": said[one][1]} for one in said],
    )


def note_built(connection: Connection, made: Mapping[str, Built]) -> None:
    """Note which bundle was made for each host, by its id, unless a newer one was.

    One of the same version is replaced: it was made with a key that the service has no more.
    """
    _write(
        connection,
        update(hosts)
        .where(hosts.c.built_version <= bindparam("version"))
        .values(
            built_version=bindparam("version"),
            built_digest=bindparam("digest"),
            built_content=bindparam("content"),
        ),
        [{"host": one, **vars(built)} for one, built in made.items()],
    )


def touch(connection: Connection, heard: Mapping[str, int]) -> None:
    """Note when each host, by its id, was heard from."""
    rows = [{"host": one, "at": at} for one, at in heard.items()]
    _write(connection, update(hosts).values(seen_at=bindparam("at")), rows)


def _write(connection: Connection, change: Update, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(change.where(hosts.c.id == bindparam("host")), rows)


# --- what a host serves ---------------------------------------------------------------------


@dataclass(frozen=True)
class Services:
    """Services on a host that differ in their names alone, and all that is looked up by.

    A service with a requirement of its own is alone, and `own` is its name.
    """

    names: tuple[str, ...]
    forwards: tuple[str, ...]
    project: str
    environment_type: str
    organization: str
    own: str | None
    max_offline: int

    @property
    def subjects(self) -> tuple[str, ...]:
        """Whatever may require something of them."""
        general = (self.organization, self.project)
        return general if self.own is None else (*general, self.own)


def _services_query() -> Select[Any]:
    services, environments = tables.services.c, tables.environments.c
    projects, organizations = tables.projects.c, tables.organizations.c
    own = tables.requirements.c.subject
    forwards = cast(services.forwards, Text)
    # Of ten thousand rows each would cost more than all that is done with it.
    groups = (
        select(
            func.aggregate_strings(services.name, ",").label("names"),
            forwards.label("forwards"),
            services.project_id,
            services.environment,
            own.label("own"),
        )
        .select_from(tables.services.outerjoin(tables.requirements, own == services.name))
        .where(services.host == bindparam("host"))
        .group_by(forwards, services.project_id, services.environment, own)
        .subquery()
    )
    return (
        select(
            groups.c.names,
            groups.c.forwards,
            groups.c.project_id,
            environments.type,
            projects.organization_id,
            groups.c.own,
            organizations.max_offline,
        )
        .join(
            tables.environments,
            (environments.project_id == groups.c.project_id)
            & (environments.name == groups.c.environment),
        )
        .join(tables.projects, projects.id == groups.c.project_id)
        .join(tables.organizations, organizations.id == projects.organization_id)
        .where(environments.active)
    )


_SERVICES = _services_query()  # once: to write it down takes three times as long as to ask it


def services_on(connection: Connection, host_name: str) -> list[Services]:
    """The services of a host whose environments are active, by name."""
    found = [
        Services(
            tuple(sorted(names.split(","))),
            tuple(json.loads(forwards)),
            *alike,
        )
        for names, forwards, *alike in connection.execute(_SERVICES, {"host": host_name})
    ]
    return sorted(found, key=attrgetter("names"))


def requirements_of(connection: Connection, subjects: Iterable[str]) -> dict[str, Requirement]:
    """What is required by those of `subjects` that require anything, by subject."""
    columns = tables.requirements.c
    wanted = sorted(subjects)
    found = {}
    for start in range(0, len(wanted), AT_ONCE):
        rows = connection.execute(
            select(columns.subject, *REQUIREMENT_COLUMNS).where(
                columns.subject.in_(wanted[start : start + AT_ONCE])
            )
        )
        found.update({row[0]: requirement_of(*row[1:]) for row in rows})
    return found


def access_on(connection: Connection, host_name: str) -> list[tuple[str, str, str, str]]:
    """Project, user id, scope and role of everybody with a role in a project on a host.

    The disabled are left out: they have none.
    """
    services, access, users = tables.services, tables.project_access, tables.users
    projects_there = select(services.c.project_id).where(services.c.host == host_name)
    rows = connection.execute(
        select(access.c.project_id, access.c.user_id, access.c.scope, access.c.role)
        .join(users, users.c.id == access.c.user_id)
        .where(access.c.project_id.in_(projects_there), users.c.disabled_at.is_(None))
        .order_by(access.c.project_id, access.c.user_id, access.c.scope)
    )
    return [tuple(row) for row in rows]
