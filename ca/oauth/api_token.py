"""The api_token grant: a program's API token becomes a session, as often as it asks.

There is no refresh token: whoever has the API token asks again.
"""

import uuid

from ca import audit
from ca.identity.api_tokens import is_well_formed
from ca.identity.sessions import hash_of
from ca.oauth.grants import InvalidGrant, Server, Tokens
from ca.oauth.tokens import LIFETIME
from ca.store import api_tokens as store
from ca.store import sessions
from ca.store.engine import writing
from ca.store.people import find_user
from ca.store.sessions import GrantSession

CERTIFICATE_LIFETIME = 3600  # seconds: also one that the access token's last second was used for
SESSION_LIFETIME = LIFETIME + CERTIFICATE_LIFETIME


def exchange_api_token(server: Server, client_id: str, token: str, now: int) -> Tokens:
    """A new session of the token's user, with what the token has for ever; it ends with the token.

    Raises:
        InvalidGrant: it is no token, or no longer one. Which, is not told.
    """
    refused = InvalidGrant("The API token is not valid, has expired, or was removed.")
    if not is_well_formed(token):
        raise refused
    with writing(server.engine) as connection:
        used = store.use(connection, hash_of(token), now)
        user = find_user(connection, used.user_id) if used else None
        if used is not None and user is not None:
            session = GrantSession(
                sid=str(uuid.uuid4()),
                handle=str(uuid.uuid4()),
                user=user,
                browser_session_id="",
                client_id=client_id,
                scope=used.scope,
                proofs=used.proofs,
                via=used.via,
                expires_at=min(now + SESSION_LIFETIME, used.expires_at),
                api_token_id=used.id,
                token_made_at=used.created_at,
            )
            store.forget_old_sessions(connection, used.id, now)
            sessions.add_grant_session(connection, session, now)
            detail = {"client": client_id, "amr": sorted(session.amr), "api_token": used.id}
            audit.append(connection, "grant:begin", user.id, session.sid, detail)
            return Tokens(session)
        # Somebody still has what was removed. What never was a token is not worth a record.
        known = store.find_by_hash(connection, hash_of(token))
        if known is not None:
            about = {"client": client_id, "api_token": known.id}
            audit.append(connection, "api_token:refuse", known.user_id, known.user_id, about)
    raise refused
