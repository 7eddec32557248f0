"""The end of a provider, and of everything that rests on logins at it."""

from sqlalchemy import Connection

from ca import audit
from ca.identity.proofs import LOGIN
from ca.store import provider_ends
from ca.store.revocations import Cause

EVENT = "provider:end"


def end_all_resting_on(connection: Connection, slug: str, actor: str, now: int) -> None:
    """End what rests on a provider at which nobody logs in any more, whoever's it is.

    That is the links of accounts to it, sessions and API tokens in which it was shown, and their
    certificates: as if everybody had unlinked it, in the transaction that takes it away.
    """
    cause = Cause(now, actor, EVENT)
    ended = provider_ends.end(connection, slug, f"{LOGIN}{slug}", cause)
    audit.append_revoking(
        connection,
        cause,
        slug,
        ended.serials,
        users=ended.users,
        api_tokens=ended.tokens,
        sessions=ended.sessions,
    )
