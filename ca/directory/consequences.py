"""Whom a change would meet, before it is made: who is locked out, and what would be ended where.

Both sides of it are looked at in the same way, as it stands and as it would: `lost` is the
difference.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ca.directory import explain, read
from ca.directory.governed import can_meet
from ca.identity.proofs import amr_of, auth_time_of
from ca.store import certificates, directory, members, open_connections, served, service_users
from sshd_hook import policy
from sshd_hook.policy import ALLOWED, VIEWER, Access, Claims, lasting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy import Connection

    from ca.store.directory import Organization, Requirement
    from ca.store.members import LiveGrant, Member
    from ca.store.open_connections import Open
    from ca.store.service_users import ServiceUser


@dataclass(frozen=True)
class Standing:
    """How it stands with some organizations.

    `able` are the members and service users, by organization's name and user id, who have what a
    login needs that meets what is held against one; `unable` the members who have not, `programs`
    the service users with a role that are not exempt from it: their tokens show nothing. `sessions`
    are the handles, by organization, of sessions that meet it; `connections` how many may stay
    open, by host, service, session and address.
    """

    able: set[tuple[str, str]] = field(default_factory=set)
    unable: dict[tuple[str, str], Member] = field(default_factory=dict)
    programs: dict[tuple[str, str], ServiceUser] = field(default_factory=dict)
    sessions: dict[tuple[str, str], LiveGrant] = field(default_factory=dict)
    connections: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)


@dataclass(frozen=True)
class Lost:
    """What a change takes away: from people and programs, and of what is live now.

    `connections` are those that hosts would end, by host and service.
    """

    unable: dict[tuple[str, str], Member]
    programs: dict[tuple[str, str], ServiceUser]
    sessions: dict[tuple[str, str], LiveGrant]
    connections: Counter[tuple[str, str]]

    def on(self, host: str) -> int:
        """How many connections a host would end."""
        return sum(count for (where, _service), count in self.connections.items() if where == host)


def standing(
    connection: Connection,
    names: Iterable[str],
    now: int,
    supposed: Mapping[str, Requirement] | None = None,
) -> Standing:
    """How it stands with the organizations of these names; `supposed` as in `explain.terms`."""
    found = Standing()
    for name in names:
        organization = directory.find_organization(connection, name)
        if organization is not None:
            stored = directory.requirement(connection, organization.id)
            asked = (supposed or {}).get(organization.id, stored)
            _look_at_logins(connection, organization, asked.held, found, now)
            for one in _that_may_stay(connection, organization.id, supposed, now):
                key = one.host, one.service, one.session.handle, one.address
                found.connections[key] += one.connections
    return found


def lost(before: Standing, after: Standing) -> Lost:
    """What is not there any more after a change."""
    ended: Counter[tuple[str, str]] = Counter()
    for (host, service, _session, _address), count in (
        before.connections - after.connections
    ).items():
        ended[host, service] += count
    return Lost(
        {key: one for key, one in after.unable.items() if key in before.able},
        {key: one for key, one in after.programs.items() if key in before.able},
        {key: one for key, one in before.sessions.items() if key not in after.sessions},
        ended,
    )


def count_certificates(connection: Connection, sessions: Iterable[LiveGrant], now: int) -> int:
    """How many certificates of these sessions hosts would still take, but for a change."""
    every = list(sessions)
    handles = {one.handle for one in every}
    issued = (
        certificate
        for user_id in {one.user_id for one in every}
        for certificate in certificates.usable(connection, now, user_id)
    )
    return sum(one.session in handles and one.revoked_at is None for one in issued)


def services_on(connection: Connection, organization_id: str) -> Counter[str]:
    """How many services of an organization each host has."""
    return Counter(one.host for one in served.of_organization(connection, organization_id))


def _look_at_logins(
    connection: Connection, organization: Organization, held: Requirement, found: Standing, now: int
) -> None:
    everybody = members.members_of(connection, organization.id)
    linked = members.linked_slugs(connection, [one.user.id for one in everybody])
    for one in everybody:
        key = organization.name, one.user.id
        if can_meet(held, one, linked[one.user.id]):
            found.able.add(key)
        elif not one.user.disabled:
            found.unable[key] = one
    programs = service_users.of_organization(connection, organization.id)
    for program in programs:
        key = organization.name, program.user.id
        if program.exempt or not held.amr:
            found.able.add(key)
        elif not program.user.disabled and members.grants_in(connection, organization.id, key[1]):
            found.programs[key] = program
    exempt = {one.user.id: False for one in everybody}
    exempt |= {one.user.id: one.exempt for one in programs}
    _look_at_sessions(connection, organization, held, exempt, found, now)


def _look_at_sessions(  # noqa: PLR0913, PLR0917 -- as above, and whose
    connection: Connection,
    organization: Organization,
    held: Requirement,
    exempt: dict[str, bool],
    found: Standing,
    now: int,
) -> None:
    """Look at the sessions of these users, who are exempt or not."""
    providers = directory.providers(connection, [organization.id])[organization.id]
    requirement = read.requirement(held, providers)
    for grant in members.live_grants(connection, exempt, now):
        claims = Claims(amr_of(grant.proofs), auth_time_of(grant.proofs), grant.via)
        # Networks are not asked: where it will come from is not known.
        access = Access(VIEWER, VIEWER, exempt=exempt[grant.user_id])
        if policy.decide(requirement, access, claims, None, now).outcome == ALLOWED:
            found.sessions[organization.name, grant.handle] = grant


def _that_may_stay(
    connection: Connection,
    organization_id: str,
    supposed: Mapping[str, Requirement] | None,
    now: int,
) -> Iterator[Open]:
    """The open connections that hosts would leave open.

    A host may have thousands: what is asked and who may come are looked up once for all alike.
    """
    every = open_connections.of_organization(connection, organization_id)
    services = served.find(connection, (one.service for one in every))
    asked = {
        name: lasting(explain.terms(connection, service, supposed).held)
        for name, service in services.items()
    }
    granted: dict[tuple[str, str], Access | None] = {}
    for one in every:
        key = one.service, one.session.user.id
        if key not in granted:
            granted[key] = explain.access(connection, services[one.service], one.session.user)
        claims, address = one.session.claims, one.address or None
        decision = policy.decide(asked[one.service], granted[key], claims, address, now)
        if decision.outcome == ALLOWED:
            yield one
