"""What is done only so often in an hour: each time leaves rows, and a record in the audit log for ever.

Whoever holds a stolen cookie, password, refresh token or API token must not fill those up. Each is
counted for itself, so that whoever uses up one does not keep its owner from the others.
"""

from dataclasses import dataclass

from sqlalchemy import Connection

from ca import audit
from ca.errors import TooManyAttempts
from ca.identity.attempts import WINDOW, in_window
from ca.store import attempts as store


@dataclass(frozen=True)
class Bound:
    """What is counted, as the audit log calls it and as its person is told; and what they do then."""

    noun: str
    done: str
    remedy: str
    most: int = 1000  # more than anybody needs


LOGIN = Bound(
    "login", "In this way you logged in", "change your password, and look at your sessions"
)
CONSENT = Bound("consent", "In this browser, logins were allowed", "log out")
REFRESH = Bound("refresh", "This login was renewed", "log out: amrgate logout")
API_TOKEN = Bound("api_token", "With this API token, sessions were begun", "remove it", 10_000)
"""Each job begins a session (`ca.issuance.bounds` has the same of certificates)."""


def count(connection: Connection, bound: Bound, of: str, user_id: str, now: int) -> None:
    """Count one more `of` this: a session's or token's id.

    Raises:
        TooManyAttempts: there were so many within the hour of the clock; nothing is counted.
    """
    counted = store.count_below(connection, in_window(f"{bound.noun} {of}", now), bound.most, now)
    if not counted:
        wait = WINDOW - now % WINDOW
        raise TooManyAttempts(
            f"{bound.done} {bound.most:,} times within the hour: no more until it is over. Try again in"
            f" {-(-wait // 60)} min. If it was not you, {bound.remedy}.",
            wait,
        )
    if counted == bound.most:
        audit.append(connection, f"{bound.noun}:bound", user_id, of, {"most": bound.most})
