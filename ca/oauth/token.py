"""The authorization_code grant: a code, spent in one statement, becomes a session."""

import base64
import hashlib
import hmac
import re

from ca import audit
from ca.identity.sessions import hash_of
from ca.oauth.grants import Agreement, Client, InvalidGrant, Server, Tokens, begin_grant
from ca.store import oauth as store
from ca.store.engine import writing
from ca.store.revocations import Cause
from ca.store.sessions import end_grant_session

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636, section 4.1


def exchange_code(server: Server, client: Client, form: dict[str, str], now: int) -> Tokens:
    """The tokens for a code, to the client that it was given to.

    Whoever gets anything wrong has spent the code: it may have been stolen on its way. A second
    use ends what the first one began (RFC 9700, section 2.1.1).

    Raises:
        InvalidGrant: it is not to be had.
    """
    code_hash = hash_of(form.get("code", ""))
    with writing(server.engine) as connection:
        code = store.spend_code(connection, code_hash, now)
        if code is None:
            sid = store.session_of_code(connection, code_hash)
            cause = Cause(now, client.id, "code:reuse")
            if sid is not None:
                revoked = end_grant_session(connection, sid, cause)
                if revoked is not None:
                    audit.append_revoking(connection, cause, sid, revoked)
        elif _fits(code, client.id, form, now):
            agreed = Agreement(
                user_id=code.user_id,
                browser_session_id=code.browser_session_id,
                client_id=code.client_id,
                scope=code.scope,
                proofs=code.proofs,
            )
            tokens = begin_grant(connection, agreed, client.visitor, now)
            store.note_session_of_code(connection, code_hash, tokens.session.sid)
            detail = {"client": client.id, "amr": sorted(tokens.session.amr)}
            audit.append(connection, "grant:begin", code.user_id, tokens.session.sid, detail)
            return tokens
    raise InvalidGrant("The code is not valid, has expired, or was used before.")


def _fits(code: store.Code, client_id: str, form: dict[str, str], now: int) -> bool:
    return (
        code.client_id == client_id
        and code.redirect_uri == form.get("redirect_uri", "")
        and now < code.expires_at
        and _is_verified(code.code_challenge, form.get("code_verifier", ""))
    )


def _is_verified(challenge: str, verifier: str) -> bool:
    """S256 (RFC 7636, section 4.6)."""
    if not _VERIFIER.fullmatch(verifier):
        return False
    digest = hashlib.sha256(verifier.encode()).digest()
    computed = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return hmac.compare_digest(computed, challenge)
