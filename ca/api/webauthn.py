"""/users/{id}/webauthn: passkeys and security keys. They are added in a browser alone."""

import time
from typing import Any

from fastapi import APIRouter

from ca.api.shapes import moment
from ca.api.totp import Oneself, acting_of
from ca.identity import notices, webauthn
from ca.services import Given
from ca.store.engine import reading
from ca.store.webauthn import Key, keys_of

router = APIRouter(prefix="/users/{user_id}/webauthn", tags=["MFA"])


@router.get("")
def list_webauthn_keys(caller: Oneself, services: Given) -> list[dict[str, Any]]:
    """The caller's keys, the oldest first."""
    with reading(services.engine) as connection:
        return [_key(key) for key in keys_of(connection, caller.user.id)]


@router.delete("/{key_id}", status_code=204)
def remove_webauthn_key(key_id: str, caller: Oneself, services: Given) -> None:
    """Forgets a key."""
    webauthn.remove(services.engine, acting_of(caller), key_id, int(time.time()))
    notices.tell(services.settings, caller.user, "webauthn:remove")


def _key(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "amr": key.amr,
        "backed_up": key.backed_up,
        "created_at": moment(key.created_at),
        "last_used_at": None if key.used_at is None else moment(key.used_at),
        "counter_fell_at": None if key.counter_fell_at is None else moment(key.counter_fell_at),
    }
