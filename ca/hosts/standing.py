"""Who asks, and of which moment the answer will be: looked at anew in each question of a host."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ca.errors import NotAuthenticated
from ca.hosts.changes import Moment
from ca.hosts.join import hash_of
from ca.store import hosts
from ca.store.direct import Lookup

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from ca.hosts.notes import Notes
    from ca.store.hosts import Host

SEEN_EVERY = 120  # seconds: hearing from a host is not worth a write more often


@dataclass(frozen=True)
class Standing:
    """A host, and the versions of all that hosts obey, at one moment."""

    host: Host
    moment: Moment


class Standings:
    """Finds hosts by their tokens: in one statement, so that what was removed is gone at once."""

    def __init__(self, engine: Engine, notes: Notes) -> None:
        self._lookup = Lookup(engine, hosts.STANDING)
        self._versions = Lookup(engine, hosts.VERSIONS)
        self._notes = notes

    async def find(self, host_id: str, token: str) -> Standing:
        """How the host `host_id` stands, whose token this is.

        Raises:
            NotAuthenticated: it is not, or is no more.
        """
        row = await self._lookup.one(token_hash=hash_of(token))
        if row is None or row.id != host_id:
            raise NotAuthenticated("This is not the token of this host, or it is no host any more.")
        host, now = hosts.host_of(row), int(time.time())
        if host.seen_at is None or now - host.seen_at > SEEN_EVERY:
            self._notes.heard(host.id, now)
        return Standing(host, Moment(row.directory, row.revocations))

    async def now(self) -> Moment:
        """The versions of all that hosts obey."""
        row = await self._versions.one()
        return Moment(row.directory, row.revocations)

    def close(self) -> None:
        """Close the connections."""
        self._lookup.close()
        self._versions.close()
