"""Grant sessions and the tokens that belong to them: how a code or a refresh becomes tokens."""

import uuid
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from ca.errors import InvalidRequest
from ca.identity.proofs import Proofs
from ca.identity.sessions import Visitor, hash_of, new_secret
from ca.keys.token import TokenKey
from ca.oauth.tokens import LIFETIME, issue_access_token
from ca.settings import Settings
from ca.store import oauth as store
from ca.store import sessions
from ca.store.people import find_user
from ca.store.sessions import GrantSession

GRANT_LIFETIME = 30 * 86400  # seconds
SSO_LIFETIME = 86400  # seconds: another's word is asked again each day


class InvalidGrant(InvalidRequest):
    """A code or token that is not good, or not the client's, or was spent; not told which."""

    code = "invalid_grant"


@dataclass(frozen=True)
class Server:
    """What issuing needs."""

    settings: Settings
    engine: Engine
    key: TokenKey


@dataclass(frozen=True)
class Client:
    """Who asks for tokens, by its id, and where it runs."""

    id: str
    visitor: Visitor


@dataclass(frozen=True)
class Tokens:
    """What a client gets. There is no refresh token for what can be exchanged again."""

    session: GrantSession
    refresh_token: str | None = None

    def answer(self, server: Server, now: int) -> dict[str, str | int]:
        """The body of the token endpoint's answer (RFC 6749, section 5.1)."""
        issuer = server.settings.issuer
        return {
            "access_token": issue_access_token(server.key, issuer, self.session, now),
            "token_type": "Bearer",
            "expires_in": LIFETIME,
            **({"refresh_token": self.refresh_token} if self.refresh_token else {}),
            "scope": self.session.scope,
        }


@dataclass(frozen=True)
class Agreement:
    """What a person agreed to: for which client, in which browser session, after proving what.

    `via` is "device" if the client runs elsewhere than the browser.
    """

    user_id: str
    browser_session_id: str
    client_id: str
    scope: str
    proofs: Proofs
    via: str = ""


def begin_grant(connection: Connection, agreed: Agreement, visitor: Visitor, now: int) -> Tokens:
    """A new session for what a person agreed to, and its first refresh token, for who asks for it.

    Raises:
        InvalidGrant: the person is disabled, or logged out since.
    """
    user = find_user(connection, agreed.user_id)
    lives = sessions.hold_browser_session(connection, agreed.browser_session_id, now)
    if user is None or user.disabled or not lives:
        raise InvalidGrant("This login has ended. Log in again.")
    by_sso = any(proof.amr.startswith("sso:") for proof in agreed.proofs)
    session = GrantSession(
        sid=str(uuid.uuid4()),
        handle=str(uuid.uuid4()),
        user=user,
        browser_session_id=agreed.browser_session_id,
        client_id=agreed.client_id,
        scope=agreed.scope,
        proofs=agreed.proofs,
        via=agreed.via,
        expires_at=now + (SSO_LIFETIME if by_sso else GRANT_LIFETIME),
    )
    sessions.add_grant_session(connection, session, now, **vars(visitor))
    refresh_token = new_secret()
    store.add_refresh_token(connection, hash_of(refresh_token), session.sid, now)
    return Tokens(session, refresh_token)
