"""What hosts decided, as they tell it: kept for a while, to be looked at. Not the audit log.

A host can lie about itself alone. It says for itself who came and what became of it, and nothing
that it says changes anything; nor can it say of a service of another host that somebody was let in.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, NamedTuple

import structlog

from ca.store import decisions
from ca.store.engine import writing
from sshd_hook.answer import CODES, REPORT_ONLY
from sshd_hook.names import parse_service
from sshd_hook.policy import ALLOWED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Engine

    from ca.store.hosts import Host

KEPT = 90 * 86400  # seconds
MOST = 200_000  # that are kept of one host: what fills that is a flood
LOOK_EVERY = 1000  # decisions: to count those of a host takes a while
LET_IN = frozenset({CODES[ALLOWED], REPORT_ONLY})

log = structlog.get_logger()


class Told(NamedTuple):
    """A decision as the host told it."""

    at: int
    connection: str
    code: str
    service: str
    user_id: str
    serial: str
    session: str
    detail: str

    def fingerprint(self, host: Host) -> str:
        """The same for what is told twice, also for the two answers that one login asks for."""
        same = self._replace(at=0) if self.connection else self
        return hashlib.sha256(json.dumps([host.id, *same]).encode()).hexdigest()


def keep(engine: Engine, host: Host, told: Sequence[Told], now: int) -> None:
    """Keep what `host` tells, but for what is kept already."""
    with writing(engine) as connection:
        foreign = _foreign(connection, host, told)
        rows = [
            one._asdict()
            | {"host": host.name, "received_at": now, "fingerprint": one.fingerprint(host)}
            for one in told
            if one.code not in LET_IN or one.service not in foreign
        ]
        last = decisions.add(connection, rows)
        decisions.forget_before(connection, now - KEPT)
        if last is not None and last % LOOK_EVERY < len(rows):
            decisions.forget_beyond(connection, host.name, MOST)
    if len(rows) < len(told):
        log.warning("decisions_of_another_host", host=host.name, count=len(told) - len(rows))


def _foreign(connection: Connection, host: Host, told: Sequence[Told]) -> set[str]:
    """The services, as they were asked for, that are another host's."""
    records = {one.service: parsed.record for one in told if (parsed := parse_service(one.service))}
    serving = decisions.hosts_of(connection, records.values())
    return {
        name for name, record in records.items() if serving.get(record) not in (None, host.name)
    }
