"""The refresh_token grant: each token is used once, and replaced.

An answer may be lost on its way. So a token that was used is good for 30 seconds more, and then
yields the very same successor: there are never two living branches. The successor is stored only
encrypted under a key made from its predecessor, which is not stored at all.
"""

from sqlalchemy import Connection

from ca import audit
from ca.identity import hourly, notices
from ca.identity.sessions import hash_of, new_secret
from ca.keys import Seal
from ca.oauth.grants import Client, InvalidGrant, Server, Tokens
from ca.store import oauth as store
from ca.store import sessions
from ca.store.engine import writing
from ca.store.people import find_user
from ca.store.revocations import Cause

GRACE = 30  # seconds
_PURPOSE = "refresh token's successor"


def refresh(server: Server, client: Client, token: str, now: int) -> Tokens:
    """New tokens of the same session; its proofs and their times stay as they are.

    Raises:
        InvalidGrant: the token is not the client's, or its session ended.
        TooManyAttempts: the session was renewed too often within the hour.
    """
    with writing(server.engine) as connection:
        found = store.find_refresh_token(connection, hash_of(token))
        if found is None:
            raise InvalidGrant("This login has ended. Log in again.")
        session = sessions.live_session(connection, found.sid, now, jti=None)
        if session is None or session.client_id != client.id:
            raise InvalidGrant("This login has ended. Log in again.")
        successor = _successor(connection, token, session.sid, now)
        if successor is not None:
            hourly.count(connection, hourly.REFRESH, session.sid, session.user.id, now)
            sessions.touch_grant_session(connection, session.sid, now, **vars(client.visitor))
            return Tokens(session, successor)
        # Two hold this token: the person's client, and whoever copied it.
        cause = Cause(now, session.user.id, "refresh:reuse")
        revoked = sessions.end_grant_session(connection, session.sid, cause) or []
        audit.append_revoking(connection, cause, session.sid, revoked)
        user = find_user(connection, session.user.id)
    if user is not None:
        notices.tell(server.settings, user, "refresh:reuse")
    raise InvalidGrant("This login was ended, because its token was used twice. Log in again.")


def _successor(connection: Connection, token: str, sid: str, now: int) -> str | None:
    """The token that replaces `token`, None if that was replaced too long ago."""
    lock = Seal(token.encode())
    successor = new_secret()
    sealed = lock.seal(successor.encode(), _PURPOSE)
    if store.spend_refresh_token(connection, hash_of(token), sealed, now):
        store.add_refresh_token(connection, hash_of(successor), sid, now)
        return successor
    # Read again: another request may have spent it since.
    spent = store.find_refresh_token(connection, hash_of(token))
    if spent is None or spent.used_at is None or spent.successor_sealed is None:
        return None
    if now - spent.used_at > GRACE:
        return None
    return lock.open(spent.successor_sealed, _PURPOSE).decode()
