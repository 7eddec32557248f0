"""/hosts: a machine joins, asks for what to obey, and says what it obeys."""

import time
from base64 import b64encode
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Engine
from starlette.responses import JSONResponse, Response

from ca.api.gate import bearer_token
from ca.errors import InvalidRequest
from ca.hosts import freshness, join
from ca.hosts.policy import Policies
from ca.hosts.watch import Watch
from ca.issuance import host as issuance
from ca.issuance import krl
from ca.issuance.sign import Host as Subject
from ca.issuance.subject_key import parse_subject_key
from ca.keys.files import ED25519, public_line
from ca.services import Given, Services
from ca.store import directory, hosts
from ca.store.engine import reading, writing
from ca.store.hosts import Host

router = APIRouter(prefix="/hosts", tags=["Hosts"])

MAX_WAIT = 55  # seconds: less than the minute after which proxies give up
MAX_HOST_KEYS = 8
KRL_MADE_AT = 0  # nothing was ever revoked: the list is the same bytes each time


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
        "user_authorities": [public_line(keys.user_ca.public_key)],
        "host_certificates": [
            issuance.issue(services.issuer, subject, key, now) for key in host_keys
        ],
    }


def authenticate(host_id: str, request: Request, services: Given) -> Host:
    """Which host asks.

    Raises:
        NotAuthenticated: it is none, or not this one.
    """
    return join.authenticate(services.engine, host_id, bearer_token(request), int(time.time()))


@dataclass(frozen=True)
class Delivery:
    """What answers hosts in one worker."""

    watch: Watch
    policies: Policies


async def delivery_of(request: Request, services: Given) -> Delivery:
    """The worker's own, made when the first host asks."""
    state = request.app.state
    if not hasattr(state, "delivery"):
        watch = Watch(partial(_version, services.engine))
        state.delivery = Delivery(watch, Policies(services.engine, services.keys))
    delivery: Delivery = state.delivery
    return delivery


@router.get("/{host_id}/policy")
async def get_policy(
    host: Annotated[Host, Depends(authenticate)],
    services: Given,
    delivery: Annotated[Delivery, Depends(delivery_of)],
    version: Annotated[int, Query(ge=0, lt=1 << 63)] = 0,
    wait: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """What the host is to obey: at once if that is not `version`, else as soon as it changes.

    After `wait` seconds without a change, the word that what the host has is still current.
    """
    if wait:
        await delivery.watch.wait_for_other(version, min(wait, MAX_WAIT))
    return await run_in_threadpool(_answer, services, delivery.policies, host.id, version)


@router.post("/{host_id}/acknowledgement", status_code=204)
def acknowledge(
    host: Annotated[Host, Depends(authenticate)], said: Acknowledgement, services: Given
) -> None:
    """Note which bundle a host obeys."""
    with writing(services.engine) as connection:
        hosts.acknowledge(connection, host.id, said.version, said.digest, int(time.time()))


def _version(engine: Engine) -> int:
    with reading(engine) as connection:
        return directory.version(connection)


def _answer(services: Services, policies: Policies, host_id: str, version: int) -> Response:
    host = join.still_there(services.engine, host_id)
    policy = policies.current(host)
    now = int(time.time())
    fresh, signature = freshness.state(services.keys.bundle, policy, now)
    has_it = version == policy.version and host.acknowledged == (policy.version, policy.digest)
    return JSONResponse(
        {
            "version": policy.version,
            "bundle": None if has_it else policy.bundle,
            "bundle_signature": None if has_it else policy.signature,
            "fresh": fresh,
            "fresh_signature": signature,
            "krl": b64encode(krl.write(freshness.KRL_VERSION, KRL_MADE_AT, {}, ())).decode(),
            "krl_version": freshness.KRL_VERSION,
            "authorities": [public_line(services.keys.user_ca.public_key)],
            "services": policy.services,
        }
    )
