"""A service in this process, a browser that fills in its pages, and a client that comes back."""

from __future__ import annotations

import base64
import hashlib
import secrets
import socket
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
import uvicorn
from anyio.from_thread import start_blocking_portal
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, select, update
from starlette.testclient import TestClient
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ca.app import create_app, open_services
from ca.identity import accounts, passwords
from ca.identity.sessions import Visitor
from ca.keys import Keyring, Seal
from ca.keys.files import FileSigner
from ca.keys.token import TokenKey
from ca.settings import Settings
from ca.store import people
from ca.store.engine import writing
from ca.store.tables import (
    api_tokens,
    attempts,
    authorization_codes,
    browser_sessions,
    device_codes,
    grant_sessions,
    refresh_tokens,
    totp_credentials,
    totp_enrolments,
    users,
    webauthn_keys,
)
from demo.browser import form_of
from tests.databases import new_sqlite

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator
    from pathlib import Path

    from httpx2 import Response

    from ca.services import Services
    from ca.store.people import User

ISSUER = "http://127.0.0.1:8080"
BACK = "http://127.0.0.1:5000"
PASSWORD = "correct horse battery staple"
VISITOR = Visitor("a test", "192.0.2.7")


QUICK_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
QUICK_NOBODYS = QUICK_HASHER.hash("what nobody types")


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords at the least cost in this process; test_passwords.py has the real one."""
    monkeypatch.setattr(passwords, "_HASHER", QUICK_HASHER)
    monkeypatch.setattr(passwords, "_NOBODYS", QUICK_NOBODYS)


@pytest.fixture(scope="session", autouse=True)
def one_event_loop() -> Iterator[None]:
    """Answer all requests in one event loop, as a worker does: each would begin its own."""
    with pytest.MonkeyPatch.context() as patch, start_blocking_portal() as portal:
        patch.setattr(TestClient, "portal", portal)
        yield


def password_hash() -> str:
    """A hash of PASSWORD that a login finds up to date."""
    return _hash_by(passwords._HASHER)


@cache
def _hash_by(hasher: PasswordHasher) -> str:
    return hasher.hash(PASSWORD)


def _signer() -> FileSigner:
    return FileSigner(Ed25519PrivateKey.generate())


def keyring() -> Keyring:
    return Keyring(
        user_ca=_signer(),
        host_ca=_signer(),
        bundle=_signer(),
        token=TokenKey(Ed25519PrivateKey.generate()),
        seal=Seal(secrets.token_bytes(32)),
        recovery_public_key=_signer().public_key,
    )


@contextmanager
def new_services(
    database_url: str, data: Path, issuer: str = ISSUER, networks: tuple[str, ...] = ()
) -> Iterator[Services]:
    """What a new CA is made of; its database has the tables. Providers may be in `networks`."""
    settings = Settings(
        data=data,
        issuer=issuer,
        listen=urlsplit(issuer).netloc,
        database=database_url,
        provider_networks=networks,
    )
    with open_services(settings, keyring()) as services:
        yield services


@pytest.fixture
def services(database_url: str, tmp_path: Path) -> Iterator[Services]:
    """A new CA, once on each database."""
    with new_services(database_url, tmp_path) as new:
        yield new


@pytest.fixture(scope="module")
def one_ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """One CA on SQLite for all tests of a file, which keep out of each other's way."""
    folder = tmp_path_factory.mktemp("ca")
    with new_services(new_sqlite(folder), folder) as new:
        yield new


@contextmanager
def listening(
    data: Path,
    host: str = "127.0.0.1",
    networks: tuple[str, ...] = (),
    http: type[asyncio.Protocol] = HttpToolsProtocol,
) -> Iterator[Services]:
    """A new CA for those who come over the network; its issuer says where it listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        issuer = f"http://{host}:{listener.getsockname()[1]}"
        with new_services(new_sqlite(data), data, issuer, networks) as services:
            config = uvicorn.Config(create_app(services), http=http, log_config=None)
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            yield services
            server.should_exit = True
            thread.join(timeout=20)
            assert not thread.is_alive()


@dataclass
class Person:
    """Somebody with a password and, it may be, an authenticator app."""

    id: str
    username: str
    secret: str | None = None

    def code(self, *, later: int = 0) -> str:
        """What the app shows now, or some time steps later."""
        assert self.secret
        return pyotp.TOTP(self.secret).at(int(time.time()), counter_offset=later)


def user_of(services: Services, person: Person) -> User:
    with writing(services.engine) as connection:
        found = people.find_user(connection, person.id)
    assert found
    return found


def add_person(services: Services, username: str, *, app: bool = False) -> Person:
    """A person with PASSWORD; with an app, it was set up a day ago."""
    person = Person(str(uuid.uuid4()), username)
    now = int(time.time())
    with writing(services.engine) as connection:
        connection.execute(
            insert(users).values(
                id=person.id,
                username=username,
                email=f"{username}@acme.example",
                name=username.title(),
                created_at=now,
            )
        )
        people.put_password(connection, person.id, password_hash(), now)
        if app:
            person.secret = pyotp.random_base32()
            purpose = accounts.totp_purpose(person.id)
            sealed = services.keys.seal.seal(person.secret.encode(), purpose)
            people.add_totp(connection, person.id, sealed, 0, now - 86400)
    return person


def wind_back(services: Services, person: Person) -> None:
    """Make the app's present code good again: tests do not wait for the next one."""
    with writing(services.engine) as connection:
        connection.execute(
            update(totp_credentials)
            .where(totp_credentials.c.user_id == person.id)
            .values(last_step=0)
        )


def pass_time(services: Services, seconds: int) -> None:
    """Make everything that has happened happen `seconds` earlier."""
    moments = {
        browser_sessions: ("created_at", "seen_at", "ended_at"),
        grant_sessions: ("created_at", "seen_at", "expires_at", "ended_at"),
        authorization_codes: ("expires_at", "used_at"),
        device_codes: ("created_at", "expires_at", "polled_at", "decided_at", "used_at"),
        refresh_tokens: ("issued_at", "used_at"),
        attempts: ("last_at",),
        totp_enrolments: ("issued_at",),
        totp_credentials: ("confirmed_at",),
        webauthn_keys: ("created_at", "used_at"),
        api_tokens: ("created_at", "expires_at", "used_at"),
    }
    with writing(services.engine) as connection:
        for table, names in moments.items():
            connection.execute(
                update(table).values({name: table.c[name] - seconds for name in names})
            )
        for table in (browser_sessions, grant_sessions, authorization_codes, api_tokens):
            key = next(iter(table.primary_key))
            for identity, proofs in connection.execute(select(key, table.c.proofs)).all():
                older = [{**proof, "at": proof["at"] - seconds} for proof in proofs]
                connection.execute(update(table).where(key == identity).values(proofs=older))


class Browser:
    """Follows links and fills in forms, as a browser does, and says where its forms came from."""

    def __init__(self, services: Services, address: str = "192.0.2.7") -> None:
        self.services = services
        self.http = TestClient(
            create_app(services),
            base_url=services.settings.issuer,
            follow_redirects=False,
            client=(address, 1),
        )

    def get(self, url: str) -> Response:
        """The page at `url`, or where that leads to on our site."""
        response: Response = self.http.get(url)
        return self._follow(response)

    def submit(self, page: Response, **typed: str) -> Response:
        """Send the first form of `page` with what was typed; hidden fields go along."""
        form = form_of(page.text)
        assert form, page.text
        return self.post(form.action, form.hidden | typed)

    def post(self, path: str, form: dict[str, str]) -> Response:
        origin = self.services.settings.issuer
        response: Response = self.http.post(path, data=form, headers={"origin": origin})
        return self._follow(response)

    def log_in(self, page: Response, person: Person, password: str = PASSWORD) -> Response:
        """Fill in whatever the login asks for."""
        if 'action="/login"' in page.text:
            page = self.submit(page, username=person.username, password=password)
        if 'action="/login/code"' in page.text:
            wind_back(self.services, person)
            page = self.submit(page, code=person.code())
        return page

    @property
    def cookie(self) -> str:
        return self.http.cookies.get("amrgate") or ""

    def _follow(self, response: Response) -> Response:
        while response.status_code == 303 and response.headers["location"].startswith("/"):
            response = self.http.get(response.headers["location"])
        return response


@dataclass
class Client:
    """A command-line client: public, with PKCE, on a loopback port."""

    services: Services
    client_id: str = "amrgate"
    redirect_uri: str = BACK
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    def url(self, **parameters: str) -> str:
        """Where it sends the browser."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "state": "s" * 43,
            "scope": "offline_access",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            **parameters,
        }
        request = TestClient(create_app(self.services), base_url=ISSUER).build_request(
            "GET", "/oauth2/authorize", params={k: v for k, v in query.items() if v != "-"}
        )
        return str(request.url)

    def log_in(self, browser: Browser, person: Person, **parameters: str) -> str:
        """The code of a whole login with consent."""
        page = browser.log_in(browser.get(self.url(**parameters)), person)
        return code_of(browser.submit(page, decision="allow"))

    def exchange(self, code: str, **changed: str) -> Response:
        return self.token(
            **{
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": self.redirect_uri,
                "code_verifier": self.verifier,
                "client_id": self.client_id,
                **changed,
            }
        )

    def refresh(self, token: str, **changed: str) -> Response:
        return self.token(
            **{
                "grant_type": "refresh_token",
                "refresh_token": token,
                "client_id": self.client_id,
                **changed,
            }
        )

    def api(self, method: str, path: str, token: str, json: object = None) -> Response:
        """A call of the API with an access token."""
        http = TestClient(create_app(self.services), base_url=ISSUER)
        headers = {"authorization": f"Bearer {token}"}
        response: Response = http.request(method, path, headers=headers, json=json)
        return response

    def tokens(self, person: Person) -> dict[str, str]:
        """The tokens of a whole login in a browser of its own."""
        answer = self.exchange(self.log_in(Browser(self.services), person))
        assert answer.status_code == 200, answer.text
        tokens: dict[str, str] = answer.json()
        return tokens

    def token(self, **form: str) -> Response:
        http = TestClient(create_app(self.services), base_url=ISSUER)
        response: Response = http.post(
            "/oauth2/token", data={k: v for k, v in form.items() if v != "-"}
        )
        return response


def code_of(response: Response) -> str:
    """The code in the way back to the client."""
    assert response.status_code == 303, response.text
    query = parse_qs(urlsplit(response.headers["location"]).query)
    assert "code" in query, response.headers["location"]
    return query["code"][0]
