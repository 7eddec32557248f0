"""A directory to test with, and people in it who are logged in one way or another."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import uvicorn
from sqlalchemy import select
from starlette.testclient import TestClient

from ca.app import create_app
from ca.directory.apply.document import Document
from ca.directory.apply.execute import apply
from ca.identity.proofs import Proof
from ca.issuance.writer import OUTCOME
from ca.oauth.tokens import issue_access_token
from ca.store import applied, directory, people, sessions
from ca.store.engine import reading, writing
from ca.store.items import Items
from ca.store.sessions import GrantSession
from ca.store.tables import audit_records
from tests.web import ISSUER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine
    from starlette.types import ASGIApp

    from ca.directory.apply.diff import Change
    from ca.services import Services

ACME = (Path(__file__).parent.parent / "examples" / "acme.toml").read_text()
# What else such a file may say, to be put behind ACME, or in its place.
REQUIREMENT = """
[organizations.acme.requirement]
amr = ["mfa", "sso:acme"]
max_age = 3600
networks = ["192.0.2.0/24", "2001:db8::/32"]
device = true
"""
CLIENT = ACME.replace(
    "[organizations.acme.sso.acme]",
    """[organizations.acme.sso.acme]
label = "Acme's"
issuer = "https://login.acme.example"
client_id = "amrgate"
scopes = ["openid", "profile"]
mfa_values = ["mfa"]""",
)
OTHER = """
[organizations.other]
members = { mallory = "owner" }
"""
SERVICE = "abcdefg123456-main-bvxea6i--app"
ADDRESS = "192.0.2.7"


def apply_text(engine: Engine, text: str) -> list[Change]:
    return apply(engine, Document(text, "acme.toml"), "operator test").changes


def apply_over_all(engine: Engine, text: str) -> None:
    """Make the directory equal to `text`, whoever made what is in it."""
    with writing(engine) as connection:
        applied.put(connection, Items(connection).read())
    apply_text(engine, text)


def version(engine: Engine) -> int:
    with reading(engine) as connection:
        return directory.version(connection)


def records(engine: Engine) -> list[tuple[str, str, str]]:
    """Event, actor and subject of all records but outcomes: those come some time later."""
    columns = audit_records.c
    told = (
        select(columns.event, columns.actor, columns.subject)
        .where(columns.event != OUTCOME)
        .order_by(columns.seq)
    )
    with reading(engine) as connection:
        return [tuple(row) for row in connection.execute(told)]


def log_in(services: Services, username: str, *amr: str, ago: int = 0, via: str = "") -> Api:
    """The API as somebody sees it who proved `amr`, some seconds ago."""
    now = int(time.time())
    with writing(services.engine) as connection:
        user = people.find_user_by_name(connection, username)
        assert user
        session = GrantSession(
            sid=str(uuid.uuid4()),
            handle=str(uuid.uuid4()),
            user=user,
            browser_session_id="",
            client_id="amrgate",
            scope="",
            proofs=tuple(Proof(one, now - ago) for one in amr),
            via=via,
            expires_at=now + 3600,
        )
        sessions.add_grant_session(connection, session, now)
    token = issue_access_token(services.keys.token, ISSUER, session, now)
    return Api(services, token, session)


@lru_cache(maxsize=2)
def app_of(services: Services) -> ASGIApp:
    """The service's application, one for everybody: what a worker keeps, it keeps here too."""
    return create_app(services)


class Api:
    """The API with one access token."""

    def __init__(self, services: Services, token: str, session: GrantSession) -> None:
        self.user = session.user
        self.session = session
        self.http = TestClient(
            app_of(services),
            base_url=ISSUER,
            client=(ADDRESS, 1),
            headers={"authorization": f"Bearer {token}"},
        )

    def get(self, path: str) -> Any:
        return self.http.get(path)

    def post(self, path: str, body: Any = None) -> Any:
        return self.http.post(path) if body is None else self.http.post(path, json=body)


@contextmanager
def served(services: Services) -> Iterator[httpx2.Client]:
    """A client of the service over TCP: all requests in one event loop, as in a worker."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(create_app(services), log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        with httpx2.Client(base_url=url, timeout=60, trust_env=False, verify=False) as client:
            yield client
        server.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive()


def line_of(text: str, what: str) -> int:
    return next(n for n, line in enumerate(text.split("\n"), 1) if what in line)
