"""Queries about single services: where each is served, and whose it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Connection, select

from ca.store import tables
from ca.store.directory import Organization
from ca.store.hosts import AT_ONCE
from ca.store.projects import Environment

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Served:
    """A service, the host that serves it, and the environment and organization it belongs to."""

    name: str
    host: str
    host_reports: bool
    """Whether the host holds no requirement against anybody."""
    environment: Environment
    organization: Organization

    @property
    def subjects(self) -> dict[str, str]:
        """Whatever may require something of it, as `requirements` calls it, and in words."""
        return {
            self.organization.id: f"organization {self.organization.name}",
            self.environment.project_id: f"project {self.environment.project_id}",
            self.name: f"service {self.name}",
        }


def find(connection: Connection, names: Iterable[str]) -> dict[str, Served]:
    """Those of these services (without an instance) that there are, by name."""
    wanted = sorted(set(names))
    found: dict[str, Served] = {}
    for start in range(0, len(wanted), AT_ONCE):
        which = tables.services.c.name.in_(wanted[start : start + AT_ONCE])
        found |= {one.name: one for one in _served(connection, which)}
    return found


def of_organization(connection: Connection, organization_id: str) -> list[Served]:
    """An organization's services, by name."""
    return _served(connection, tables.projects.c.organization_id == organization_id)


def organizations_on(connection: Connection, host_name: str) -> list[Organization]:
    """The organizations that have services on a host, by name."""
    organizations, projects = tables.organizations.c, tables.projects.c
    there = (
        select(projects.organization_id)
        .join(tables.services, tables.services.c.project_id == projects.id)
        .where(tables.services.c.host == host_name)
    )
    rows = connection.execute(
        select(
            organizations.id,
            organizations.name,
            organizations.label,
            organizations.created_at,
        )
        .where(organizations.id.in_(there))
        .order_by(organizations.name)
    )
    return [Organization(*row) for row in rows]


def _served(connection: Connection, which: ColumnElement[bool]) -> list[Served]:
    services, environments = tables.services.c, tables.environments.c
    projects, organizations, hosts = tables.projects, tables.organizations, tables.hosts
    rows = connection.execute(
        select(
            services.name,
            services.host,
            hosts.c.report_only,
            environments.project_id,
            environments.name.label("environment"),
            environments.type,
            environments.active,
            organizations.c.id,
            organizations.c.name.label("organization"),
            organizations.c.label,
            organizations.c.created_at,
        )
        .join(
            tables.environments,
            (environments.project_id == services.project_id)
            & (environments.name == services.environment),
        )
        .join(projects, projects.c.id == services.project_id)
        .join(organizations, organizations.c.id == projects.c.organization_id)
        .outerjoin(hosts, hosts.c.name == services.host)
        .where(which)
        .order_by(services.name)
    )
    return [
        Served(
            row.name,
            row.host,
            bool(row.report_only),
            Environment(row.project_id, row.environment, row.type, row.active),
            Organization(row.id, row.organization, row.label, row.created_at),
        )
        for row in rows
    ]
