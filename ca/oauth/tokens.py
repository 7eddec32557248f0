"""Access tokens: JWTs by RFC 9068, signed with Ed25519, good for a quarter of an hour.

A token alone opens nothing: whoever takes one also asks whether its session still lives
(`ca.store.sessions.live_session`).
"""

import base64
import hashlib
import json
import uuid
from dataclasses import dataclass
from functools import lru_cache

import jwt
import jwt.utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.errors import NotAuthenticated
from ca.keys.token import TokenKey
from ca.store.sessions import GrantSession

LIFETIME = 900  # seconds
TYPE = "at+jwt"
ALGORITHM = "EdDSA"
MAX_LENGTH = 4096  # characters
REMEMBERED = 2048  # tokens that a worker has verified: at most 16 MB (docs/decisions/0040)

NOT_VALID = "The access token is not valid, or has expired."
REQUIRED = ("iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "sid", "amr")


@dataclass(frozen=True)
class AccessToken:
    """What a token says, after every check."""

    sub: str
    sid: str
    client_id: str
    scope: str
    amr: frozenset[str]
    auth_time: int | None
    via: str
    jti: str
    iat: int
    exp: int


def issue_access_token(key: TokenKey, issuer: str, session: GrantSession, now: int) -> str:
    """A token of `session`.

    The payload is ASCII without `>`, `?` and `~`, so that its base64url is also plain base64,
    which is all that some existing clients can read.
    """
    claims: dict[str, object] = {
        "iss": issuer,
        "aud": issuer,
        "sub": session.user.id,
        "exp": now + LIFETIME,
        "iat": now,
        "jti": str(uuid.uuid4()),
        "client_id": session.client_id,
        "scope": session.scope,
        "sid": session.sid,
        "amr": sorted(session.amr),
    }
    if session.auth_time is not None:
        claims["auth_time"] = session.auth_time
    if session.via:
        claims["via"] = session.via
    headers = {"typ": TYPE, "kid": key_id(key.private_key.public_key())}
    return jwt.encode(claims, key.private_key, algorithm=ALGORITHM, headers=headers)


def verify_access_token(key: TokenKey, issuer: str, token: str, now: int) -> AccessToken:
    """Read a token of ours.

    Raises:
        NotAuthenticated: it is no access token of ours, or has expired.
    """
    try:
        found, until = _verify(key, issuer, token)
    except (jwt.InvalidTokenError, TypeError, ValueError, RecursionError) as error:
        raise NotAuthenticated(NOT_VALID) from error
    if found.exp <= now or (until is not None and until <= now):
        raise NotAuthenticated(NOT_VALID)
    return found


# What it returns depends on nothing but its arguments: neither on the time nor on the database,
# which are asked each time. What it raises is not remembered, so nobody fills it with rubbish.
@lru_cache(maxsize=REMEMBERED)
def _verify(key: TokenKey, issuer: str, token: str) -> tuple[AccessToken, int | None]:
    """Check all of a token but its time; what it says, and until when its key counts, if not ever.

    Every check is spelt out, also where it is PyJWT's default. The header's `alg` only has to
    agree with ours, and a `jwk`, `jku`, `x5u` or `x5c` in it is never looked at: the key is ours.
    """
    keys = _public_keys(key)
    kid = _checked_kid(token)
    if kid not in keys:
        raise jwt.InvalidTokenError("another key")
    public_key, until = keys[kid]
    claims = jwt.decode(
        token,
        public_key,
        algorithms=[ALGORITHM],
        issuer=issuer,
        audience=issuer,
        options={
            "require": list(REQUIRED),
            "verify_signature": True,
            "verify_iss": True,
            "verify_aud": True,
            "strict_aud": True,  # one audience, and it is ours
            "verify_sub": True,
            "verify_jti": True,
            # Our caller compares it with the time that the whole request goes by.
            "verify_exp": False,
            "verify_iat": False,
            "verify_nbf": False,
        },
    )
    return _read(claims), until


def key_id(public_key: Ed25519PublicKey) -> str:
    """The thumbprint of the key (RFC 7638; RFC 8037, appendix A.3)."""
    members = json.dumps(_public_members(public_key), sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(members.encode()).digest())


def jwks(key: TokenKey, now: int) -> dict[str, list[dict[str, str]]]:
    """The public keys that access tokens are checked with (RFC 7517)."""
    return {
        "keys": [
            {**_public_members(public_key), "kid": kid, "use": "sig", "alg": ALGORITHM}
            for kid, (public_key, until) in _public_keys(key).items()
            if until is None or now < until
        ]
    }


def _public_keys(key: TokenKey) -> dict[str, tuple[Ed25519PublicKey, int | None]]:
    """Who may have signed a token, by key id, and until when that counts, if not for ever."""
    present = key.private_key.public_key()
    found: dict[str, tuple[Ed25519PublicKey, int | None]] = {key_id(present): (present, None)}
    if key.before is not None:
        # The present key last: a change that was cut short has named it as the one before.
        before = key.before
        found = {key_id(before.public_key): (before.public_key, before.until)} | found
    return found


def _checked_kid(token: str) -> str:
    """The id of the key that signed a token, whose header says nothing that it must not."""
    if len(token) > MAX_LENGTH:
        raise jwt.InvalidTokenError("too long")
    # Read here once; PyJWT, which is stricter about the form, reads both again below.
    header, _payload = (
        json.loads(jwt.utils.base64url_decode(part), object_pairs_hook=_unique)
        for part in token.split(".")[:2]
    )
    if not isinstance(header, dict):
        raise jwt.InvalidTokenError("the header is no object")
    if header.get("typ") != TYPE or header.get("alg") != ALGORITHM:
        raise jwt.InvalidTokenError("another kind of token")
    if "crit" in header or "b64" in header:
        raise jwt.InvalidTokenError("an extension that we do not know")
    return str(header.get("kid"))


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # Two parsers may each take another of two claims of one name.
    found = dict(pairs)
    if len(found) != len(pairs):
        raise jwt.InvalidTokenError("a name stands twice")
    return found


def _read(claims: dict[str, object]) -> AccessToken:
    amr = claims["amr"]
    exp, iat = claims["exp"], claims["iat"]
    auth_time = claims.get("auth_time")
    if not (isinstance(exp, int) and isinstance(iat, int) and isinstance(amr, list)):
        raise TypeError("not the claims of an access token")
    if not (auth_time is None or isinstance(auth_time, int)):
        raise TypeError("not the claims of an access token")
    return AccessToken(
        sub=str(claims["sub"]),
        sid=str(claims["sid"]),
        client_id=str(claims["client_id"]),
        scope=str(claims["scope"]),
        amr=frozenset(str(value) for value in amr),
        auth_time=auth_time,
        via=str(claims.get("via", "")),
        jti=str(claims["jti"]),
        iat=iat,
        exp=exp,
    )


def _public_members(public_key: Ed25519PublicKey) -> dict[str, str]:
    raw = public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
