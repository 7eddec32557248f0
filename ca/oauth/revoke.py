"""Revocation (RFC 7009): by a refresh token a whole session, by an access token only that."""

from ca import audit
from ca.errors import NotAuthenticated
from ca.identity.sessions import hash_of
from ca.oauth.grants import Server
from ca.oauth.tokens import verify_access_token
from ca.store import oauth as store
from ca.store import sessions
from ca.store.engine import writing
from ca.store.revocations import Cause


def revoke(server: Server, client_id: str, token: str, now: int) -> None:
    """Make `token` useless. What is no token, no longer one, or another client's, is passed over.

    Clients revoke the tokens of an earlier login after a later one: only the session that the
    token belongs to is touched.
    """
    with writing(server.engine) as connection:
        found = store.find_refresh_token(connection, hash_of(token))
        if found is not None:
            session = sessions.live_session(connection, found.sid, now, jti=None)
            if session is not None and session.client_id == client_id:
                cause = Cause(now, session.user.id, "grant:revoke")
                revoked = sessions.end_grant_session(connection, session.sid, cause) or []
                audit.append_revoking(connection, cause, session.sid, revoked)
            return
        try:
            access = verify_access_token(server.key, server.settings.issuer, token, now)
        except NotAuthenticated:
            return
        if access.client_id == client_id and store.revoke_access_token(
            connection, access.jti, access.exp, now
        ):
            audit.append(connection, "token:revoke", access.sub, access.sid, {})
