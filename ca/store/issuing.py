"""What issuing a certificate reads, at each request: the session, and how long it may live."""

import json
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from sqlalchemy import (
    BigInteger,
    Engine,
    Select,
    String,
    bindparam,
    func,
    select,
)
from starlette.concurrency import run_in_threadpool

from ca.store.direct import Statement
from ca.store.engine import reading
from ca.store.sessions import GrantSession, live_session_query, session_of
from ca.store.tables import members, organizations, users


@dataclass(frozen=True)
class Entitlement:
    """A live session, and the least certificate lifetime that its person's organizations allow.

    `lifetime` is in seconds, None where none of them says.
    """

    session: GrantSession
    lifetime: int | None


_PARAMETERS = (bindparam("sid", type_=String), bindparam("now", type_=BigInteger))
_LIFETIME = (
    select(func.min(organizations.c.certificate_lifetime))
    .join(members, members.c.organization_id == organizations.c.id)
    .where(members.c.user_id == users.c.id)
    .scalar_subquery()
)
_QUERY: Select[*tuple[Any, ...]] = live_session_query(
    *_PARAMETERS, bindparam("jti", type_=String)
).add_columns(_LIFETIME.label("lifetime"))
_NAMES = tuple(_QUERY.selected_columns.keys())


class Entitlements:
    """Finds the entitlement behind a token: read anew each time, so that what ended has ended.

    SQLite answers in less time than it takes to ask another thread; one that is across a network
    must not hold up everybody else.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pooled = engine.raw_connection() if engine.dialect.name == "sqlite" else None
        self._statement = Statement(engine, _QUERY)

    async def find(self, sid: str, jti: str, now: int) -> Entitlement | None:
        """The entitlement of the session `sid`, if it still counts and so does the token `jti`."""
        values: dict[str, str | int] = {"sid": sid, "now": now, "jti": jti}
        if self._pooled is None:
            return await run_in_threadpool(self._ask, values)
        cursor = self._pooled.cursor()
        fields = self._statement.run(cursor, values).fetchone()
        cursor.close()
        if fields is None:
            return None
        row = SimpleNamespace(**dict(zip(_NAMES, fields, strict=True)))
        row.proofs = json.loads(row.proofs)
        return _entitlement(row)

    def close(self) -> None:
        """Give the connection back."""
        if self._pooled is not None:
            self._pooled.close()

    def _ask(self, values: dict[str, str | int]) -> Entitlement | None:
        with reading(self._engine) as connection:
            row = connection.execute(_QUERY, values).one_or_none()
        return None if row is None else _entitlement(row)


def _entitlement(row: Any) -> Entitlement:
    return Entitlement(session_of(row), row.lifetime)
