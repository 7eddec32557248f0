"""Switching on, changing and switching off that an organization requires multi-factor logins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypedDict, Unpack

from ca import audit
from ca.directory import read, requirements
from ca.directory.access import Caller, require
from ca.directory.apply.diff import Change
from ca.directory.consequences import count_certificates, lost, services_on, standing
from ca.directory.governed import governed
from ca.errors import Denied, InvalidRequest
from ca.identity.stepup import FRESH
from ca.store import directory, open_connections
from ca.store.items import Item
from sshd_hook import policy
from sshd_hook.policy import ADMIN, Access

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ca.directory.read import OrganizationView
    from ca.store.directory import Requirement
    from ca.store.members import Member
    from ca.store.service_users import ServiceUser


class Terms(TypedDict, total=False):
    """What may be said with it: how recent a login must be (seconds), if by device will do, and if
    it is only reported who lacks it.
    """

    max_age: int | None
    device: bool
    report_only: bool


def enabled(before: Requirement, **terms: Unpack[Terms]) -> Requirement:
    """`before`, and `mfa`, which is held unless the terms say `report_only`.

    What else they do not name stays as it is. A client that knows nothing of reports must not take
    for held what is only reported.
    """
    said: Terms = {"report_only": False, **terms}
    return replace(before, amr=policy.in_order({*before.amr, "mfa"}), **said)


def disabled(before: Requirement) -> Requirement:
    """`before`, without `mfa`. What makes no sense without it goes as well."""
    amr = tuple(value for value in before.amr if value != "mfa")
    if amr:
        return replace(before, amr=amr)
    return replace(before, amr=(), max_age=None, device=False, report_only=False)


def in_words(asked: Requirement) -> str:
    """What is required, for an e-mail."""
    if asked.asks_nothing:
        return "nothing"
    said = [*asked.amr]
    if asked.max_age is not None:
        said.append(f"a login of the last {asked.max_age // 60} minutes")
    if asked.networks is not None:
        said.append(f"from {', '.join(asked.networks) or 'nowhere'}")
    if asked.device:
        said.append("also by device code")
    reported = "; only reported: whoever lacks it is let in" if asked.report_only else ""
    return ", ".join(said) + reported


@dataclass(frozen=True)
class Concerned:
    """A host that serves an organization.

    Of the connections that are open there, `ended` would be ended; it said at `heard_at` which are
    open, None for never.
    """

    host: str
    services: int
    ended: int
    heard_at: int | None


@dataclass(frozen=True)
class Preview:
    """Whom it would meet if this were required: people, programs, and what is live now.

    `locked_out` can log in, but not so; the others whose sessions, certificates and connections are
    counted only have to log in again. `programs` have a role, and reach nothing until an owner
    exempts them.
    """

    locked_out: list[Member]
    programs: list[ServiceUser]
    sessions: int
    certificates: int
    hosts: list[Concerned]

    @property
    def connections(self) -> int:
        """How many open connections would be ended."""
        return sum(one.ended for one in self.hosts)


def preview(
    connection: Connection, view: OrganizationView, after: Requirement, now: int
) -> Preview:
    """What it would do to require `after`: to whom, and to what they hold at this moment."""
    organization = view.organization
    before = standing(connection, [organization.name], now)
    then = standing(connection, [organization.name], now, {organization.id: after})
    gone = lost(before, then)
    heard = open_connections.heard_at(connection)
    return Preview(
        list(then.unable.values()),
        list(then.programs.values()),
        len(gone.sessions),
        count_certificates(connection, gone.sessions.values(), now),
        [
            Concerned(host, services, gone.on(host), heard.get(host))
            for host, services in sorted(services_on(connection, organization.id).items())
        ],
    )


def change(
    connection: Connection, view: OrganizationView, caller: Caller, after: Requirement, now: int
) -> Change:
    """Require `after` in an organization, if its admin `caller` may make it so.

    They must meet it themselves, with `mfa` in their present login: nobody locks themselves out.
    To require less than before they must also have logged in just now: a stolen session must not
    be enough. The other admins are told of it if it asks for less: `loosened.announce` does.

    Raises:
        InsufficientAuthentication: their login does not show that.
        InvalidRequest: nobody may require this.
        Conflict: no owner or admin has what a login needs for it: a session may outlive its factor.
    """
    before, providers = view.stored, view.requirement.providers
    for field, message in requirements.problems(after, providers):
        raise InvalidRequest(f"{field}: {message}.")
    weaker = requirements.weakens(before, after)
    multi_factor = policy.Requirement(
        frozenset({"mfa"}),
        FRESH if weaker else None,
        device=after.device,
        providers=providers,
    )
    asked = policy.join((read.requirement(after, providers), multi_factor))
    mine = Access(view.role, ADMIN)
    decision = policy.decide(asked, mine, caller.claims, caller.address, now)
    require(decision, Denied("You would lock yourself out from the address you come from."))
    if after != before:
        with governed(connection, [view.organization.id]):
            directory.put_requirement(connection, view.organization.id, after)
        detail = {"before": before.attributes(), "after": after.attributes()}
        subject = f"organization {view.organization.name}"
        audit.append(connection, "requirement:change", caller.user.id, subject, detail)
        directory.bump(connection, now)
    item = Item("requirement", ("organization", view.organization.name))
    return Change(item, before.attributes(), after.attributes())
