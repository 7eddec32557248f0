"""Figure F13, for device codes: one that was allowed, polled for at two nodes at the same moment."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING

from ca.identity.proofs import Proof
from ca.identity.sessions import hash_of, new_secret
from ca.oauth.device import GRANT_TYPE
from ca.store import device_codes
from ca.store.engine import writing
from tests.drills.drill import Drill, Finding
from tests.drills.pairs import TARGET, both, outcome_of
from tests.drills.people import begin_sessions, newcomer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.drills.nodes import Answer, Caller, Nodes, Stage


def devices(stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """A device code, at both."""
    return both(stage.nodes, count, tell, _devices)


DRILLS = (Drill("device-pairs", "F13", TARGET, 10_000, 8, devices),)


def _devices(nodes: Nodes, count: int) -> Iterator[str]:
    person = newcomer(nodes.services)
    ((session_id, _cookie),) = begin_sessions(nodes.services, person, 1)
    with nodes.pairs() as ask:
        for _ in range(count):
            code = _allowed(nodes, person.id, session_id)
            form = {"grant_type": GRANT_TYPE, "client_id": "amrgate", "device_code": code}
            answers = ask(partial(_poll, form))
            refused = [json.loads(one.text)["error"] for one in answers if one.status != 200]
            assert set(refused) <= {"invalid_grant"}, refused
            yield outcome_of(sum(answer.status == 200 for answer in answers))


def _poll(form: dict[str, str], caller: Caller, _place: int) -> Answer:
    return caller.post("/oauth2/token", form)


def _allowed(nodes: Nodes, user_id: str, session_id: str) -> str:
    """A device code that somebody allowed; the pages of that are for other tests."""
    code, now = new_secret(), int(time.time())
    asked = device_codes.DeviceAuthorization(
        code_hash=hash_of(code),
        client_id="amrgate",
        scope="offline_access",
        amr=(),
        max_age=None,
        address="192.0.2.9",
        user_agent="drill",
        created_at=now,
        expires_at=now + 600,
    )
    proofs = (Proof("pwd", now),)
    approval = device_codes.Approval(user_id, session_id, "amrgate", "offline_access", proofs)
    with writing(nodes.services.engine) as connection:
        device_codes.add(connection, asked, hash_of(new_secret()), 5)
        assert device_codes.allow(connection, asked.code_hash, approval, now)
    return code
