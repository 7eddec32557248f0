"""A directory as large as an operator's may become, written straight into the database.

Each host serves the services of projects of its own, and each organization has hosts of its own.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert

from ca.hosts.join import hash_of
from ca.store import directory, tables
from ca.store.engine import writing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection, Engine, Table

PEOPLE_OF_ONE = 10  # organization; half of them have a role in each project
AT_ONCE = 10_000  # rows
NOW = 1_790_000_000


@dataclass(frozen=True)
class Estate:
    """How much of everything there is."""

    hosts: int
    services: int
    hosts_of_one: int = 20
    """How many an organization has."""

    services_of_one: int = 25
    """How many a project has."""

    @property
    def organizations(self) -> int:
        return -(-self.hosts // self.hosts_of_one)

    @property
    def projects(self) -> int:
        return self.services // self.services_of_one

    def host_of(self, project: int) -> int:
        """On which host a project's services run."""
        return project % self.hosts

    def organization_of(self, project: int) -> int:
        """Whose a project is."""
        return self.host_of(project) // self.hosts_of_one


def host_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def host_name(number: int) -> str:
    return f"h{number}.ssh.example"


def token(number: int) -> str:
    """What the host shows: a secret of nothing but these drills."""
    return f"amrgate-host-{number:043}"


def organization_id(number: int) -> str:
    return f"11111111-0000-4000-8000-{number:012}"


def user_id(organization: int, person: int) -> str:
    return f"22222222-0000-4000-8000-{organization * PEOPLE_OF_ONE + person:012}"


def project_id(number: int) -> str:
    return f"p{number:012}"


def service_name(project: int, app: int) -> str:
    return f"{project_id(project)}-main--app{app}"


def fill(engine: Engine, estate: Estate) -> None:
    """Write it all, in one transaction."""
    with writing(engine) as connection:
        directory.lock(connection)
        for table, rows in _rows(estate):
            _insert(connection, table, rows)
        directory.bump(connection, int(time.time()))


def _rows(estate: Estate) -> Iterable[tuple[Table, Iterable[dict[str, Any]]]]:
    organizations, people = range(estate.organizations), range(PEOPLE_OF_ONE)
    projects, apps = range(estate.projects), range(estate.services_of_one)
    yield (
        tables.hosts,
        (
            {
                "id": host_id(number),
                "name": host_name(number),
                "names": [host_name(number)],
                "token_hash": hash_of(token(number)),
                "joined_at": NOW,
            }
            for number in range(estate.hosts)
        ),
    )
    yield (
        tables.organizations,
        (
            {"id": organization_id(one), "name": f"o{one}", "label": "O", "created_at": NOW}
            for one in organizations
        ),
    )
    yield (
        tables.users,
        (
            {
                "id": user_id(one, person),
                "username": f"o{one}u{person}",
                "email": f"u{person}@o{one}.example",
                "name": "U",
                "created_at": NOW,
            }
            for one in organizations
            for person in people
        ),
    )
    yield (
        tables.projects,
        (
            {
                "id": project_id(number),
                "organization_id": organization_id(estate.organization_of(number)),
                "title": "P",
                "created_at": NOW,
            }
            for number in projects
        ),
    )
    yield (
        tables.environments,
        (
            {"project_id": project_id(number), "name": "main", "type": "production", "active": True}
            for number in projects
        ),
    )
    yield (
        tables.project_access,
        (
            {
                "project_id": project_id(number),
                "user_id": user_id(estate.organization_of(number), person),
                "scope": "production",
                "role": "contributor",
            }
            for number in projects
            for person in people[::2]
        ),
    )
    yield (
        tables.services,
        (
            {
                "name": service_name(number, app),
                "project_id": project_id(number),
                "environment": "main",
                "host": host_name(estate.host_of(number)),
                "forwards": [],
            }
            for number in projects
            for app in apps
        ),
    )


def _insert(connection: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    every = iter(rows)
    while some := list(islice(every, AT_ONCE)):
        connection.execute(insert(table), some)
