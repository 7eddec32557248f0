"""OpenID providers that the tests write: an honest one, whose every answer a test can change."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from ca.identity.sso.providers import secret_purpose
from ca.store import sso as store
from ca.store.directory import find_organization
from ca.store.engine import writing
from ca.store.sso import Identity, Provider
from tests.databases import new_sqlite
from tests.directory import ACME, apply_text
from tests.oauth import claims_of
from tests.web import Browser, Client, Person, add_person, code_of, new_services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from httpx2 import Response

    from ca.services import Services

NETWORKS = ("127.0.0.0/8",)
SECRET = "the secret that acme's provider gave us"


@cache
def signing_key(name: str = "key-1") -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": name, "use": "sig"})


@dataclass
class OpenIDProvider:
    """What it answers; tests change it."""

    url: str = ""
    subject: str = "alice-at-acme"
    client_id: str = "amrgate"
    names_itself: bool = True
    claims: dict[str, Any] = field(default_factory=dict)
    """Put in place of the ID token's right claims; None takes one away."""
    header: dict[str, Any] = field(default_factory=lambda: {"alg": "RS256", "kid": "key-1"})
    key: Any = None
    """What signs in place of the right key."""
    metadata: dict[str, Any] = field(default_factory=dict)
    keys: list[dict[str, Any]] | None = None
    answers: dict[str, Callable[[], tuple[int, dict[str, str], bytes]]] = field(
        default_factory=dict
    )
    """Whole answers at a path."""
    asked: dict[str, str] = field(default_factory=dict)
    """The parameters of the last request for authorization."""
    seen: list[str] = field(default_factory=list)
    logged_in_at: int | None = None
    """When its session began; without one, people log in at once."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def authorize(self, location: str) -> str:
        """Somebody logs in there: where their browser is sent back to."""
        self.asked = dict(parse_qsl(urlsplit(location).query))
        code = secrets.token_urlsafe(16)
        self.codes[code] = self.asked
        back = {"code": code, "state": self.asked["state"]}
        if self.names_itself:
            back["iss"] = self.url
        return f"{self.asked['redirect_uri']}?{urlencode(back)}"

    def discovery(self) -> dict[str, Any]:
        right = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "authorization_response_iss_parameter_supported": self.names_itself,
        }
        return right | self.metadata

    def jwks(self) -> dict[str, Any]:
        return {"keys": self.keys or [signing_key().as_dict(private=False)]}

    def token(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        asked = self.codes.pop(form["code"], None)
        if asked is None:
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = _base64url(digest)
        if challenge != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        access_token = "an access token"
        half = hashlib.sha256(access_token.encode()).digest()[:16]
        now = int(time.time())
        right = {
            "iss": self.url,
            "sub": self.subject,
            "aud": self.client_id,
            "exp": now + 300,
            "iat": now,
            "nonce": asked["nonce"],
            "auth_time": self.logged_in_at or now,
            "at_hash": _base64url(half),
        }
        claims = {name: value for name, value in (right | self.claims).items() if value is not None}
        token = self.signed(claims)
        return 200, {"access_token": access_token, "token_type": "Bearer", "id_token": token}

    def signed(self, claims: dict[str, Any]) -> str:
        alg = self.header["alg"]
        if alg == "RS256":
            return jwt.encode(self.header, claims, self.key or signing_key(), algorithms=[alg])
        # No library signs like this.
        parts = [_base64url(json.dumps(part).encode()) for part in (self.header, claims)]
        content = ".".join(parts)
        mac = hmac.digest(self.key, content.encode(), "sha256") if alg == "HS256" else b""
        return f"{content}.{_base64url(mac)}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class _Server(ThreadingHTTPServer):
    provider: OpenIDProvider

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever has heard enough hangs up, as they should."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]  # what serves it

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.server.provider.seen.append(path)
        provider = self.server.provider
        if path in provider.answers:
            self._send(*provider.answers[path]())
        elif path == "/authorize":
            self._send(303, {"location": provider.authorize(self.path)}, b"")
        elif path == "/keys":
            self._json(200, provider.jwks())
        else:
            self._json(200, provider.discovery())

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        self.server.provider.seen.append(path)
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        provider = self.server.provider
        if path in provider.answers:
            self._send(*provider.answers[path]())
        else:
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self._json(*provider.token(form))

    def _json(self, status: int, value: Any) -> None:
        self._send(status, {"content-type": "application/json"}, json.dumps(value).encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *_args: Any) -> None:  # noqa: A002 its name
        """Say nothing."""


@contextmanager
def a_provider() -> Iterator[OpenIDProvider]:
    """An honest provider, to be changed."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.provider = OpenIDProvider(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server.provider
    server.shutdown()
    thread.join()
    server.server_close()


def reaching(services: Services) -> Services:
    """The same service, whose operator has providers on this machine."""
    settings = replace(services.settings, provider_networks=NETWORKS)
    return replace(services, settings=settings)


def register(  # noqa: PLR0913 how a provider is known
    services: Services,
    provider: OpenIDProvider,
    slug: str = "acme",
    organization: str = "acme",
    *,
    mfa_values: tuple[str, ...] = (),
    domains: tuple[str, ...] = (),
) -> Provider:
    """Make it a provider of an organization, which may have the slug already."""
    purpose = secret_purpose(slug, provider.url)
    with writing(services.engine) as connection:
        found = find_organization(connection, organization)
        assert found
        store.add_provider(connection, slug, found.id)
        made = Provider(
            slug=slug,
            organization_id=found.id,
            label=slug.title(),
            issuer=provider.url,
            client_id=provider.client_id,
            client_secret_sealed=services.keys.seal.seal(SECRET.encode(), purpose),
            scopes=("openid",),
            mfa_values=mfa_values,
            domains=domains,
            tested_at=None,
        )
        store.put_client(connection, made)
    return made


def link(services: Services, person: Person, provider: OpenIDProvider, slug: str = "acme") -> None:
    """Let somebody have been linked to who they are there, a day ago."""
    made = int(time.time()) - 86400
    identity = Identity(
        f"{slug}-{person.username}"[:36],
        person.id,
        provider.url,
        provider.subject,
        slug,
        made,
        None,
    )
    with writing(services.engine) as connection:
        assert store.add_identity(connection, identity)


@pytest.fixture
def sso_acme(tmp_path: Path) -> Iterator[Services]:
    """A CA with acme's directory, which reaches the providers of this machine."""
    with new_services(new_sqlite(tmp_path), tmp_path) as services:
        apply_text(services.engine, ACME)
        yield reaching(services)


@pytest.fixture
def provider() -> Iterator[OpenIDProvider]:
    with a_provider() as one:
        yield one


@pytest.fixture
def dora(sso_acme: Services, provider: OpenIDProvider) -> Person:
    """Somebody with a password, whose account at acme's provider is linked."""
    register(sso_acme, provider)
    person = add_person(sso_acme, "dora")
    link(sso_acme, person, provider)
    return person


def go(browser: Browser, page: Response) -> str:
    """Follow the page's link to the provider: its URL."""
    href = page.text.split('class="button" href="')[1].split('"')[0].replace("&amp;", "&")
    sent = browser.http.get(href)
    assert sent.status_code == 303, sent.text
    return str(sent.headers["location"])


def sign_on(browser: Browser, provider: OpenIDProvider, page: Response) -> Response:
    """From the page that leads to the provider, over it, to the page after."""
    return browser.get(provider.authorize(go(browser, page)))


def tokens(client: Client, browser: Browser, page: Response) -> dict[str, Any]:
    """The access token's claims of a login whose consent is asked for."""
    answer = client.exchange(code_of(browser.submit(page, decision="allow")))
    assert answer.status_code == 200, answer.text
    return claims_of(answer.json()["access_token"])
