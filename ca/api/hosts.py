"""/hosts: a machine joins, asks for what to obey, and says what it obeys."""

import time
from base64 import b64encode
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, Response

from ca.api.compressed import compress
from ca.api.gate import bearer_token
from ca.errors import InvalidRequest, NotFound, Unavailable
from ca.hosts import freshness, https_ca, join
from ca.hosts.changes import Changes, Moment
from ca.hosts.policy import Current, Policies
from ca.hosts.watch import Watch
from ca.issuance import host as issuance
from ca.issuance.revocation import RevocationList
from ca.issuance.sign import Host as Subject
from ca.issuance.subject_key import parse_subject_key
from ca.keys.files import ED25519, public_line
from ca.services import Given, Services
from ca.store import hosts
from ca.store.engine import writing
from ca.store.hosts import Host

router = APIRouter(prefix="/hosts", tags=["Hosts"])

MAX_WAIT = 55  # seconds: less than the minute after which proxies give up
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


class Asked(BaseModel):
    """What a host has, and how long it waits for something else."""

    model_config = ConfigDict(extra="forbid")

    version: int = Field(0, ge=0, lt=1 << 63)
    """Of its bundle; 0 to be sent everything."""
    floor: int = Field(0, ge=0, lt=1 << 63)
    """The newest version that it ever had: it takes nothing older."""
    krl: int | None = Field(None, ge=0, lt=1 << 63)
    """The version of its revocation list."""
    wait: int = Field(0, ge=0)
    """Seconds."""


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


def authenticate(host_id: str, request: Request, services: Given) -> Host:
    """Which host asks.

    Raises:
        NotAuthenticated: it is none, or not this one.
    """
    token, now = bearer_token(request), int(time.time())
    return join.authenticate(services.engine, services.seen, host_id, token, now)


@dataclass(frozen=True)
class Delivery:
    """What answers hosts in one worker."""

    watch: Watch
    policies: Policies


async def delivery_of(request: Request, services: Given) -> Delivery:
    """The worker's own, made when the first host asks."""
    state = request.app.state
    if not hasattr(state, "delivery"):
        changes = Changes()
        policies = Policies(services.engine, services.keys, changes)
        state.delivery = Delivery(Watch(services.engine, changes, services.stopping), policies)
    delivery: Delivery = state.delivery
    return delivery


@router.get("/{host_id}/policy")
async def get_policy(
    host: Annotated[Host, Depends(authenticate)],
    services: Given,
    delivery: Annotated[Delivery, Depends(delivery_of)],
    asked: Annotated[Asked, Query()],
    accept_encoding: Annotated[str, Header()] = "",
) -> Response:
    """What the host is to obey: at once if that is not what it has, else as soon as it changes.

    A revocation ends the wait of those hosts on which its user has a role; others hear of it when
    they ask next, and refuse that user anyway.

    After `wait` seconds without a change, the word that what the host has is still current.
    """
    deadline = time.monotonic() + min(asked.wait, MAX_WAIT)
    while True:
        state = await run_in_threadpool(_look, services, delivery.policies, host.id, asked)
        left = deadline - time.monotonic()
        if left <= 0 or not state.is_known(asked):
            answer = await run_in_threadpool(_answer, services, delivery.policies, state, asked)
            return await run_in_threadpool(compress, answer, accept_encoding)
        await delivery.watch.wait(host.name, state.moment, left)
        if services.stopping.is_set():
            # No error of anything: thousands of lines in the log would say that it is one.
            said = "The CA stops, or starts again: ask again in a moment."
            return JSONResponse({"error": Unavailable.code, "error_description": said}, 503)


@router.post("/{host_id}/acknowledgement", status_code=204)
def acknowledge(
    host: Annotated[Host, Depends(authenticate)], said: Acknowledgement, services: Given
) -> None:
    """Note which bundle a host obeys."""
    with writing(services.engine) as connection:
        hosts.acknowledge(connection, host.id, said.version, said.digest, int(time.time()))


@dataclass(frozen=True)
class State:
    """What a host is to have at one moment."""

    host: Host
    current: Current
    revoked: RevocationList

    @property
    def moment(self) -> Moment:
        """Which one."""
        return Moment(self.current.as_of, self.revoked.version)

    def is_known(self, asked: Asked) -> bool:
        """Whether the host has all of it, as far as it said what it has."""
        has_list = asked.krl is None or asked.krl == self.revoked.version
        return has_list and asked.version == self.current.built.version


def _look(services: Services, policies: Policies, host_id: str, asked: Asked) -> State:
    host = join.still_there(services.engine, host_id)
    current = policies.current(host, max(asked.version, asked.floor))
    return State(host, current, services.revocations.current())


def _answer(services: Services, policies: Policies, state: State, asked: Asked) -> JSONResponse:
    host, built, revoked = state.host, state.current.built, state.revoked
    policy = None
    if asked.version != built.version or host.acknowledged != (built.version, built.digest):
        policy = policies.policy(host, built)
        built = policy.built
    now = int(time.time())
    signer = services.keys.bundle
    fresh, signature = freshness.state(signer, host.id, built, revoked.version, now)
    return JSONResponse(
        {
            "version": built.version,
            "bundle": policy and policy.bundle,
            "bundle_signature": policy and policy.signature,
            "fresh": fresh,
            "fresh_signature": signature,
            "krl": b64encode(revoked.data).decode(),
            "krl_version": revoked.version,
            "authorities": [public_line(services.keys.user_ca.public_key)],
            "services": policy.services if policy else (),
            "keys": services.keys.statements.signed,
        },
        # Who waits for a change need not wait for the disk as well.
        background=BackgroundTask(policies.note, host, built),
    )
