"""/ssh/krl and /users/{id}/certificates: what was issued, and that some of it counts no more."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from ca.api.shapes import moment
from ca.api.totp import Oneself
from ca.issuance import revocation
from ca.services import Given
from ca.store import certificates
from ca.store.certificates import Issued
from ca.store.engine import reading

router = APIRouter(tags=["certificates"])
own = APIRouter(prefix="/users/{user_id}/certificates")

Serial = Annotated[int, Path(ge=1, lt=1 << 63)]


@router.get("/ssh/krl", response_class=Response)
def revocation_list(services: Given) -> Response:
    """The list for sshd's RevokedKeys (PROTOCOL.krl), for machines that no agent keeps up to date.

    Open to everybody: it holds serials and fingerprints, and no names.
    """
    data = services.revocations.current().data
    return Response(data, media_type="application/octet-stream")


@own.get("")
def list_certificates(caller: Oneself, services: Given) -> list[dict[str, Any]]:
    """The caller's certificates that have not expired."""
    with reading(services.engine) as connection:
        found = certificates.usable(connection, int(time.time()), caller.user.id)
    return [_certificate(one) for one in found]


@own.delete("", status_code=204)
def revoke_certificates(caller: Oneself, services: Given) -> None:
    """Revokes all of the caller's certificates. The next one is to be had at once."""
    revocation.revoke_all_own(services.engine, caller.user.id, int(time.time()))


@own.delete("/{serial}", status_code=204)
def revoke_certificate(serial: Serial, caller: Oneself, services: Given) -> None:
    """Revokes one of the caller's certificates."""
    revocation.revoke_own(services.engine, caller.user.id, serial, int(time.time()))


router.include_router(own)


def _certificate(one: Issued) -> dict[str, Any]:
    return {
        "serial": str(one.serial),  # readers of JSON round beyond 2**53
        "session": one.session,
        "issued_at": moment(one.issued_at),
        "expires_at": moment(one.valid_before),
        "revoked_at": None if one.revoked_at is None else moment(one.revoked_at),
    }
