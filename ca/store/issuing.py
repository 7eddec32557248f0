"""What issuing a certificate reads, at each request: the session, and how long it may live."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from sqlalchemy import (
    BigInteger,
    Engine,
    PoolProxiedConnection,
    Select,
    String,
    bindparam,
    func,
    select,
    union_all,
)
from starlette.concurrency import run_in_threadpool

from ca.store.direct import Statement
from ca.store.engine import reading
from ca.store.sessions import GrantSession, live_session_query, session_of
from ca.store.tables import members, organizations, revoked_keys, service_users, users


@dataclass(frozen=True)
class Entitlement:
    """A live session, and the least certificate lifetime that its person's organizations allow.

    `lifetime` is in seconds, None where none of them says. `key_revoked` is of the key that was
    asked about.
    """

    session: GrantSession
    lifetime: int | None
    key_revoked: bool


_Values = dict[str, str | int]
_PARAMETERS = (bindparam("sid", type_=String), bindparam("now", type_=BigInteger))
_OF_USER = union_all(
    *[
        select(organizations.c.certificate_lifetime)
        .join(table, table.c.organization_id == organizations.c.id)
        .where(table.c.user_id == users.c.id)
        .correlate(users)
        for table in (members, service_users)
    ]
).subquery()
_LIFETIME = select(func.min(_OF_USER.c.certificate_lifetime)).scalar_subquery()
_KEY_REVOKED = (
    select(revoked_keys.c.fingerprint)
    .where(revoked_keys.c.fingerprint == bindparam("fingerprint", type_=String))
    .exists()
)
_QUERY: Select[*tuple[Any, ...]] = live_session_query(
    *_PARAMETERS, bindparam("jti", type_=String)
).add_columns(_LIFETIME.label("lifetime"), _KEY_REVOKED.label("key_revoked"))
_NAMES = tuple(_QUERY.selected_columns.keys())


class Entitlements:
    """Finds the entitlement behind a token: read anew each time, so that what ended has ended.

    SQLite answers in less time than it takes to ask another thread, and all who came in together
    are answered in one transaction, begun after they came: the processor then does the same many
    times over instead of a little of everything. A database that is across a network must not
    hold up everybody else.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pooled = engine.raw_connection() if engine.dialect.name == "sqlite" else None
        self._statement = Statement(engine, _QUERY)
        self._asked: list[tuple[_Values, asyncio.Future[Entitlement | None]]] = []

    async def find(self, sid: str, jti: str, fingerprint: str, now: int) -> Entitlement | None:
        """The entitlement of the session `sid`, if it still counts and so does the token `jti`.

        `fingerprint` is the SHA-256 of the key to be certified, in hex.
        """
        values: _Values = {
            "sid": sid,
            "now": now,
            "jti": jti,
            "fingerprint": fingerprint,
        }
        if self._pooled is None:
            return await run_in_threadpool(self._ask, values)
        loop = asyncio.get_running_loop()
        if not self._asked:
            loop.call_soon(self._answer, self._pooled)
        answer: asyncio.Future[Entitlement | None] = loop.create_future()
        self._asked.append((values, answer))
        return await answer

    def close(self) -> None:
        """Give the connection back."""
        if self._pooled is not None:
            self._pooled.close()

    def _answer(self, connection: PoolProxiedConnection) -> None:
        asked, self._asked = self._asked, []
        waiting = [(values, answer) for values, answer in asked if not answer.done()]
        try:
            found = self._read(connection, [values for values, _ in waiting])
        except Exception as error:  # noqa: BLE001 -- it is for those who asked
            for _, answer in waiting:
                answer.set_exception(error)
        else:
            for (_, answer), entitlement in zip(waiting, found, strict=True):
                answer.set_result(entitlement)

    def _read(
        self, connection: PoolProxiedConnection, questions: list[_Values]
    ) -> list[Entitlement | None]:
        cursor = connection.cursor()
        try:
            cursor.execute("BEGIN")
            rows = [self._statement.run(cursor, values).fetchone() for values in questions]
        finally:
            cursor.close()
            connection.rollback()
        return [None if row is None else _entitlement(_named(row)) for row in rows]

    def _ask(self, values: _Values) -> Entitlement | None:
        with reading(self._engine) as connection:
            row = connection.execute(_QUERY, values).one_or_none()
        return None if row is None else _entitlement(row)


def _named(fields: Sequence[Any]) -> SimpleNamespace:
    """The driver's row as SQLAlchemy would give it."""
    row = SimpleNamespace(**dict(zip(_NAMES, fields, strict=True)))
    row.proofs = json.loads(row.proofs)
    return row


def _entitlement(row: Any) -> Entitlement:
    return Entitlement(session_of(row), row.lifetime, bool(row.key_revoked))
