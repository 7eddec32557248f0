"""Queries that count attempts to log in."""

from dataclasses import dataclass

from sqlalchemy import Column, ColumnElement, Connection, case, delete, select, update

from ca.store.absent import if_absent
from ca.store.tables import attempts


@dataclass(frozen=True)
class Count:
    """Attempts in a row that no login followed, how many without a rest, and when the last was."""

    failures: int
    since_rest: int
    last_at: int


def find_count(connection: Connection, subject: str) -> Count:
    """The count of `subject`: a user's id or the hash of a name."""
    row = connection.execute(
        select(attempts.c.failures, attempts.c.since_rest, attempts.c.last_at).where(
            attempts.c.subject == subject
        )
    ).one_or_none()
    return Count(0, 0, 0) if row is None else Count(*row)


def replace(connection: Connection, subject: str, seen: Count, count: Count) -> bool:
    """Put `count` where it was as `seen`; False, and nothing changed, if it no longer is."""
    if seen.last_at == 0:
        _add_if_absent(connection, subject)
    result = connection.execute(
        update(attempts)
        .where(
            attempts.c.subject == subject,
            attempts.c.failures == seen.failures,
            attempts.c.since_rest == seen.since_rest,
            attempts.c.last_at == seen.last_at,
        )
        .values(
            failures=count.failures,
            since_rest=count.since_rest,
            last_at=count.last_at,
            earlier_at=seen.last_at,
        )
    )
    return result.rowcount == 1


def count_below(connection: Connection, subject: str, most: int, now: int) -> int:
    """Count one attempt, and return how many there are; 0, and nothing counted, if there were `most`."""
    _add_if_absent(connection, subject)
    counted = connection.execute(
        update(attempts)
        .where(attempts.c.subject == subject, attempts.c.failures < most)
        .values(failures=attempts.c.failures + 1, last_at=now)
        .returning(attempts.c.failures)
    )
    return counted.scalar_one_or_none() or 0


def take_back(connection: Connection, subject: str) -> None:
    """Undo the count of the last attempt, which was right: as if it had not been made."""
    connection.execute(
        update(attempts)
        .where(attempts.c.subject == subject)
        .values(
            failures=_one_less(attempts.c.failures),
            since_rest=_one_less(attempts.c.since_rest),
            last_at=attempts.c.earlier_at,
        )
    )


def end_row(connection: Connection, subject: str) -> None:
    """The last attempt was right, and no failure before it counts as one in a row any more."""
    connection.execute(update(attempts).where(attempts.c.subject == subject).values(failures=0))


def forget(connection: Connection, subject: str) -> None:
    """Begin to count anew."""
    connection.execute(delete(attempts).where(attempts.c.subject == subject))


def forget_between(connection: Connection, first: str, end: str) -> None:
    """Forget the counts of all subjects from `first` up to `end`, in their order."""
    connection.execute(
        delete(attempts).where(attempts.c.subject >= first, attempts.c.subject < end)
    )


def _one_less(column: Column[int]) -> ColumnElement[int]:
    return case((column > 0, column - 1), else_=0)


def _add_if_absent(connection: Connection, subject: str) -> None:
    row = {"subject": subject, "failures": 0, "since_rest": 0, "last_at": 0}
    connection.execute(if_absent(connection, attempts).values(row))
