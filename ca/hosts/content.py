"""What one host is told: its services, what they ask of a login, and who has which role there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ca.directory import read
from ca.hosts.bundle_writer import BundleContent
from ca.store import directory, hosts, service_users
from sshd_hook.bundle import ServiceRecord

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ca.directory.read import Terms
    from ca.store.directory import Requirement
    from ca.store.hosts import Host, Services


def content_of(connection: Connection, host: Host, authorities: tuple[bytes, ...]) -> BundleContent:
    """All that `host` must know, and nothing of what others serve.

    The transaction must see one moment, so that the version is that of everything else in it.
    """
    found = hosts.services_on(connection, host.name)
    required = _Requirements(connection, found, all_reported=host.report_only)
    lists = _AccessLists(
        hosts.access_on(connection, host.name), service_users.exempt_on(connection, host.name)
    )
    return BundleContent(
        host_id=host.id,
        version=directory.version(connection),
        authorities=authorities,
        services=[record for alike in found for record in _records(alike, required, lists)],
        access_lists=lists.lists,
    )


def _records(
    services: Services, required: _Requirements, lists: _AccessLists
) -> list[ServiceRecord]:
    held, reported = required.of(services)
    access_list = lists.number(services.project, services.environment_type)
    return [
        ServiceRecord(
            name,
            held,
            max_offline=services.max_offline,
            access_list=access_list,
            forwards=services.forwards,
            reported=reported,
        )
        for name in services.names
    ]


class _Requirements:
    """What is required of each service, joined once for all that it is required of.

    With `all_reported`, nothing is held against anybody but the networks.
    """

    def __init__(
        self, connection: Connection, services: list[Services], *, all_reported: bool
    ) -> None:
        subjects = {subject for alike in services for subject in alike.subjects}
        required = hosts.requirements_of(connection, subjects)
        self._required = {
            subject: part.on_host(reports=all_reported) for subject, part in required.items()
        }
        organizations = {alike.organization for alike in services}
        self._providers = directory.providers(connection, organizations)
        self._joined: dict[tuple[str, ...], Terms] = {}

    def of(self, services: Services) -> Terms:
        """The strictest of its organization's, its project's and its own."""
        asking = [subject for subject in services.subjects if subject in self._required]
        key = (services.organization, *asking)
        if key not in self._joined:
            parts: list[Requirement] = [self._required[subject] for subject in asking]
            self._joined[key] = read.terms(parts, self._providers[services.organization])
        return self._joined[key]


class _AccessLists:
    """One list for each project and type of environment: never one for each service."""

    def __init__(self, rows: list[tuple[str, str, str, str]], exempt: set[tuple[str, str]]) -> None:
        self._exempt = exempt
        self._roles: dict[str, dict[str, list[tuple[str, str]]]] = {}
        for project, user, scope, role in rows:
            self._roles.setdefault(project, {}).setdefault(user, []).append((scope, role))
        self._numbers: dict[tuple[str, str], int] = {}
        self.lists: list[dict[str, tuple[int, bool]]] = []

    def number(self, project: str, environment_type: str) -> int:
        """The number of the list of who has which role there."""
        key = project, environment_type
        if key not in self._numbers:
            self._numbers[key] = len(self.lists)
            self.lists.append(
                {
                    user: (role, (project, user) in self._exempt)
                    for user, roles in self._roles.get(project, {}).items()
                    if (role := read.role_on(environment_type, roles))
                }
            )
        return self._numbers[key]
