"""A client that exchanges codes and refresh tokens, at whichever node."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import TYPE_CHECKING

from ca.identity.proofs import Proof
from ca.identity.sessions import hash_of, new_secret
from ca.store import oauth
from ca.store.engine import writing
from ca.store.oauth import Code
from tests.drills.people import begin_sessions, newcomer
from tests.web import BACK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.drills.nodes import Answer, Caller, Nodes

BATCH = 50  # codes given together


class Client:
    """A client with codes that a person gave it; the pages of that are for other tests."""

    def __init__(self, nodes: Nodes) -> None:
        self._services = nodes.services
        self.person = newcomer(nodes.services)
        ((self._session, _),) = begin_sessions(nodes.services, self.person, 1)
        self._verifier = "v" * 43
        digest = hashlib.sha256(self._verifier.encode()).digest()
        self._challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def codes(self, count: int) -> Iterator[str]:
        for begun in range(0, count, BATCH):
            fresh = [new_secret() for _ in range(min(BATCH, count - begun))]
            now = int(time.time())
            given = Code(
                client_id="amrgate",
                redirect_uri=BACK,
                code_challenge=self._challenge,
                scope="offline_access",
                user_id=self.person.id,
                browser_session_id=self._session,
                proofs=(Proof("pwd", now),),
                expires_at=now + 60,
            )
            with writing(self._services.engine) as connection:
                for code in fresh:
                    oauth.add_code(connection, hash_of(code), given)
            yield from fresh

    def exchange(self, caller: Caller, code: str) -> Answer:
        form = {"grant_type": "authorization_code", "client_id": "amrgate", "code": code}
        return _token(caller, form | {"redirect_uri": BACK, "code_verifier": self._verifier})

    def refresh(self, caller: Caller, token: str) -> Answer:
        form = {"grant_type": "refresh_token", "client_id": "amrgate", "refresh_token": token}
        return _token(caller, form)

    def begin(self, caller: Caller) -> str:
        """The first refresh token of a new login."""
        (code,) = self.codes(1)
        return self.refresh_token(self.exchange(caller, code))

    @staticmethod
    def refresh_token(answer: Answer) -> str:
        token: str = json.loads(answer.text)["refresh_token"]
        return token


def _token(caller: Caller, form: dict[str, str]) -> Answer:
    answer = caller.post("/oauth2/token", form)
    assert answer.status < 500, answer.text
    return answer
