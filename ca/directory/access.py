"""Who asks, and from a decision about it to the error that tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ca.errors import Denied, InsufficientAuthentication
from ca.identity.stepup import FRESH
from sshd_hook.policy import (
    MORE_AUTHENTICATION,
    NO_ACCESS,
    OWNER,
    Access,
    Claims,
    Decision,
    Requirement,
    decide,
)
from sshd_hook.refusal import missing_in_words

if TYPE_CHECKING:
    from ca.directory.read import OrganizationView
    from ca.store.people import User
    from ca.store.sessions import GrantSession


@dataclass(frozen=True)
class Caller:
    """Whose request this is, and from which address it comes."""

    user: User
    session: GrantSession
    address: str

    @property
    def claims(self) -> Claims:
        """How they logged in."""
        return self.session.claims


def require(decision: Decision, otherwise: Exception) -> None:
    """Go on only if `decision` allows it.

    Raises:
        InsufficientAuthentication: a login that shows more would be allowed.
        otherwise: no login would.
    """
    if decision.outcome == NO_ACCESS:
        raise otherwise
    if decision.outcome == MORE_AUTHENTICATION:
        missing = ", ".join(missing_in_words(decision))
        # Quotes would end the text where it stands in a header (RFC 6750, section 3).
        message = f"Additional authentication is required: {missing}.".replace('"', "'")
        raise InsufficientAuthentication(message, decision.amr, decision.max_age)


def require_fresh_mfa(view: OrganizationView, caller: Caller, needed: int, now: int) -> None:
    """Go on only for a role of at least `needed`, and a login of the last minutes with `mfa`.

    Raises:
        InsufficientAuthentication: their login does not show that.
        Denied: their role is less.
    """
    asked = Requirement(
        frozenset({"mfa"}),
        FRESH,
        device=view.stored.device,
        providers=view.requirement.providers,
    )
    decision = decide(asked, Access(view.role, needed), caller.claims, caller.address, now)
    who = "an owner" if needed == OWNER else "an owner or admin"
    require(decision, Denied(f"Only {who} of this organization may do this."))
