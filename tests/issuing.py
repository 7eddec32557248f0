"""Sessions, tokens and keys to ask for certificates with."""

from __future__ import annotations

import base64
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select
from starlette.testclient import TestClient

from ca.app import create_app
from ca.identity.proofs import Proof
from ca.keys.files import public_blob, public_line
from ca.oauth.tokens import issue_access_token
from ca.store import sessions
from ca.store.engine import reading, writing
from ca.store.sessions import GrantSession
from ca.store.tables import audit_records, certificates
from sshd_hook.certificate import Certificate, parse
from sshd_hook.wire import unb64
from tests.web import ISSUER, add_person, user_of

if TYPE_CHECKING:
    from httpx2 import Response
    from sqlalchemy import Engine

    from ca.services import Services

DAY = 86400


def add_session(
    services: Services, username: str = "alice", *, amr: str = "pwd", via: str = "", life: int = DAY
) -> GrantSession:
    """The session of a new person who just proved the factors in `amr`."""
    now = int(time.time())
    person = add_person(services, username)
    session = GrantSession(
        sid=str(uuid.uuid4()),
        handle=str(uuid.uuid4()),
        user=user_of(services, person),
        browser_session_id=str(uuid.uuid4()),
        client_id="amrgate",
        scope="offline_access",
        proofs=tuple(Proof(one, now) for one in amr.split()),
        via=via,
        expires_at=now + life,
    )
    with writing(services.engine) as connection:
        sessions.add_grant_session(connection, session, now)
    return session


def token_of(services: Services, session: GrantSession) -> str:
    """An access token of the session."""
    now = int(time.time())
    return issue_access_token(services.keys.token, services.settings.issuer, session, now)


def new_key() -> str:
    """A public key that nobody had before, as a line."""
    return public_line(public_blob(Ed25519PrivateKey.generate()))


def post(services: Services, token: str | None, **fields: Any) -> Response:
    """POST /ssh; a new key goes along unless there is one in `fields`."""
    headers = {"authorization": f"Bearer {token}"} if token is not None else {}
    http = TestClient(create_app(services), base_url=ISSUER)
    response: Response = http.post("/ssh", json={"key": new_key()} | fields, headers=headers)
    return response


def issue(services: Services, session: GrantSession, **fields: Any) -> str:
    """The certificate, as a line, that the session gets."""
    response = post(services, token_of(services, session), **fields)
    assert response.status_code == 200, response.text
    line: str = response.json()["certificate"]
    return line


def read(line: str) -> Certificate:
    """The certificate of a line."""
    return parse(unb64(line.split(" ")[1]))[0]


def intents(engine: Engine) -> list[bytes]:
    """The bytes that are on record as to be signed, in order."""
    with reading(engine) as connection:
        details = connection.execute(
            select(audit_records.c.detail)
            .where(audit_records.c.event == "certificate:intent")
            .order_by(audit_records.c.seq)
        ).scalars()
        return [base64.b64decode(json.loads(detail)["to_be_signed"]) for detail in details]


def wait_for_outcomes(engine: Engine) -> dict[int, str]:
    """What became of each certificate, once that is known of all."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with reading(engine) as connection:
            rows = connection.execute(select(certificates.c.serial, certificates.c.outcome)).all()
        if all(row.outcome for row in rows):
            return {row.serial: row.outcome for row in rows}
        time.sleep(0.02)
    raise AssertionError(rows)
