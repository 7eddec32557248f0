"""/hosts: a machine joins, asks for what to obey, and says what it obeys."""

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from ca.api.delivery import Asked, Delivery
from ca.api.gate import bearer_token
from ca.errors import InvalidRequest, NotFound
from ca.hosts import allowance, https_ca, join
from ca.issuance import host as issuance
from ca.issuance.sign import Host as Subject
from ca.issuance.subject_key import parse_subject_key
from ca.keys.files import ED25519, public_line
from ca.services import Given
from ca.store.hosts import Host

router = APIRouter(prefix="/hosts", tags=["Hosts"])

MAX_HOST_KEYS = 8


class Enrolment(BaseModel):
    """What a machine sends that wants to be a host."""

    model_config = ConfigDict(extra="forbid", strict=True)

    token: str = Field(max_length=256)
    name: str = Field(max_length=64)
    public_key: str = Field(max_length=8192)
    """The agent's own key, Ed25519."""
    host_keys: list[str] = Field(max_length=MAX_HOST_KEYS)
    """sshd's keys."""


class Acknowledgement(BaseModel):
    """Which bundle a host has put in place: its version, and its SHA-256 in hex."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: int = Field(ge=0, lt=1 << 63)
    digest: str = Field(pattern="^[0-9a-f]{64}$")


@router.post("/enroll")
def enroll(asked: Enrolment, services: Given) -> dict[str, Any]:
    """Spend a join token: the host's id, its own token, and whom it is to trust."""
    agent_key = parse_subject_key(asked.public_key)
    if not public_line(agent_key).startswith(f"{ED25519} "):
        raise InvalidRequest("The agent's own key must be an Ed25519 key.")
    host_keys = [parse_subject_key(key) for key in asked.host_keys]
    now, keys = int(time.time()), services.keys
    joined = join.join(services.engine, asked.token, asked.name, agent_key, now)
    subject = Subject(joined.host.id, joined.host.names)
    return {
        "id": joined.host.id,
        "token": joined.token,
        "bundle_key": public_line(keys.bundle.public_key),
        "recovery_key": public_line(keys.recovery_public_key),
        "keys_number": keys.statements.number,
        "keys_recovery": keys.statements.recovery,
        "user_authorities": [public_line(keys.user_ca.public_key)],
        "host_certificates": [
            issuance.issue(services.issuer, subject, key, now) for key in host_keys
        ],
    }


@router.get("/https-ca")
def get_https_ca(services: Given) -> Response:
    """Who signs this CA's HTTPS certificate (PEM), for a machine that knows its fingerprint."""
    certificates = https_ca.read(services.settings.data)
    if certificates is None:
        raise NotFound("No operator has said who signs this CA's HTTPS certificate.")
    return Response(certificates, media_type="application/x-pem-file")


async def authenticate(host_id: str, request: Request, services: Given) -> Host:
    """Which host asks.

    Raises:
        NotAuthenticated: it is none, or not this one.
    """
    standing = await services.standings.find(host_id, bearer_token(request))
    return standing.host


@router.get("/{host_id}/policy")
async def get_policy(host_id: str, request: Request, _asked: Annotated[Asked, Query()]) -> Response:
    """What the host is to obey: at once if that is not what it has, else as soon as it changes.

    A revocation ends the wait of those hosts on which its user has a role; others hear of it when
    they ask next, and refuse that user anyway.

    After `wait` seconds without a change, the word that what the host has is still current.
    """
    delivery: Delivery = request.app.state.delivery
    return await delivery.answer(request, host_id)


@router.post("/{host_id}/acknowledgement", status_code=204)
async def acknowledge(
    host: Annotated[Host, Depends(authenticate)], said: Acknowledgement, services: Given
) -> None:
    """Note which bundle a host obeys."""
    services.allowances.take(host, allowance.ACKNOWLEDGEMENTS, 1, time.monotonic())
    noted = services.notes.acknowledged(host.id, said.version, said.digest, int(time.time()))
    await asyncio.wrap_future(noted)
