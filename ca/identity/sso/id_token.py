"""Checking an ID token (OpenID Connect Core 1.0, section 3.1.3.7). Pure.

joserfc checks the signature; every claim is looked at here.
"""

import hmac
from dataclasses import dataclass
from typing import Any

from authlib.oidc.core.util import create_half_hash
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from ca.identity.sso.networks import Refused

# What a provider signs with its private key: never a secret that we share with it, never "none".
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
MAX_TOKEN = 32 << 10  # characters
MAX_SUBJECT = 255  # characters (section 2)
SKEW = 300  # seconds that clocks may differ
CLOCK = 60  # likewise, where that makes a login newer than it is
MAX_AGE = 600  # seconds since a token was made
MIN_RSA = 2048  # bits
MAX_TIME = 1 << 40  # seconds since the epoch


class TooOld(Refused):
    """A login that is right, and too long ago."""


@dataclass(frozen=True)
class Expected:
    """What the token must say: `since` is the earliest login there that counts.

    `undated` is whether a login will do of which the provider does not say when it was.
    """

    issuer: str
    client_id: str
    nonce: str
    access_token: str
    since: int  # seconds since the epoch
    undated: bool


@dataclass(frozen=True)
class Login:
    """Who logged in at the provider, when at the earliest, and how, in its own words."""

    subject: str
    auth_time: int
    amr: frozenset[str]


def read(token: str, keys: dict[str, object], expected: Expected, now: int) -> Login:
    """What a token says that the keys at the provider's `jwks_uri` signed.

    Raises:
        Refused: it does not count; the message says why.
    """
    _check(0 < len(token) <= MAX_TOKEN, "no token")
    try:
        signed = jwt.decode(token, _usable(keys), algorithms=list(ALGORITHMS))
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Refused(f"signature: {type(error).__name__}") from error
    header, claims = signed.header, signed.claims
    _check("crit" not in header and header.get("b64", True) is True, "a critical header")
    _check(claims.get("iss") == expected.issuer, "another issuer")
    _check_audience(claims, expected.client_id)
    _check_times(claims, now)
    _check(_same(claims.get("nonce"), expected.nonce), "another nonce")
    if "at_hash" in claims:
        half = create_half_hash(expected.access_token, header["alg"])
        _check(half is not None and _same(claims["at_hash"], half.decode()), "another at_hash")
    return Login(_subject(claims), _auth_time(claims, expected, now), _amr(claims))


def _usable(keys: dict[str, object]) -> KeySet:
    """The asymmetric keys among them: an HMAC key would be everybody's who reads them."""
    listed = keys.get("keys")
    _check(isinstance(listed, list), "no keys")
    good = [
        key
        for key in listed  # type: ignore[attr-defined]  # just checked
        if isinstance(key, dict)
        and key.get("kty") in ("RSA", "EC", "OKP")
        and key.get("use", "sig") == "sig"
    ]
    _check(bool(good), "no keys that sign")
    found = KeySet.import_key_set({"keys": good})
    for key in found.keys:
        size = getattr(key.public_key, "key_size", MIN_RSA)
        _check(key.key_type != "RSA" or size >= MIN_RSA, "a weak key")
    return found


def _subject(claims: dict[str, Any]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT:
        raise Refused("no subject")
    _check(subject.isascii() and subject.isprintable(), "a subject that is not plain text")
    return subject


def _check_audience(claims: dict[str, Any], client_id: str) -> None:
    audience = claims.get("aud")
    listed = audience if isinstance(audience, list) else [audience]
    _check(client_id in listed, "another audience")
    # Who else it is for could use it here as well (section 3.1.3.7, steps 3 to 5).
    _check(listed == [client_id] or "azp" in claims, "other audiences, and no azp")
    _check(all(isinstance(one, str) for one in listed), "audiences that are no texts")
    _check(claims.get("azp", client_id) == client_id, "another azp")


def _check_times(claims: dict[str, Any], now: int) -> None:
    _check(_time(claims, "exp") > now, "expired")
    _check(now - MAX_AGE <= _time(claims, "iat") <= now + SKEW, "not made just now")
    _check("nbf" not in claims or _time(claims, "nbf") <= now + SKEW, "not valid yet")


def _auth_time(claims: dict[str, Any], expected: Expected, now: int) -> int:
    if claims.get("auth_time") is None:
        if not expected.undated:
            raise TooOld("it does not say when the login was")
        return expected.since
    moment = _time(claims, "auth_time")
    _check(moment <= now + SKEW, "a login in the future")
    if moment < expected.since - CLOCK:
        raise TooOld("an older login than was asked for")
    return min(max(moment, expected.since), now)


def _amr(claims: dict[str, Any]) -> frozenset[str]:
    values = claims.get("amr", [])
    _check(isinstance(values, list) and all(isinstance(one, str) for one in values), "amr")
    return frozenset(values)


def _time(claims: dict[str, Any], name: str) -> int:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MAX_TIME:
        raise Refused(f"{name} is no time")
    return int(value)


def _same(value: object, expected: str) -> bool:
    return isinstance(value, str) and hmac.compare_digest(value.encode(), expected.encode())


def _check(good: bool, fault: str) -> None:  # noqa: FBT001 -- what is checked
    if not good:
        raise Refused(fault)
