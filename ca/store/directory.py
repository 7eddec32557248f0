"""Queries about organizations and what they require, and the version of it all.

Whoever changes the directory takes `lock` first and calls `bump` before the transaction ends: so
versions are in the order of commits, and each is all of one moment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, case, delete, func, insert, or_, select, update

from ca.store import tables
from ca.store.people import USER_COLUMNS, User, user_of
from ca.store.tables import directory_version
from sshd_hook.policy import in_order

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ca.store.items import Attributes


@dataclass(frozen=True)
class Organization:
    """Who owns projects and requires something of logins."""

    id: str
    name: str
    label: str
    created_at: int


@dataclass(frozen=True)
class Requirement:
    """A requirement as an administrator made it, for one organization, project or service.

    What is `report_only` is held against nobody, but for the networks: it is only told who lacks
    it.
    """

    amr: tuple[str, ...] = ()
    max_age: int | None = None  # seconds
    networks: tuple[str, ...] | None = None  # None for any
    device: bool = False
    report_only: bool = False

    @classmethod
    def of(cls, attributes: Attributes) -> Requirement:
        """From what an item of the directory has; without any, it asks nothing."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in attributes.items()
        }
        return cls(**fields)

    @property
    def asks_nothing(self) -> bool:
        """Whether it is as good as none."""
        return not self.amr and self.networks is None

    @property
    def held(self) -> Requirement:
        """What of it is held against a login."""
        return Requirement(networks=self.networks) if self.report_only else self

    def on_host(self, *, reports: bool) -> Requirement:
        """As it is on a host, which may only report whatever is asked for (`reports`)."""
        return replace(self, report_only=self.report_only or reports)

    def attributes(self) -> Attributes:
        """As an item of the directory has it."""
        return {
            "amr": list(in_order(self.amr)),
            "max_age": self.max_age,
            "networks": None if self.networks is None else list(self.networks),
            "device": self.device,
            "report_only": self.report_only,
        }


# --- the version ----------------------------------------------------------------------------


def version(connection: Connection) -> int:
    """The directory's version."""
    found: int = connection.execute(select(directory_version.c.version)).scalar_one()
    return found


def lock(connection: Connection) -> None:
    """Be the only one who changes the directory until this transaction ends."""
    # SQLite's transactions that write are alone from their start.
    connection.execute(select(directory_version.c.version).with_for_update()).scalar_one()


def bump(connection: Connection, now: int) -> int:
    """Give the directory its next version: hosts take what is new, and nothing older.

    Never below the time, so that a database restored from a backup, however many changes it
    lost, does not go back to versions that hosts have already left behind.
    """
    current = directory_version.c.version
    following = case((current < now, now), else_=current + 1)
    statement = update(directory_version).values(version=following).returning(current)
    reached: int = connection.execute(statement).scalar_one()
    return reached


# --- organizations --------------------------------------------------------------------------


def find_organization(connection: Connection, id_or_name: str) -> Organization | None:
    """The organization with this id or name."""
    columns = tables.organizations.c
    row = connection.execute(
        select(columns.id, columns.name, columns.label, columns.created_at).where(
            or_(columns.id == id_or_name, columns.name == id_or_name)
        )
    ).one_or_none()
    return None if row is None else Organization(*row)


def member_role(connection: Connection, organization_id: str, user_id: str) -> str | None:
    """What somebody is in an organization: "owner", "admin", "viewer" or nothing."""
    members = tables.members.c
    role: str | None = connection.execute(
        select(members.role).where(
            members.organization_id == organization_id, members.user_id == user_id
        )
    ).scalar_one_or_none()
    return role


def admins(connection: Connection, organization_id: str) -> list[User]:
    """Who decides in an organization, but for the disabled: its owners and admins, by name."""
    members, users = tables.members.c, tables.users.c
    rows = connection.execute(
        select(*USER_COLUMNS)
        .join(tables.members, members.user_id == users.id)
        .where(
            members.organization_id == organization_id,
            members.role.in_(("owner", "admin")),
            users.disabled_at.is_(None),
        )
        .order_by(users.username)
    )
    return [user_of(row) for row in rows]


def find_owner(connection: Connection, organization_id: str) -> str | None:
    """The id of an organization's owner, of the first if there are several."""
    members = tables.members.c
    owner: str | None = connection.execute(
        select(func.min(members.user_id)).where(
            members.organization_id == organization_id, members.role == "owner"
        )
    ).scalar_one()
    return owner


def used_slugs(connection: Connection) -> frozenset[str]:
    """The slugs of all providers that there are or were."""
    return frozenset(connection.execute(select(tables.sso_providers.c.slug)).scalars())


def providers(connection: Connection, organization_ids: Iterable[str]) -> dict[str, frozenset[str]]:
    """The slugs of the organizations' own providers, by organization."""
    columns = tables.sso_providers.c
    found: dict[str, set[str]] = {organization: set() for organization in organization_ids}
    rows = connection.execute(
        select(columns.organization_id, columns.slug).where(
            columns.organization_id.in_(found), columns.retired_at.is_(None)
        )
    )
    for organization, slug in rows:
        found[organization].add(slug)
    return {organization: frozenset(slugs) for organization, slugs in found.items()}


# --- requirements ---------------------------------------------------------------------------

REQUIREMENT_COLUMNS = (
    tables.requirements.c.amr,
    tables.requirements.c.max_age,
    tables.requirements.c.networks,
    tables.requirements.c.device,
    tables.requirements.c.report_only,
)


def requirement(connection: Connection, subject: str) -> Requirement:
    """What is required on `subject`, an organization's or project's id or a service's name."""
    row = connection.execute(
        select(*REQUIREMENT_COLUMNS).where(tables.requirements.c.subject == subject)
    ).one_or_none()
    return Requirement() if row is None else requirement_of(*row)


def put_requirement(connection: Connection, subject: str, asked: Requirement) -> None:
    """Require this on `subject`, and nothing else."""
    connection.execute(delete(tables.requirements).where(tables.requirements.c.subject == subject))
    if not asked.asks_nothing:
        connection.execute(
            insert(tables.requirements).values(subject=subject, **asked.attributes())
        )


def requirement_of(
    amr: list[str],
    max_age: int | None,
    networks: list[str] | None,
    device: bool,  # noqa: FBT001 -- the columns of a row
    report_only: bool,  # noqa: FBT001
) -> Requirement:
    """The requirement in a row of `REQUIREMENT_COLUMNS`."""
    inside = None if networks is None else tuple(networks)
    return Requirement(tuple(amr), max_age, inside, device, report_only)


def requiring_mfa(connection: Connection, user_id: str) -> list[str]:
    """The names of the organizations of this member that require `mfa` for all that is theirs."""
    members, organizations, asked = tables.members, tables.organizations, tables.requirements
    rows = connection.execute(
        select(organizations.c.name, asked.c.amr)
        .join(members, members.c.organization_id == organizations.c.id)
        .join(asked, asked.c.subject == organizations.c.id)
        .where(members.c.user_id == user_id)
    )
    return sorted(row.name for row in rows if "mfa" in row.amr)


# --- people ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Profile:
    """What is shown of a user beside who they are."""

    created_at: int
    email_verified: bool
    sso: bool
    """Whether they have an identity at some single sign-on provider."""


def profile(connection: Connection, user_id: str) -> Profile:
    """The profile of this user."""
    users, identities = tables.users.c, tables.identities.c
    linked = select(identities.id).where(identities.user_id == user_id).exists()
    row = connection.execute(
        select(users.created_at, users.email_verified_at, linked).where(users.id == user_id)
    ).one()
    return Profile(row[0], row[1] is not None, row[2])


def find_organizations(
    connection: Connection, organization_ids: Iterable[str]
) -> list[Organization]:
    """Those of these organizations that there are."""
    columns = tables.organizations.c
    rows = connection.execute(
        select(columns.id, columns.name, columns.label, columns.created_at)
        .where(columns.id.in_(list(organization_ids)))
        .order_by(columns.name)
    )
    return [Organization(*row) for row in rows]


def memberships(connection: Connection, user_id: str) -> dict[str, str]:
    """Somebody's role in each organization of which they are a member, by its id."""
    members = tables.members.c
    rows = connection.execute(
        select(members.organization_id, members.role).where(members.user_id == user_id)
    )
    return {row.organization_id: row.role for row in rows}


def owners(connection: Connection, organization_ids: Iterable[str]) -> dict[str, str]:
    """The id of each organization's owner, of the first if there are several."""
    members = tables.members.c
    rows = connection.execute(
        select(members.organization_id, func.min(members.user_id).label("owner"))
        .where(members.organization_id.in_(list(organization_ids)), members.role == "owner")
        .group_by(members.organization_id)
    )
    return {row.organization_id: row.owner for row in rows}


def all_users(connection: Connection) -> list[User]:
    """Everybody, by user name."""
    rows = connection.execute(select(*USER_COLUMNS).order_by(tables.users.c.username))
    return [user_of(row) for row in rows]


def set_disabled(connection: Connection, user_id: str, disabled_at: int | None) -> None:
    """Note since when somebody is kept out, or that they are not."""
    statement = update(tables.users).where(tables.users.c.id == user_id)
    connection.execute(statement.values(disabled_at=disabled_at))


def left_in(connection: Connection, organization_id: str) -> list[str]:
    """What an organization has beside members and a requirement, in words."""
    kinds = {
        "projects": select(tables.projects.c.organization_id),
        "providers of single sign-on": select(tables.sso_providers.c.organization_id).where(
            tables.sso_providers.c.retired_at.is_(None)
        ),
        "service users": select(tables.service_users.c.organization_id),
    }
    return [
        words
        for words, query in kinds.items()
        if organization_id in connection.execute(query).scalars().all()
    ]
