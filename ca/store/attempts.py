"""Queries that count attempts to log in."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ca.store.tables import attempts


@dataclass(frozen=True)
class Count:
    """Attempts in a row that no login followed, and when the last one was."""

    failures: int
    last_at: int


def find_count(connection: Connection, subject: str) -> Count:
    """The count of `subject`: a user's id or the hash of a name."""
    row = connection.execute(
        select(attempts.c.failures, attempts.c.last_at).where(attempts.c.subject == subject)
    ).one_or_none()
    return Count(0, 0) if row is None else Count(row.failures, row.last_at)


def count_one(connection: Connection, subject: str, seen: Count, now: int) -> bool:
    """Count one attempt; False, and nothing counted, if the count is no longer as `seen`."""
    if seen.last_at == 0:
        _add_if_absent(connection, subject)
    result = connection.execute(
        update(attempts)
        .where(
            attempts.c.subject == subject,
            attempts.c.failures == seen.failures,
            attempts.c.last_at == seen.last_at,
        )
        .values(failures=seen.failures + 1, last_at=now)
    )
    return result.rowcount == 1


def count_below(connection: Connection, subject: str, most: int, now: int) -> bool:
    """Count one attempt; False, and nothing counted, if there were `most` already."""
    _add_if_absent(connection, subject)
    result = connection.execute(
        update(attempts)
        .where(attempts.c.subject == subject, attempts.c.failures < most)
        .values(failures=attempts.c.failures + 1, last_at=now)
    )
    return result.rowcount == 1


def take_back(connection: Connection, subject: str) -> None:
    """Undo the count of one attempt, which was right."""
    connection.execute(
        update(attempts)
        .where(attempts.c.subject == subject, attempts.c.failures > 0)
        .values(failures=attempts.c.failures - 1)
    )


def forget(connection: Connection, subject: str) -> None:
    """Begin to count anew."""
    connection.execute(delete(attempts).where(attempts.c.subject == subject))


def forget_before(connection: Connection, moment: int, length: int) -> None:
    """Forget the counts of subjects of `length` characters whose last attempt is older."""
    connection.execute(
        delete(attempts).where(
            func.length(attempts.c.subject) == length, attempts.c.last_at < moment
        )
    )


def _add_if_absent(connection: Connection, subject: str) -> None:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(
        dialect.insert(attempts)
        .values(subject=subject, failures=0, last_at=0)
        .on_conflict_do_nothing()
    )
