"""How API tokens end: with what they rest on. `ca.identity.api_tokens` makes them."""

from collections.abc import Iterable

from sqlalchemy import Connection

from ca import audit
from ca.identity.proofs import rests_on
from ca.store import api_tokens as store
from ca.store.api_tokens import ApiToken
from ca.store.revocations import Cause

EVENT = "api_token:end"


def end_tokens_resting_on(
    connection: Connection, user_id: str, amr: Iterable[str], cause: Cause
) -> list[int]:
    """End the user's tokens that rest on one of these factors or logins, which is gone.

    To be called before what ends the person's other sessions: whoever uses a token locks it first, and the audit log last. Returns
    the serials of the certificates that are revoked by it, as do all that end sessions.
    """
    values = tuple(amr)
    store.lock_owner(connection, user_id)
    found = store.live_tokens(connection, user_id, cause.at)
    resting = [token for token in found if rests_on(token.proofs, values)]
    return end(connection, resting, Cause(cause.at, cause.actor, EVENT), because=cause.event)


def end_tokens(connection: Connection, user_id: str, cause: Cause) -> list[int]:
    """End all of the user's tokens; when to call it, `end_tokens_resting_on` says."""
    store.lock_owner(connection, user_id)
    found = store.live_tokens(connection, user_id, cause.at)
    return end(connection, found, Cause(cause.at, cause.actor, EVENT), because=cause.event)


def end(
    connection: Connection, tokens: Iterable[ApiToken], cause: Cause, **detail: str
) -> list[int]:
    """End these tokens, the sessions that were begun with them, and their certificates."""
    serials = []
    for token in tokens:
        revoked = store.end(connection, token.id, cause)
        about = {"token": token.id, "name": token.name, **detail}
        audit.append_revoking(connection, cause, token.user_id, revoked, **about)
        serials += revoked
    return serials
