"""The api_token grant: a program's API token becomes a session, as often as it asks.

There is no refresh token: whoever has the API token asks again.
"""

import uuid

from sqlalchemy import Connection

from ca import audit
from ca.errors import TooManyAttempts
from ca.identity import hourly
from ca.identity.api_tokens import is_well_formed
from ca.identity.attempts import WINDOW, in_window, network_of
from ca.identity.sessions import hash_of
from ca.oauth.grants import Client, InvalidGrant, Server, Tokens
from ca.oauth.tokens import LIFETIME
from ca.store import api_tokens as store
from ca.store import attempts, sessions
from ca.store.api_tokens import ApiToken
from ca.store.engine import writing
from ca.store.over import forget_over
from ca.store.people import User, find_user
from ca.store.sessions import GrantSession

CERTIFICATE_LIFETIME = 3600  # seconds: also one that the access token's last second was used for
SESSION_LIFETIME = LIFETIME + CERTIFICATE_LIFETIME

MAX_MADE_UP = 100
"""Tokens that never were any, from one address in an hour. Behind it there may be a company."""

MAX_REFUSED = 20
"""Records in an hour that somebody still has a token that was removed: it opens nothing, nor the log."""


def exchange_api_token(server: Server, client: Client, token: str, now: int) -> Tokens:
    """A new session of the token's user, with what the token has for ever; it ends with the token.

    Nobody guesses a token: who makes some up is stopped for what each does to the database, and to
    be seen. So only what never was one is counted, and a good one is taken also then: else one
    machine could stop all those of everybody behind the same address.

    Raises:
        InvalidGrant: it is no token, or no longer one. Which, is not told.
        TooManyAttempts: too many were made up at this address, or begun with this one.
    """
    refused = InvalidGrant("The API token is not valid, has expired, or was removed.")
    if not is_well_formed(token):
        raise refused
    made_up = in_window(f"Token {network_of(client.visitor.address)}", now)
    with writing(server.engine) as connection:
        used = store.use(connection, hash_of(token), now)
        user = find_user(connection, used.user_id) if used else None
        if used is not None and user is not None:
            return _begin(connection, used, user, client, now)
        known = store.find_by_hash(connection, hash_of(token))
        if known is not None:  # somebody still has what was removed
            kept = in_window(f"Refused token {known.id}", now)
            if attempts.count_below(connection, kept, MAX_REFUSED, now):
                about = {"client": client.id, "api_token": known.id}
                audit.append(connection, "api_token:refuse", known.user_id, known.user_id, about)
        elif attempts.find_count(connection, made_up).failures >= MAX_MADE_UP:
            raise TooManyAttempts("Too many API tokens that are none. Try again later.", WINDOW)
        else:
            _count(connection, made_up, client, now)
    raise refused


def _begin(connection: Connection, used: ApiToken, user: User, client: Client, now: int) -> Tokens:
    hourly.count(connection, hourly.API_TOKEN, used.id, user.id, now)
    session = GrantSession(
        sid=str(uuid.uuid4()),
        handle=str(uuid.uuid4()),
        user=user,
        browser_session_id="",
        client_id=client.id,
        scope=used.scope,
        proofs=used.proofs,
        via=used.via,
        expires_at=min(now + SESSION_LIFETIME, used.expires_at),
        api_token_id=used.id,
        token_made_at=used.created_at,
    )
    forget_over(connection, user.id, now)
    sessions.add_grant_session(connection, session, now, **vars(client.visitor))
    detail = {"client": client.id, "amr": sorted(session.amr), "api_token": used.id}
    audit.append(connection, "grant:begin", user.id, session.sid, detail)
    return Tokens(session)


def _count(connection: Connection, subject: str, client: Client, now: int) -> None:
    """Count one that was made up; the last one that is answered is worth a record."""
    if attempts.count_below(connection, subject, MAX_MADE_UP, now) == MAX_MADE_UP:
        address = client.visitor.address
        detail = {"client": client.id, "address": address}
        audit.append(connection, "api_token:guess", client.id, address, detail)
