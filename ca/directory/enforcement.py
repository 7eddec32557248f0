"""Switching on, changing and switching off that an organization requires multi-factor logins."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict, Unpack

from ca import audit
from ca.directory import read, requirements
from ca.directory.access import Caller, require
from ca.errors import Denied, InvalidRequest
from ca.identity.stepup import FRESH
from ca.store import directory
from sshd_hook import policy
from sshd_hook.policy import ADMIN, Access

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ca.directory.read import OrganizationView
    from ca.store.directory import Requirement


class Terms(TypedDict, total=False):
    """What may be said with it: how recent a login must be (seconds), and if by device will do."""

    max_age: int | None
    device: bool


def enabled(before: Requirement, **terms: Unpack[Terms]) -> Requirement:
    """`before`, and `mfa`. What the terms do not name stays as it is."""
    return replace(before, amr=policy.in_order({*before.amr, "mfa"}), **terms)


def disabled(before: Requirement) -> Requirement:
    """`before`, without `mfa`. What makes no sense without it goes as well."""
    amr = tuple(value for value in before.amr if value != "mfa")
    if amr:
        return replace(before, amr=amr)
    return replace(before, amr=(), max_age=None, device=False)


def change(
    connection: Connection, view: OrganizationView, caller: Caller, after: Requirement, now: int
) -> None:
    """Require `after` in an organization, if its admin `caller` may make it so.

    They must meet it themselves, with `mfa` in their present login: nobody locks themselves out.
    To require less than before they must also have logged in just now: a stolen session must not
    be enough.

    Raises:
        InsufficientAuthentication: their login does not show that.
        InvalidRequest: nobody may require this.
    """
    before, providers = view.stored, view.requirement.providers
    for field, message in requirements.problems(after, providers):
        raise InvalidRequest(f"{field}: {message}.")
    multi_factor = policy.Requirement(
        frozenset({"mfa"}),
        FRESH if requirements.weakens(before, after) else None,
        device=after.device,
        providers=providers,
    )
    asked = policy.join((read.requirement(after, providers), multi_factor))
    mine = Access(view.role, ADMIN)
    decision = policy.decide(asked, mine, caller.claims, caller.address, now)
    require(decision, Denied("You would lock yourself out from the address you come from."))
    if after != before:
        directory.put_requirement(connection, view.organization.id, after)
        detail = {"before": before.attributes(), "after": after.attributes()}
        subject = f"organization {view.organization.name}"
        audit.append(connection, "requirement:change", caller.user.id, subject, detail)
        directory.bump(connection, now)
