"""Queries about device authorizations (RFC 8628): each is decided once, and spent once."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from ca.identity.proofs import Proofs, from_fields, to_fields
from ca.store.tables import device_codes

MAX_FAILURES = 5
"""Approvals that may be refused; then the code is dead."""

KEPT = 3600  # seconds after its end that a code is still known, to say what became of it


@dataclass(frozen=True)
class DeviceAuthorization:
    """What a device asked, and from where. `code_hash` is of the code that the device holds."""

    code_hash: str
    client_id: str
    scope: str
    amr: tuple[str, ...]
    max_age: int | None
    address: str
    user_agent: str
    created_at: int
    expires_at: int


@dataclass(frozen=True)
class State:
    """How far a device authorization has come. `sid` is the session that it was exchanged for."""

    client_id: str
    expires_at: int
    allowed: bool | None
    dead: bool
    sid: str | None


@dataclass(frozen=True)
class Approval:
    """What a person allowed, in which browser session, after proving what."""

    user_id: str
    browser_session_id: str
    client_id: str
    scope: str
    proofs: Proofs


def add(
    connection: Connection, asked: DeviceAuthorization, user_code_hash: str, interval: int
) -> None:
    """Store a new authorization, that a device polls for each `interval` seconds."""
    connection.execute(
        insert(device_codes).values(
            device_code_hash=asked.code_hash,
            user_code_hash=user_code_hash,
            client_id=asked.client_id,
            scope=asked.scope,
            amr=list(asked.amr),
            max_age=asked.max_age,
            address=asked.address[:45],
            user_agent=asked.user_agent[:255],
            created_at=asked.created_at,
            expires_at=asked.expires_at,
            interval=interval,
            failures=0,
        )
    )


def forget_old(connection: Connection, now: int) -> None:
    """Delete what nobody asks for any more."""
    connection.execute(delete(device_codes).where(device_codes.c.expires_at < now - KEPT))


def count_open(connection: Connection, address: str, now: int) -> int:
    """How many that were asked for from `address` wait for a decision."""
    query = (
        select(func.count())
        .select_from(device_codes)
        .where(device_codes.c.address == address[:45], *_is_open(now))
    )
    return connection.execute(query).scalar_one()


def find_typed(connection: Connection, user_code_hash: str, now: int) -> DeviceAuthorization | None:
    """The authorization with this user code, if it waits for a decision."""
    query = select(device_codes).where(
        device_codes.c.user_code_hash == user_code_hash, *_is_open(now)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else _authorization(row)


def find_open(connection: Connection, code_hash: str, now: int) -> DeviceAuthorization | None:
    """The authorization with this device code, if it waits for a decision."""
    query = select(device_codes).where(device_codes.c.device_code_hash == code_hash, *_is_open(now))
    row = connection.execute(query).one_or_none()
    return None if row is None else _authorization(row)


def allow(connection: Connection, code_hash: str, approval: Approval, now: int) -> bool:
    """Allow what was asked; False if it does not wait for a decision any more.

    Whoever comes second waits here until the first has committed, on any number of nodes.
    """
    result = connection.execute(
        update(device_codes)
        .where(device_codes.c.device_code_hash == code_hash, *_is_open(now))
        .values(
            decided_at=now,
            allowed=True,
            user_id=approval.user_id,
            browser_session_id=approval.browser_session_id,
            proofs=to_fields(approval.proofs),
        )
    )
    return result.rowcount == 1


def deny(connection: Connection, code_hash: str, user_id: str, now: int) -> bool:
    """Deny what was asked; False if it does not wait for a decision any more."""
    result = connection.execute(
        update(device_codes)
        .where(device_codes.c.device_code_hash == code_hash, *_is_open(now))
        .values(decided_at=now, allowed=False, user_id=user_id)
    )
    return result.rowcount == 1


def count_failure(connection: Connection, code_hash: str, now: int) -> bool:
    """Count an approval that was refused; False if it does not wait for one any more."""
    result = connection.execute(
        update(device_codes)
        .where(device_codes.c.device_code_hash == code_hash, *_is_open(now))
        .values(failures=device_codes.c.failures + 1)
    )
    return result.rowcount == 1


def find_state(connection: Connection, code_hash: str) -> State | None:
    """How far the authorization with this device code has come."""
    row = connection.execute(
        select(
            device_codes.c.client_id,
            device_codes.c.expires_at,
            device_codes.c.allowed,
            (device_codes.c.failures >= MAX_FAILURES).label("dead"),
            device_codes.c.sid,
        ).where(device_codes.c.device_code_hash == code_hash)
    ).one_or_none()
    return None if row is None else State(*row)


def poll(connection: Connection, code_hash: str, now: int, slower: int) -> bool:
    """Note that the device asks; False if it does so too early, and has to ask `slower` from now.

    `slower` is in seconds, on top of the interval.
    """
    polled = connection.execute(
        update(device_codes)
        .where(
            device_codes.c.device_code_hash == code_hash,
            or_(
                device_codes.c.polled_at.is_(None),
                device_codes.c.polled_at <= now - device_codes.c.interval,
            ),
        )
        .values(polled_at=now)
    )
    if polled.rowcount == 1:
        return True
    connection.execute(
        update(device_codes)
        .where(device_codes.c.device_code_hash == code_hash)
        .values(polled_at=now, interval=device_codes.c.interval + slower)
    )
    return False


def spend(connection: Connection, code_hash: str, now: int) -> Approval | None:
    """Spend a code that was allowed; None if it was not, or was spent before."""
    row = connection.execute(
        update(device_codes)
        .where(
            device_codes.c.device_code_hash == code_hash,
            device_codes.c.allowed.is_(True),
            device_codes.c.expires_at > now,
            device_codes.c.used_at.is_(None),
        )
        .values(used_at=now)
        .returning(device_codes)
    ).one_or_none()
    if row is None:
        return None
    return Approval(
        row.user_id,
        row.browser_session_id,
        row.client_id,
        row.scope,
        from_fields(row.proofs),
    )


def note_session(connection: Connection, code_hash: str, sid: str) -> None:
    """Remember which session the code was exchanged for."""
    connection.execute(
        update(device_codes).where(device_codes.c.device_code_hash == code_hash).values(sid=sid)
    )


def _is_open(now: int) -> tuple[Any, ...]:
    return (
        device_codes.c.decided_at.is_(None),
        device_codes.c.expires_at > now,
        device_codes.c.failures < MAX_FAILURES,
    )


def _authorization(row: Row[*tuple[Any, ...]]) -> DeviceAuthorization:
    return DeviceAuthorization(
        code_hash=row.device_code_hash,
        client_id=row.client_id,
        scope=row.scope,
        amr=tuple(row.amr),
        max_age=row.max_age,
        address=row.address,
        user_agent=row.user_agent,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
