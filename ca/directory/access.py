"""Who asks, and from a decision about it to the error that tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ca.errors import InsufficientAuthentication
from sshd_hook.policy import MORE_AUTHENTICATION, NO_ACCESS, Claims, Decision
from sshd_hook.refusal import missing_in_words

if TYPE_CHECKING:
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
        return Claims(self.session.amr, self.session.auth_time, self.session.via)


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
