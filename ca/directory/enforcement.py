"""Switching on, changing and switching off that an organization requires multi-factor logins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypedDict, Unpack

from ca import audit
from ca.directory import read, requirements
from ca.directory.access import Caller, require
from ca.directory.apply.diff import Change
from ca.directory.governed import can_meet, governed
from ca.errors import Denied, InvalidRequest
from ca.identity.proofs import amr_of, auth_time_of
from ca.identity.stepup import FRESH
from ca.store import certificates, directory, members
from ca.store.items import Item
from sshd_hook import policy
from sshd_hook.policy import ADMIN, VIEWER, Access

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ca.directory.read import OrganizationView
    from ca.store.directory import Requirement
    from ca.store.members import LiveGrant, Member


class Terms(TypedDict, total=False):
    """What may be said with it: how recent a login must be (seconds), if by device will do, and if
    it is only reported who lacks it.
    """

    max_age: int | None
    device: bool
    report_only: bool


def enabled(before: Requirement, **terms: Unpack[Terms]) -> Requirement:
    """`before`, and `mfa`. What the terms do not name stays as it is."""
    return replace(before, amr=policy.in_order({*before.amr, "mfa"}), **terms)


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
class Preview:
    """Whom it would meet if this were required: people, and logins that are live now.

    `locked_out` can log in, but not so; the others whose sessions and certificates are counted
    only have to log in again.
    """

    locked_out: list[Member]
    sessions: int
    certificates: int


def preview(
    connection: Connection, view: OrganizationView, after: Requirement, now: int
) -> Preview:
    """What it would do to require `after`: of members, and of what they hold at this moment."""
    everybody = members.members_of(connection, view.organization.id)
    ids = [one.user.id for one in everybody]
    linked = members.linked_slugs(connection, ids)
    out = [
        one
        for one in everybody
        if not one.user.disabled and not can_meet(after, one, linked[one.user.id])
    ]
    providers = view.requirement.providers
    steps = view.requirement, read.requirement(after, providers)
    touched = [
        one for one in members.live_grants(connection, ids, now) if _is_touched(one, steps, now)
    ]
    handles = {one.handle for one in touched}
    issued = (
        certificate
        for user_id in {one.user_id for one in touched}
        for certificate in certificates.usable(connection, now, user_id)
    )
    counted = [one for one in issued if one.session in handles and one.revoked_at is None]
    return Preview(out, len(touched), len(counted))


def _is_touched(
    grant: LiveGrant, steps: tuple[policy.Requirement, policy.Requirement], now: int
) -> bool:
    """Whether a login that is enough before is not enough after."""
    claims = policy.Claims(amr_of(grant.proofs), auth_time_of(grant.proofs), grant.via)
    # Networks are not asked: where it will come from is not known.
    before, after = (
        policy.decide(one, Access(VIEWER, VIEWER), claims, None, now).outcome for one in steps
    )
    return before == policy.ALLOWED and after != policy.ALLOWED


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
