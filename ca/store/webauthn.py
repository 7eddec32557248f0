"""Queries about passkeys and security keys."""

import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, literal, or_, select, update

from ca.store.absent import insert_if_absent
from ca.store.people import User, find_user
from ca.store.tables import webauthn_challenges, webauthn_handles, webauthn_keys

HANDLE = 32  # bytes; WebAuthn allows 64
SPENT_KEPT = 3600  # seconds that a spent challenge is kept once expired: nodes' clocks differ


@dataclass(frozen=True)
class Key:
    """A passkey or security key of somebody."""

    id: str
    user_id: str
    credential_id: bytes
    public_key: bytes
    sign_count: int
    backup_eligible: bool
    backed_up: bool
    transports: tuple[str, ...]
    name: str
    created_at: int
    used_at: int | None = None
    counter_fell_at: int | None = None

    @property
    def amr(self) -> str:
        """What a proof by it is called: what may ever be backed up is not bound to hardware."""
        return "swk" if self.backup_eligible else "hwk"


@dataclass(frozen=True)
class Held:
    """A key, whose it is, and what their passkeys call them."""

    key: Key
    user: User
    handle: bytes


def keys_of(connection: Connection, user_id: str) -> tuple[Key, ...]:
    """The user's keys, the oldest first."""
    columns = webauthn_keys.c
    rows = connection.execute(
        select(*columns).where(columns.user_id == user_id).order_by(columns.created_at, columns.id)
    )
    return tuple(_key_of(row) for row in rows)


def find_held(connection: Connection, credential_id: bytes) -> Held | None:
    """The key with this credential id, unless its user may not log in."""
    row = connection.execute(
        select(*webauthn_keys.c).where(webauthn_keys.c.credential_id == credential_id)
    ).one_or_none()
    user = None if row is None else find_user(connection, row.user_id)
    if row is None or user is None or not user.logs_in:
        return None
    return Held(_key_of(row), user, _handle(connection, user.id))


def make_handle(connection: Connection, user_id: str) -> bytes:
    """What the user's passkeys call them; made up where there is nothing yet."""
    values = {"user_id": user_id, "handle": secrets.token_bytes(HANDLE)}
    insert_if_absent(connection, webauthn_handles, values)
    return _handle(connection, user_id)


def _handle(connection: Connection, user_id: str) -> bytes:
    handle: bytes = connection.execute(
        select(webauthn_handles.c.handle).where(webauthn_handles.c.user_id == user_id)
    ).scalar_one()
    return handle


def add_key(connection: Connection, key: Key) -> bool:
    """Store a new key; False if there is one with this credential id, whoever's."""
    values = {column.name: getattr(key, column.name) for column in webauthn_keys.c}
    values["transports"] = list(key.transports)
    return insert_if_absent(connection, webauthn_keys, values)


def use_key(
    connection: Connection, key_id: str, sign_count: int, now: int, *, backed_up: bool
) -> bool:
    """Note that a key was used; False, and nothing noted, if its counter has not risen.

    One that always says 0 has none (WebAuthn, section 6.1.1). False also if the key is gone.
    """
    columns = webauthn_keys.c
    rose = or_(
        columns.sign_count < sign_count, and_(columns.sign_count == 0, literal(sign_count) == 0)
    )
    result = connection.execute(
        update(webauthn_keys)
        .where(columns.id == key_id, rose)
        .values(sign_count=sign_count, backed_up=backed_up, used_at=now)
    )
    return result.rowcount == 1


def flag_key(connection: Connection, key_id: str, now: int) -> bool:
    """Note that a key was used, and that its counter has not risen; False if the key is gone.

    The highest count stays, so that the other copy is noticed as well.
    """
    result = connection.execute(
        update(webauthn_keys)
        .where(webauthn_keys.c.id == key_id)
        .values(used_at=now, counter_fell_at=now)
    )
    return result.rowcount == 1


def hold_key(connection: Connection, user_id: str, key_id: str) -> bool:
    """Whether the user has this key; nobody removes it before this transaction ends."""
    columns = webauthn_keys.c
    held = select(columns.id).where(columns.id == key_id, columns.user_id == user_id)
    return connection.execute(held.with_for_update(read=True)).first() is not None


def remove_key(connection: Connection, user_id: str, key_id: str) -> bool:
    """Forget one key; False if the user has none with this id."""
    columns = webauthn_keys.c
    result = connection.execute(
        delete(webauthn_keys).where(columns.id == key_id, columns.user_id == user_id)
    )
    return result.rowcount == 1


def remove_keys(connection: Connection, user_id: str) -> None:
    """Forget all of the user's keys."""
    connection.execute(delete(webauthn_keys).where(webauthn_keys.c.user_id == user_id))


def spend_challenge(connection: Connection, challenge_hash: str, expires_at: int, now: int) -> bool:
    """Spend a challenge; False if it was spent.

    One statement, so that of any number of uses at once, on any number of nodes, one succeeds.
    """
    columns = webauthn_challenges.c
    connection.execute(delete(webauthn_challenges).where(columns.expires_at < now - SPENT_KEPT))
    values = {"challenge_hash": challenge_hash, "expires_at": expires_at}
    return insert_if_absent(connection, webauthn_challenges, values)


def _key_of(row: Row[*tuple[Any, ...]]) -> Key:
    fields = dict(row._mapping)  # noqa: SLF001 -- SQLAlchemy's public name for a row by columns
    return Key(**{**fields, "transports": tuple(fields["transports"])})
