"""Certificates of a CA in a private machine, for people whose login is not what is tested.

Run as `python -m tests.issue_inside DATA PASSPHRASE-FILE`, with JSON on standard input: a user name,
a public key and the factors that were shown for each session. For each it prints the session's
handle, which is its refresh token as well, and two certificates.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from ca import settings
from ca.directory import people
from ca.identity.proofs import Proof
from ca.identity.sessions import hash_of
from ca.issuance.sign import Bearer, Issuer
from ca.issuance.subject_key import parse_subject_key
from ca.keys import keyring
from ca.keys.files import public_line
from ca.store import oauth, sessions
from ca.store.engine import open_engine, writing
from ca.store.sessions import GrantSession

if TYPE_CHECKING:
    from sqlalchemy import Engine

HOUR = 3600


def begin_session(engine: Engine, username: str, factors: list[str], now: int) -> GrantSession:
    with writing(engine) as connection:
        session = GrantSession(
            sid=str(uuid.uuid4()),
            handle=str(uuid.uuid4()),
            user=people.find(connection, username),
            browser_session_id="",
            client_id="amrgate",
            scope="",
            proofs=tuple(Proof(factor, now) for factor in factors),
            via="",
            expires_at=now + HOUR,
        )
        sessions.add_grant_session(connection, session, now)
        oauth.add_refresh_token(connection, hash_of(session.handle), session.sid, now)
    return session


async def issue(issuer: Issuer, session: GrantSession, key: str, now: int) -> list[str]:
    bearer = Bearer(session.user.id, session.sid, str(uuid.uuid4()))
    blobs = [
        await issuer.issue_user(bearer, parse_subject_key(key), HOUR, now) for _number in range(2)
    ]
    return [public_line(blob) for blob in blobs]


def main(data: Path, passphrase: bytes) -> None:
    engine = open_engine(settings.read(data).database)
    issuer = Issuer(engine, keyring.unlock(data, passphrase))
    now = int(time.time())
    given = []
    for username, key, factors in json.load(sys.stdin):
        session = begin_session(engine, username, factors, now)
        given.append((session.handle, asyncio.run(issue(issuer, session, key, now))))
    issuer.close()
    json.dump(given, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).read_bytes().strip())
