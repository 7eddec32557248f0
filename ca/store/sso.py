"""Queries about providers of single sign-on, and about who somebody is there."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, insert, or_, select, update

from ca.store.absent import insert_if_absent
from ca.store.people import USER_COLUMNS, User, user_of
from ca.store.tables import (
    identities,
    members,
    oidc_clients,
    passwords,
    projects,
    requirements,
    services,
    sso_providers,
    sso_states,
    users,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement, Row

SPENT_KEPT = 600  # seconds after a state could no longer come back


@dataclass(frozen=True)
class Provider:
    """A provider that can be asked, and how we are known there."""

    slug: str
    organization_id: str
    label: str
    issuer: str
    client_id: str
    client_secret_sealed: bytes | None
    scopes: tuple[str, ...]
    mfa_values: tuple[str, ...]
    domains: tuple[str, ...]
    tested_at: int | None


@dataclass(frozen=True)
class Identity:
    """Who somebody is at a provider."""

    id: str
    user_id: str
    issuer: str
    subject: str
    slug: str
    created_at: int
    used_at: int | None


# --- providers ------------------------------------------------------------------------------


def find_provider(connection: Connection, slug: str) -> Provider | None:
    """The provider with this slug, if it is not retired and can be asked."""
    found = _providers(connection, sso_providers.c.slug == slug)
    return found[0] if found else None


def providers_of(connection: Connection, organization_id: str) -> list[Provider]:
    """The organization's own that can be asked, by slug."""
    return _providers(connection, sso_providers.c.organization_id == organization_id)


def providers_for(connection: Connection, user_id: str) -> list[Provider]:
    """Those of the organizations of which somebody is a member, by slug."""
    theirs = select(members.c.organization_id).where(members.c.user_id == user_id)
    return _providers(connection, sso_providers.c.organization_id.in_(theirs))


def providers_with_domain(connection: Connection, domain: str) -> list[Provider]:
    """Those to which people are sent whose e-mail address is of this domain."""
    known = _providers(connection, sso_providers.c.retired_at.is_(None))
    return [provider for provider in known if domain in provider.domains]


def note_tested(connection: Connection, provider: Provider, now: int) -> None:
    """Note that somebody came back from the provider as it is configured here."""
    columns = oidc_clients.c
    connection.execute(
        update(oidc_clients)
        .where(
            columns.slug == provider.slug,
            columns.issuer == provider.issuer,
            columns.client_id == provider.client_id,
        )
        .values(tested_at=now)
    )


def put_client(connection: Connection, provider: Provider) -> None:
    """Store how a provider is asked, in the place of what was there."""
    connection.execute(delete(oidc_clients).where(oidc_clients.c.slug == provider.slug))
    values = asdict(provider)
    del values["organization_id"]
    lists = {name: list(values[name]) for name in ("scopes", "mfa_values", "domains")}
    connection.execute(insert(oidc_clients).values(**(values | lists)))


def change_client(connection: Connection, before: Provider, after: Provider) -> Provider:
    """Store `after` in the place of `before`, and return what it is then.

    With another issuer or client it is as new: it must be tested again. A secret is sealed for its
    issuer: with another one, that of before is none.
    """
    if (after.issuer, after.client_id) != (before.issuer, before.client_id):
        after = replace(after, tested_at=None)
    if after.issuer != before.issuer and after.client_secret_sealed == before.client_secret_sealed:
        after = replace(after, client_secret_sealed=None)
    put_client(connection, after)
    return after


def add_provider(connection: Connection, slug: str, organization_id: str) -> bool:
    """Give the organization this slug; False if somebody has it or had it."""
    values = {"slug": slug, "organization_id": organization_id}
    return insert_if_absent(connection, sso_providers, values)


def hold_provider(connection: Connection, slug: str) -> bool:
    """Whether it is not retired; and until this transaction ends, it will not be."""
    held = select(sso_providers.c.slug).where(
        sso_providers.c.slug == slug, sso_providers.c.retired_at.is_(None)
    )
    return connection.execute(held.with_for_update(read=True)).first() is not None


def retire_provider(connection: Connection, slug: str, now: int) -> None:
    """Let the provider be asked no more. Its slug is never used again."""
    connection.execute(
        update(sso_providers).where(sso_providers.c.slug == slug).values(retired_at=now)
    )


def is_required(connection: Connection, organization_id: str, amr: str) -> bool:
    """Whether the organization, or a project or service of it, requires this `amr` value."""
    owned = select(projects.c.id).where(projects.c.organization_id == organization_id)
    served = select(services.c.name).where(services.c.project_id.in_(owned))
    subject = requirements.c.subject
    rows = connection.execute(
        select(requirements.c.amr).where(
            or_(subject == organization_id, subject.in_(owned), subject.in_(served))
        )
    )
    return any(amr in required for required in rows.scalars())


def _providers(connection: Connection, which: ColumnElement[bool]) -> list[Provider]:
    columns = oidc_clients.c
    rows = connection.execute(
        select(
            columns.slug,
            sso_providers.c.organization_id,
            columns.label,
            columns.issuer,
            columns.client_id,
            columns.client_secret_sealed,
            columns.scopes,
            columns.mfa_values,
            columns.domains,
            columns.tested_at,
        )
        .join(sso_providers, sso_providers.c.slug == columns.slug)
        .where(which, sso_providers.c.retired_at.is_(None))
        .order_by(columns.slug)
    )
    return [_provider(row) for row in rows]


def _provider(row: Row[*tuple[Any, ...]]) -> Provider:
    fields: dict[str, Any] = dict(row._mapping)  # noqa: SLF001 -- SQLAlchemy's public name for a row by columns
    for name in ("scopes", "mfa_values", "domains"):
        fields[name] = tuple(fields[name])
    return Provider(**fields)


def spend_state(connection: Connection, state_hash: str, expires_at: int, now: int) -> bool:
    """Spend a state that came back; False if it was spent.

    One statement, so that of any number of uses at once, on any number of nodes, one succeeds.
    """
    connection.execute(delete(sso_states).where(sso_states.c.expires_at < now - SPENT_KEPT))
    values = {"state_hash": state_hash, "expires_at": expires_at}
    return insert_if_absent(connection, sso_states, values)


# --- identities -----------------------------------------------------------------------------


def find_identity(
    connection: Connection, issuer: str, subject: str, slug: str
) -> tuple[Identity, User] | None:
    """Who linked this identity through the provider `slug`."""
    row = connection.execute(
        select(identities.c.id.label("identity_id"), *_REST, *USER_COLUMNS)
        .join(users, users.c.id == identities.c.user_id)
        .where(
            identities.c.issuer == issuer,
            identities.c.subject == subject,
            identities.c.slug == slug,
        )
    ).one_or_none()
    return None if row is None else (_identity(row), user_of(row))


def is_anothers(connection: Connection, issuer: str, subject: str, user_id: str) -> bool:
    """Whether somebody else than this user linked this identity, through whichever provider."""
    query = select(identities.c.id).where(
        identities.c.issuer == issuer,
        identities.c.subject == subject,
        identities.c.user_id != user_id,
    )
    return connection.execute(query.limit(1)).first() is not None


def identities_of(connection: Connection, user_id: str) -> list[Identity]:
    """Somebody's identities, the oldest first."""
    rows = connection.execute(
        select(identities.c.id.label("identity_id"), *_REST)
        .where(identities.c.user_id == user_id)
        .order_by(identities.c.created_at, identities.c.id)
    )
    return [_identity(row) for row in rows]


def add_identity(connection: Connection, identity: Identity) -> bool:
    """Link it; False if it is somebody's."""
    return insert_if_absent(connection, identities, asdict(identity))


def hold_identity(connection: Connection, user_id: str, slug: str) -> bool:
    """Whether somebody has linked an account at a provider that is not retired.

    Nobody unlinks it and nobody ends the provider before this transaction ends. Who waits to do so
    sees what is written in it; SQLite's transactions that write are alone anyway.
    """
    held = (
        select(identities.c.id)
        .join(sso_providers, sso_providers.c.slug == identities.c.slug)
        .where(
            identities.c.user_id == user_id,
            identities.c.slug == slug,
            sso_providers.c.retired_at.is_(None),
        )
    )
    return connection.execute(held.with_for_update(read=True)).first() is not None


def use_identity(connection: Connection, identity_id: str, now: int) -> bool:
    """Note that it was used; False if it was unlinked meanwhile."""
    statement = update(identities).where(identities.c.id == identity_id).values(used_at=now)
    return connection.execute(statement).rowcount == 1


def remove_identity(connection: Connection, identity_id: str) -> None:
    """Unlink it."""
    connection.execute(delete(identities).where(identities.c.id == identity_id))


def has_password(connection: Connection, user_id: str) -> bool:
    """Whether somebody can log in without a provider."""
    query = select(passwords.c.user_id).where(passwords.c.user_id == user_id)
    return connection.execute(query).first() is not None


def has_another_way_in(connection: Connection, user_id: str, slugs: Collection[str]) -> bool:
    """Whether somebody can log in without these providers."""
    others = [one for one in identities_of(connection, user_id) if one.slug not in slugs]
    return bool(others) or has_password(connection, user_id)


_REST = (
    identities.c.user_id,
    identities.c.issuer,
    identities.c.subject,
    identities.c.slug,
    identities.c.created_at.label("linked_at"),
    identities.c.used_at,
)


def _identity(row: Any) -> Identity:
    return Identity(
        id=row.identity_id,
        user_id=row.user_id,
        issuer=row.issuer,
        subject=row.subject,
        slug=row.slug,
        created_at=row.linked_at,
        used_at=row.used_at,
    )
