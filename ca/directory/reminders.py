"""Asking members by e-mail to set up a second factor."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from ca import audit
from ca.store import members

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from ca.directory.access import Caller
    from ca.directory.read import OrganizationView
    from ca.store.people import User

REST = 3600  # seconds before the same person is reminded again


class Outcome(Enum):
    """What became of a reminder: the status and the words that clients show."""

    SENT = 200, "A reminder was sent."
    UNKNOWN = 404, "There is no such member."
    HAS_MFA = 409, "This member has set up MFA."
    RECENT = 429, "This member was reminded within the last hour."


def remind(
    connection: Connection,
    view: OrganizationView,
    caller: Caller,
    user_ids: Iterable[str] | None,
    now: int,
) -> tuple[dict[str, Outcome], list[User]]:
    """Note who is reminded: of these people, or of all members who have no second factor.

    Returns what became of each, and to whom a message must be sent once this is committed.
    """
    everybody = {one.user.id: one for one in members.members_of(connection, view.organization.id)}
    without = [one for one in everybody.values() if not (one.second_factor or one.user.disabled)]
    wanted = dict.fromkeys(user_ids if user_ids is not None else (one.user.id for one in without))
    outcomes: dict[str, Outcome] = {}
    for user_id in wanted:
        if user_id not in everybody or everybody[user_id].user.disabled:
            outcomes[user_id] = Outcome.UNKNOWN
        elif everybody[user_id].second_factor:
            outcomes[user_id] = Outcome.HAS_MFA
        elif members.remind(connection, view.organization.id, user_id, now, now - REST):
            outcomes[user_id] = Outcome.SENT
        else:
            outcomes[user_id] = Outcome.RECENT
    sent = [everybody[one].user for one, outcome in outcomes.items() if outcome is Outcome.SENT]
    if sent:
        subject = f"organization {view.organization.name}"
        detail = {"users": [user.id for user in sent]}
        audit.append(connection, "mfa:remind", caller.user.id, subject, detail)
    return outcomes, sent
