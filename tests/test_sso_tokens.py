"""What a provider's ID token must say, and who must have signed it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jws
from joserfc.jwk import RSAKey

from ca.identity.sso import id_token
from ca.identity.sso.id_token import Expected, Login
from ca.identity.sso.networks import Refused
from tests.providers import SECRET, OpenIDProvider, sign_on, signing_key
from tests.web import ISSUER, Browser, Client, Person

if TYPE_CHECKING:
    from collections.abc import Callable

    from ca.services import Services


NOW = int(time.time())
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "key-1"})


@pytest.mark.attack(135, 136)
@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"iss": "https://evil.example"}, id="iss"),
        pytest.param({"iss": f"{ISSUER}/other-tenant"}, id="another tenant"),
        pytest.param({"iss": None}, id="no iss"),
        pytest.param({"aud": "other"}, id="aud"),
        pytest.param({"aud": None}, id="no aud"),
        pytest.param({"aud": ["amrgate", "other"]}, id="others, no azp"),
        pytest.param({"aud": ["amrgate", "other"], "azp": "other"}, id="azp"),
        pytest.param({"azp": "other"}, id="azp alone"),
        pytest.param({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, id="at_hash"),
        pytest.param({"exp": NOW - 1}, id="expired"),
        pytest.param({"exp": None}, id="no exp"),
        pytest.param({"exp": "9999999999"}, id="exp is a text"),
        pytest.param({"iat": NOW - 3600}, id="old"),
        pytest.param({"iat": NOW + 3600}, id="from the future"),
        pytest.param({"nbf": NOW + 3600}, id="not valid yet"),
        pytest.param({"nonce": None}, id="no nonce"),
        pytest.param({"nonce": "other"}, id="nonce"),
        pytest.param({"sub": None}, id="no sub"),
        pytest.param({"sub": ""}, id="empty sub"),
        pytest.param({"sub": 7}, id="sub is a number"),
        pytest.param({"sub": "x" * 256}, id="long sub"),
        pytest.param({"auth_time": NOW + 3600}, id="a login in the future"),
        pytest.param({"auth_time": True}, id="auth_time is no time"),
        pytest.param({"amr": "mfa"}, id="amr is a text"),
    ],
)
def test_a_claim_that_is_not_right(claims: dict[str, Any]) -> None:
    provider = OpenIDProvider("https://login.acme.example")
    assert read(provider).subject == "alice-at-acme"
    provider.claims = claims
    with pytest.raises(Refused):
        read(provider)


def read(provider: OpenIDProvider) -> Login:
    """Who logs in, by a token of the provider's."""
    challenge = create_s256_code_challenge("a verifier")
    back = "https://ca.example/back"
    provider.codes["code"] = {"code_challenge": challenge, "redirect_uri": back, "nonce": "nonce"}
    form = {"code": "code", "code_verifier": "a verifier", "redirect_uri": back}
    _status, said = provider.token(form)
    now = int(time.time())
    expected = Expected(
        provider.url, "amrgate", "nonce", said["access_token"], since=now - 86400, undated=True
    )
    return id_token.read(said["id_token"], provider.jwks(), expected, now)


@pytest.mark.attack(136)
def test_a_token_that_does_not_count_logs_nobody_in(
    sso_acme: Services, provider: OpenIDProvider, dora: Person
) -> None:
    provider.claims = {"aud": "other"}
    refused(sso_acme, provider)
    assert dora


UNREADABLE: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "lists in lists": lambda _right: b"[" * 5000,
    "half a character": lambda right: json.dumps({**right, "nonce": "\ud800"}).encode(),
}


@pytest.mark.attack(136)
@pytest.mark.parametrize("payload", UNREADABLE)
def test_a_token_that_cannot_be_read_is_the_providers_fault(
    sso_acme: Services, provider: OpenIDProvider, dora: Person, payload: str
) -> None:
    now = int(time.time())
    right = {"iss": provider.url, "aud": "amrgate", "sub": "dora", "iat": now, "exp": now + 300}
    token = jws.serialize_compact(provider.header, UNREADABLE[payload](right), signing_key())
    answer = json.dumps({"access_token": "an access token", "id_token": token}).encode()
    provider.answers = {"/token": lambda: (200, {}, answer)}
    refused(sso_acme, provider)
    assert dora


def refused(services: Services, provider: OpenIDProvider) -> None:
    browser, client = Browser(services), Client(services)
    page = sign_on(browser, provider, browser.get(client.url(amr="sso:acme")))
    assert page.status_code == 503, page.text
    assert "Try again" in page.text
    assert browser.cookie == ""


@pytest.mark.attack(136)
@pytest.mark.parametrize(
    ("header", "key"),
    [
        pytest.param({"alg": "none"}, None, id="none"),
        pytest.param({"alg": "HS256"}, SECRET.encode(), id="our secret"),
        pytest.param(
            {"alg": "HS256", "kid": "key-1"},
            signing_key().as_pem(private=False),
            id="its public key as a secret",
        ),
        pytest.param({"alg": "RS256", "kid": "key-1"}, OTHER_KEY, id="another key"),
        pytest.param({"alg": "RS256", "kid": "key-2"}, OTHER_KEY, id="an unknown kid"),
        pytest.param(
            {"alg": "RS256", "kid": "key-1", "jwk": OTHER_KEY.as_dict(private=False)},
            OTHER_KEY,
            id="a key of its own in the header",
        ),
        pytest.param(
            {"alg": "RS256", "kid": "key-1", "b64": True, "crit": ["b64"]}, None, id="crit"
        ),
    ],
)
def test_a_signature_that_is_not_the_providers(header: dict[str, Any], key: Any) -> None:
    provider = OpenIDProvider("https://login.acme.example", header=header, key=key)
    with pytest.raises(Refused, match=r"signature|critical"):
        read(provider)
