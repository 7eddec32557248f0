"""Introspection (RFC 7662): whether a token is good now, and what it stands for.

Our clients are public, so naming one proves nothing. What is told is told to whoever holds the
token itself, which opens all of it anyway, and only in the name of the client that it was issued to.
Everything else is answered alike: not active.
"""

from ca.errors import NotAuthenticated
from ca.identity.sessions import hash_of
from ca.oauth.grants import Server
from ca.oauth.tokens import verify_access_token
from ca.store import oauth as store
from ca.store.engine import reading
from ca.store.sessions import GRANT_IDLE, GrantSession, live_session

NOT_ACTIVE: dict[str, object] = {"active": False}


def introspect(server: Server, client_id: str, token: str, now: int) -> dict[str, object]:
    """What `token` stands for, if it is an access or refresh token of this client that is good.

    A refresh token that was used is not active, also while its grace lasts; asking uses none.
    """
    with reading(server.engine) as connection:
        refresh_token = store.find_refresh_token(connection, hash_of(token))
        if refresh_token is not None:
            session = live_session(connection, refresh_token.sid, now, jti=None)
            if session is None or session.client_id != client_id or refresh_token.used_at:
                return NOT_ACTIVE
            issued_at = refresh_token.issued_at
            about = {"iat": issued_at, "exp": min(session.expires_at, issued_at + GRANT_IDLE)}
            return _active(server, session) | about
        try:
            access = verify_access_token(server.key, server.settings.issuer, token, now)
        except NotAuthenticated:
            return NOT_ACTIVE
        session = live_session(connection, access.sid, now, jti=access.jti)
    if session is None or access.client_id != client_id or session.user.id != access.sub:
        return NOT_ACTIVE
    about = {"iat": access.iat, "exp": access.exp}
    return _active(server, session) | about | {"token_type": "Bearer", "jti": access.jti}


def _active(server: Server, session: GrantSession) -> dict[str, object]:
    issuer = server.settings.issuer
    found: dict[str, object] = {
        "active": True,
        "iss": issuer,
        "aud": issuer,
        "sub": session.user.id,
        "client_id": session.client_id,
        "scope": session.scope,
        "sid": session.sid,
        "amr": sorted(session.amr),
    }
    if session.auth_time is not None:
        found["auth_time"] = session.auth_time
    if session.via:
        found["via"] = session.via
    return found
