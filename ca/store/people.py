"""Queries about people and what they prove themselves with."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)

from ca.store.tables import (
    passwords,
    recovery_codes,
    totp_credentials,
    totp_enrolments,
    users,
)


@dataclass(frozen=True)
class User:
    """A person, or a service user."""

    id: str
    username: str
    email: str
    name: str
    kind: str
    disabled: bool

    @property
    def logs_in(self) -> bool:
        """Whether they may log in themselves: a service user has API tokens alone."""
        return self.kind == "person" and not self.disabled


@dataclass(frozen=True)
class Password:
    """A password's hash, and when it was chosen."""

    argon2: str
    changed_at: int


@dataclass(frozen=True)
class Totp:
    """A confirmed authenticator application."""

    secret_sealed: bytes
    last_step: int
    confirmed_at: int


@dataclass(frozen=True)
class Enrolment:
    """An authenticator application that was offered, but not confirmed yet."""

    secret_sealed: bytes
    issued_at: int


USER_COLUMNS = (
    users.c.id,
    users.c.username,
    users.c.email,
    users.c.name,
    users.c.kind,
    users.c.disabled_at,
)


def user_of(row: Row[*tuple[Any, ...]]) -> User:
    """The user in a row that holds USER_COLUMNS."""
    return User(
        id=row.id,
        username=row.username,
        email=row.email,
        name=row.name,
        kind=row.kind,
        disabled=row.disabled_at is not None,
    )


def find_user(connection: Connection, user_id: str) -> User | None:
    """The user with this id."""
    return _one_user(connection, select(*USER_COLUMNS).where(users.c.id == user_id))


def find_users(connection: Connection, user_ids: Iterable[str]) -> list[User]:
    """Those of these users that there are."""
    rows = connection.execute(select(*USER_COLUMNS).where(users.c.id.in_(list(user_ids))))
    return [user_of(row) for row in rows]


def rename(connection: Connection, user_id: str, name: str) -> None:
    """Give somebody another display name."""
    connection.execute(update(users).where(users.c.id == user_id).values(name=name))


def find_user_by_name(connection: Connection, name: str) -> User | None:
    """The user with this user name, or else with this e-mail address in any case."""
    if "\0" in name:  # PostgreSQL takes none in a text, not even to look for it
        return None
    found = _one_user(connection, select(*USER_COLUMNS).where(users.c.username == name))
    if found is not None:
        return found
    by_email = select(*USER_COLUMNS).where(func.lower(users.c.email) == name.lower())
    return _one_user(connection, by_email.limit(1))


def find_user_by_email(connection: Connection, email: str) -> User | None:
    """The person with this e-mail address, in any case."""
    mine = func.lower(users.c.email) == email.lower()
    query = select(*USER_COLUMNS).where(mine, users.c.kind == "person")
    return _one_user(connection, query.limit(1))


def has_proved_address(connection: Connection, username: str) -> bool:
    """Whether the user of this name has proved that their e-mail address is theirs."""
    query = select(users.c.email_verified_at).where(users.c.username == username)
    return connection.execute(query).scalar_one_or_none() is not None


def find_password(connection: Connection, user_id: str) -> Password | None:
    """The user's password."""
    query = select(passwords.c.argon2, passwords.c.changed_at)
    row = connection.execute(query.where(passwords.c.user_id == user_id)).one_or_none()
    return None if row is None else Password(*row)


def password_hash(connection: Connection, user_id: str) -> str | None:
    """The argon2 hash of the user's password, None where there is none."""
    found = find_password(connection, user_id)
    return None if found is None else found.argon2


def hold_password(connection: Connection, user_id: str, changed_at: str) -> bool:
    """Whether the user's password is still the one of that time; until this transaction ends, it is.

    Whoever changes it, or takes another factor away, does that first and then ends sessions.
    """
    mine = passwords.c.user_id == user_id
    return _hold(connection, passwords, mine, passwords.c.changed_at == int(changed_at))


def put_password(connection: Connection, user_id: str, argon2: str, now: int) -> None:
    """Store a new password's hash in the place of an old one.

    No two are of one second: by that a login tells whether it was checked against this one.
    """
    before = find_password(connection, user_id)
    moment = max(now, before.changed_at + 1) if before else now
    connection.execute(delete(passwords).where(passwords.c.user_id == user_id))
    connection.execute(insert(passwords).values(user_id=user_id, argon2=argon2, changed_at=moment))


def replace_hash(connection: Connection, user_id: str, old: str, new: str) -> None:
    """Store the same password hashed anew, unless it was changed meanwhile."""
    connection.execute(
        update(passwords)
        .where(passwords.c.user_id == user_id, passwords.c.argon2 == old)
        .values(argon2=new)
    )


def find_totp(connection: Connection, user_id: str) -> Totp | None:
    """The user's authenticator application."""
    row = connection.execute(
        select(
            totp_credentials.c.secret_sealed,
            totp_credentials.c.last_step,
            totp_credentials.c.confirmed_at,
        ).where(totp_credentials.c.user_id == user_id)
    ).one_or_none()
    return None if row is None else Totp(*row)


def hold_totp(connection: Connection, user_id: str, confirmed_at: str) -> bool:
    """Whether the user's application is still the one of that time, and stays so."""
    mine, since = totp_credentials.c.user_id == user_id, totp_credentials.c.confirmed_at
    return _hold(connection, totp_credentials, mine, since == int(confirmed_at))


def spend_totp_step(connection: Connection, user_id: str, step: int) -> bool:
    """Spend a time step, and with it all before it; False if it was spent already.

    One statement, so that of any number of uses at once, on any number of nodes, one succeeds.
    """
    result = connection.execute(
        update(totp_credentials)
        .where(totp_credentials.c.user_id == user_id, totp_credentials.c.last_step < step)
        .values(last_step=step)
    )
    return result.rowcount == 1


def add_totp(
    connection: Connection, user_id: str, secret_sealed: bytes, step: int, now: int
) -> None:
    """Store a confirmed application; `step` is the one whose code confirmed it, now spent."""
    connection.execute(
        insert(totp_credentials).values(
            user_id=user_id, secret_sealed=secret_sealed, last_step=step, confirmed_at=now
        )
    )


def remove_totp(connection: Connection, user_id: str) -> bool:
    """Forget the user's application; False if there was none."""
    result = connection.execute(
        delete(totp_credentials).where(totp_credentials.c.user_id == user_id)
    )
    return result.rowcount == 1


def find_enrolment(connection: Connection, user_id: str) -> Enrolment | None:
    """The application that was offered to the user last."""
    row = connection.execute(
        select(totp_enrolments.c.secret_sealed, totp_enrolments.c.issued_at).where(
            totp_enrolments.c.user_id == user_id
        )
    ).one_or_none()
    return None if row is None else Enrolment(*row)


def put_enrolment(connection: Connection, user_id: str, secret_sealed: bytes, now: int) -> None:
    """Offer an application in the place of any other that was not confirmed."""
    take_enrolment(connection, user_id)
    connection.execute(
        insert(totp_enrolments).values(user_id=user_id, secret_sealed=secret_sealed, issued_at=now)
    )


def take_enrolment(connection: Connection, user_id: str) -> bool:
    """Spend the offer; False if there was none, or another took it first."""
    result = connection.execute(delete(totp_enrolments).where(totp_enrolments.c.user_id == user_id))
    return result.rowcount == 1


def put_recovery_codes(connection: Connection, user_id: str, hashes: list[str]) -> None:
    """Store a new set of recovery codes; the old ones are void."""
    remove_recovery_codes(connection, user_id)
    connection.execute(
        insert(recovery_codes), [{"user_id": user_id, "code_hash": one} for one in hashes]
    )


def remove_recovery_codes(connection: Connection, user_id: str) -> None:
    """Void all of the user's recovery codes."""
    connection.execute(delete(recovery_codes).where(recovery_codes.c.user_id == user_id))


def spend_recovery_code(connection: Connection, user_id: str, code_hash: str, now: int) -> bool:
    """Spend a recovery code; False if it is none of the user's or was spent."""
    result = connection.execute(
        update(recovery_codes)
        .where(
            recovery_codes.c.user_id == user_id,
            recovery_codes.c.code_hash == code_hash,
            recovery_codes.c.used_at.is_(None),
        )
        .values(used_at=now)
    )
    return result.rowcount == 1


def hold_recovery_code(connection: Connection, user_id: str, code_hash: str) -> bool:
    """Whether this code, spent or not, is one of the user's present set, and stays so."""
    mine, code = recovery_codes.c.user_id == user_id, recovery_codes.c.code_hash
    return _hold(connection, recovery_codes, mine, code == code_hash)


def count_recovery_codes(connection: Connection, user_id: str) -> int:
    """How many recovery codes are left."""
    query = select(func.count()).where(
        recovery_codes.c.user_id == user_id, recovery_codes.c.used_at.is_(None)
    )
    return connection.execute(query).scalar_one()


def _hold(connection: Connection, table: Table, *which: ColumnElement[bool]) -> bool:
    held = select(table.c.user_id).where(*which).with_for_update(read=True)
    return connection.execute(held).first() is not None


def _one_user(connection: Connection, query: Select[*tuple[Any, ...]]) -> User | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else user_of(row)
