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
PATIENCE = 10  # seconds that a host waits for its answer beyond what it said
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


@dataclass(frozen=True)
class Poll:
    """A question, the encodings that its answer may have, and when it must be answered at last."""

    asked: Asked
    accepted: str
    until: float
    """By the monotonic clock."""

    @property
    def floor(self) -> int:
        """The newest version that the host has ever had."""
        return max(self.asked.version, self.asked.floor)

    def is_due(self, state: State) -> bool:
        """Whether it is to be answered now, with `state`."""
        return time.monotonic() >= self.until or not state.is_known(self.asked)


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
        asked, token = _read(request), bearer_token(request)
        until = time.monotonic() + min(asked.wait, MAX_WAIT)
        poll = Poll(asked, request.headers.get("accept-encoding", ""), until)
        while True:
            now = int(time.time())
            standing = await self._services.standings.find(host_id, token)
            state: State | Response
            known = self._at_hand(poll, standing)
            is_due = known is not None and poll.is_due(known)
            if known is None or (is_due and not self._is_quick(poll, known)):
                state = await self._elsewhere(self._make, poll, standing, now)
            else:
                state = self._write(poll, known, now) if is_due else known
            if isinstance(state, Response):
                return state
            left = until - time.monotonic()
            quiet_at = await self._watch.wait(state.host.name, state.moment, left)
            if self._services.stopping.is_set():
                return _later("The CA stops, or starts again: ask again in a moment.")
            if quiet_at is not None and state.is_acknowledged:
                if self._is_quick(poll, state):
                    return self._write(poll, state, quiet_at)
                return await self._elsewhere(self._write, poll, state, quiet_at)

    def _at_hand(self, poll: Poll, standing: Standing) -> State | None:
        """What the host is to have, if it takes no time to tell."""
        built = self._policies.known(standing.host, standing.moment.directory, poll.floor)
        revoked = self._services.revocations.known(standing.moment.revocations)
        if built is None or revoked is None:
            return None
        moment = Moment(standing.moment.directory, revoked.version)
        return State(standing.host, moment, built, revoked)

    def _make(self, poll: Poll, standing: Standing, now: int) -> State | Response:
        """The answer; or what the host is to have, if that is what it has."""
        if time.monotonic() > poll.until + PATIENCE:  # so many were before it
            return _later("More hosts ask than can be answered: ask again in a moment.")
        state = self._at_hand(poll, standing)  # it may be by now
        if state is None:
            current = self._policies.current(standing.host, poll.floor)
            lists = self._services.revocations
            revoked = lists.known(standing.moment.revocations) or lists.current()
            moment = Moment(current.as_of, revoked.version)
            state = State(standing.host, moment, current.built, revoked)
        return self._write(poll, state, now) if poll.is_due(state) else state

    async def _elsewhere(self, work: Callable[..., T], *words: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *words)

    def _is_quick(self, poll: Poll, state: State) -> bool:
        """Whether the answer is made in less time than another thread is asked."""
        is_small = len(state.revoked.data) <= SMALL and not state.needs_bundle(poll.asked)
        return is_small and isinstance(self._services.keys.bundle, FileSigner)

    def _write(self, poll: Poll, state: State, now: int) -> Response:
        host, built, revoked, keys = state.host, state.built, state.revoked, self._services.keys
        policy = None
        if state.needs_bundle(poll.asked):
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
        return compress(answer, poll.accepted)


def _later(why: str) -> Response:
    # No error of anything: thousands of lines in the log would say that it is one.
    return JSONResponse({"error": Unavailable.code, "error_description": why}, 503)


def _read(request: Request) -> Asked:
    try:
        return Asked.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
