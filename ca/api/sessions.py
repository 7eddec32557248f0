"""/users/{id}/sessions: where one is logged in."""

import time
from typing import Any

from fastapi import APIRouter

from ca.api.shapes import moment
from ca.api.totp import Oneself, acting_of
from ca.identity import own_sessions
from ca.identity.proofs import amr_of, auth_time_of
from ca.services import Given
from ca.store.session_list import Listed

router = APIRouter(prefix="/users/{user_id}/sessions", tags=["Sessions"])


@router.get("")
def list_sessions(caller: Oneself, services: Given) -> list[dict[str, Any]]:
    """The caller's live sessions: browsers', then those of clients."""
    found = own_sessions.sessions_of(services.engine, caller.user.id, int(time.time()))
    return [_session(one, caller.session.sid) for one in found]


@router.delete("", status_code=204)
def end_other_sessions(caller: Oneself, services: Given) -> None:
    """Ends all of the caller's sessions but the present one."""
    own_sessions.end_others(services.engine, acting_of(caller), int(time.time()))


@router.delete("/{session_id}", status_code=204)
def end_session(session_id: str, caller: Oneself, services: Given) -> None:
    """Ends one; a browser's with all that was granted in it."""
    own_sessions.end(services.engine, acting_of(caller), session_id, int(time.time()))


def _session(one: Listed, present: str) -> dict[str, Any]:
    auth_time = auth_time_of(one.proofs)
    return {
        "id": one.id,
        "kind": one.kind,
        "current": one.id == present,
        "client_id": one.client_id,
        "amr": sorted(amr_of(one.proofs)),
        "auth_time": None if auth_time is None else moment(auth_time),
        "via": one.via or None,
        "api_token": one.api_token,
        "user_agent": one.user_agent,
        "ip": one.address,
        "browser_session_id": one.browser_session_id or None,
        "created_at": moment(one.created_at),
        "last_used_at": moment(one.seen_at),
    }
