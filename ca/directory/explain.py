"""What a host would answer to somebody who wants to reach a service, and why.

It is asked here with what the directory says, by the same `decide` that hosts ask with what they
were told of it: tests/test_explain.py asks both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ca.directory import read
from ca.store import directory, hosts, projects, served, service_users
from sshd_hook.answer import code_of
from sshd_hook.names import parse_service
from sshd_hook.policy import ALLOWED, CONTRIBUTOR, NO_ROLE, Access, Requirement, decide, lacking
from sshd_hook.refusal import Refusal, render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from ca.store.people import User
    from ca.store.served import Served
    from sshd_hook.policy import Claims, Decision


@dataclass(frozen=True)
class Terms:
    """What a service asks of a login: by whom, and joined.

    `parts` are requirements by who asks for them, each `report_only` if it is so on this host.
    """

    parts: dict[str, directory.Requirement]
    held: Requirement
    reported: Requirement | None

    @property
    def asked(self) -> Requirement:
        """All of it."""
        return self.reported or self.held


NOTHING = Terms({}, Requirement(), None)
"""The terms of a service that there is not."""


@dataclass(frozen=True)
class Answer:
    """What a host would answer: one of the codes of its log, and the decision.

    `missing` is what the login lacks, of what is held against it or else of what is reported.
    """

    code: str
    decision: Decision
    missing: tuple[str, ...]

    @property
    def lets_in(self) -> bool:
        """Whether the host would let in."""
        return self.decision.outcome == ALLOWED


def find(connection: Connection, name: str) -> Served | None:
    """The service that one connects to by `name`, which may have an instance."""
    parsed = parse_service(name)
    return served.find(connection, [parsed.record]).get(parsed.record) if parsed else None


def find_for(connection: Connection, name: str, user: User) -> Served | None:
    """The same for somebody who may only know of it if they have a role in its project.

    Without one it is not looked for, so that the time does not tell either.
    """
    parsed = parse_service(name)
    if parsed is None or not projects.grants(connection, parsed.project, user.id):
        return None
    return find(connection, name)


def terms(
    connection: Connection,
    service: Served,
    supposed: Mapping[str, directory.Requirement] | None = None,
) -> Terms:
    """What a service asks of a login; `supposed` stands for what is stored, by subject."""
    stored = hosts.requirements_of(connection, service.subjects)
    required = {**stored, **(supposed or {})}
    parts = {
        words: required[subject].on_host(reports=service.host_reports)
        for subject, words in service.subjects.items()
        if subject in required
    }
    organization = service.organization.id
    providers = directory.providers(connection, [organization])[organization]
    return Terms(parts, *read.terms(parts.values(), providers))


def access(connection: Connection, service: Served, user: User) -> Access | None:
    """What hosts are told of somebody's role; None where the environment is inactive."""
    environment = service.environment
    if not environment.active:
        return None
    grants = projects.grants(connection, environment.project_id, user.id)
    role = NO_ROLE if user.disabled else read.role_on(environment.type, grants.items())
    exempt = service_users.is_exempt(connection, service.organization.id, user.id)
    return Access(role, CONTRIBUTOR, exempt=exempt)


def answer(
    asked: Terms, granted: Access | None, claims: Claims, peer: str | None, now: int
) -> Answer:
    """What a host would answer to a certificate with these claims.

    `peer` is the address that the connection would come from, None if that is not known.
    """
    decision = decide(asked.held, granted, claims, peer, now)
    reported = lacking(decision, asked.reported, granted, claims, peer, now)
    return Answer(code_of(decision.outcome, reported), decision, decision.missing or reported)


def text(found: Answer, name: str, user: User) -> str:
    """What somebody would read who is refused; "" for who is let in."""
    return "" if found.lets_in else render(Refusal(found.decision, name, user.name, user.id))
