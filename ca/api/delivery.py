"""How a worker answers hosts that ask what they are to obey, and wait for that to change."""

import asyncio
import time
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import JSONResponse, Response

from ca.api.compressed import compress
from ca.api.gate import bearer_token
from ca.errors import Unavailable
from ca.hosts import freshness
from ca.hosts.changes import Changes, Moment
from ca.hosts.policy import Policies
from ca.hosts.standing import Standing
from ca.hosts.watch import Watch
from ca.issuance.revocation import RevocationList
from ca.keys.files import FileSigner, public_line
from ca.services import Services
from ca.store.hosts import Built, Host

T = TypeVar("T")

MAX_WAIT = 55  # seconds: less than the minute after which proxies give up
AT_ONCE = 4  # threads: after a restart all hosts ask at once, and people must not wait for them
SMALL = 16 << 10  # bytes of a revocation list that is encoded while everybody else waits


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


@dataclass(frozen=True)
class State:
    """What a host is to have at one moment."""

    host: Host
    moment: Moment
    built: Built
    revoked: RevocationList

    def is_known(self, asked: Asked) -> bool:
        """Whether the host has all of it, as far as it said what it has."""
        has_list = asked.krl is None or asked.krl == self.revoked.version
        return has_list and asked.version == self.built.version

    @property
    def is_acknowledged(self) -> bool:
        """Whether the host has said that it put these very bytes in place."""
        return self.host.acknowledged == (self.built.version, self.built.digest)

    def needs_bundle(self, asked: Asked) -> bool:
        """Whether the host is to be sent the bundle."""
        return asked.version != self.built.version or not self.is_acknowledged


class Delivery:
    """What answers hosts in one worker."""

    def __init__(self, services: Services) -> None:
        self._services = services
        changes = Changes()
        self._watch = Watch(services.engine, services.standings, changes, services.stopping)
        self._policies = Policies(services.engine, services.keys, changes)
        self._threads = ThreadPoolExecutor(AT_ONCE, "hosts")

    async def answer(self, request: Request, host_id: str) -> Response:
        """Answer the host's question, as late as it lets us.

        Raises:
            RequestValidationError: it makes no sense.
            NotAuthenticated: it is not of this host, or it is none any more.
        """
        asked = _read(request)
        deadline = time.monotonic() + min(asked.wait, MAX_WAIT)
        token, accepted = bearer_token(request), request.headers.get("accept-encoding", "")
        while True:
            now = int(time.time())
            standing = await self._services.standings.find(host_id, token)
            state = await self._look(standing, asked)
            left = deadline - time.monotonic()
            if left <= 0 or not state.is_known(asked):
                break
            quiet_at = await self._watch.wait(state.host.name, state.moment, left)
            if self._services.stopping.is_set():
                # No error of anything: thousands of lines in the log would say that it is one.
                said = "The CA stops, or starts again: ask again in a moment."
                return JSONResponse({"error": Unavailable.code, "error_description": said}, 503)
            if quiet_at is not None and state.is_acknowledged:
                now = quiet_at
                break
        if state.needs_bundle(asked) or not self._is_quick(state):
            return await self._elsewhere(self._write, state, asked, now, accepted)
        return self._write(state, asked, now, accepted)

    async def _look(self, standing: Standing, asked: Asked) -> State:
        host, as_of = standing.host, standing.moment.directory
        floor = max(asked.version, asked.floor)
        built = self._policies.known(host, as_of, floor)
        if built is None:
            current = await self._elsewhere(self._policies.current, host, floor)
            as_of, built = current.as_of, current.built
        version = standing.moment.revocations
        revoked = self._services.revocations.known(version)
        if revoked is None:
            revoked = await self._elsewhere(self._revoked, version)
        return State(host, Moment(as_of, revoked.version), built, revoked)

    def _revoked(self, version: int) -> RevocationList:
        # All who were woken by a revocation come here: the first one has it written.
        return self._services.revocations.known(version) or self._services.revocations.current()

    async def _elsewhere(self, work: Callable[..., T], *words: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *words)

    def _is_quick(self, state: State) -> bool:
        """Whether an answer without a bundle is made in less time than another thread is asked."""
        signer = self._services.keys.bundle
        return isinstance(signer, FileSigner) and len(state.revoked.data) <= SMALL

    def _write(self, state: State, asked: Asked, now: int, accepted: str) -> Response:
        host, built, revoked, keys = state.host, state.built, state.revoked, self._services.keys
        policy = None
        if state.needs_bundle(asked):
            policy = self._policies.policy(host, built)
            built = policy.built
        if built != host.built:
            self._services.notes.built(host.id, built)
        fresh, signature = freshness.state(keys.bundle, host.id, built, revoked, now)
        answer = JSONResponse(
            {
                "version": built.version,
                "bundle": policy and policy.bundle,
                "bundle_signature": policy and policy.signature,
                "fresh": fresh,
                "fresh_signature": signature,
                "krl": b64encode(revoked.data).decode(),
                "krl_version": revoked.version,
                "authorities": [public_line(keys.user_ca.public_key)],
                "services": policy.services if policy else (),
                "keys": keys.statements.signed,
            }
        )
        return compress(answer, accepted)


def _read(request: Request) -> Asked:
    try:
        return Asked.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
