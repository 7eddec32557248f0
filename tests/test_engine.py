"""The database as the service opens it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError

from ca.errors import Misconfigured
from ca.store.engine import open_engine, reading, writing
from ca.store.tables import members, serial_epochs

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine


def test_sqlite_keeps_what_it_said_it_has(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/ca.db")
    with reading(engine) as connection:
        pragmas = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    engine.dispose()
    # 2 is FULL: each commit is on the disk before it returns.
    expected = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10000}
    assert pragmas == expected


def test_what_refers_to_nothing_is_refused(engine: Engine) -> None:
    with pytest.raises(IntegrityError), writing(engine) as connection:
        connection.execute(insert(members).values(organization_id="a", user_id="b", role="owner"))


def test_an_error_tells_nothing_of_what_was_to_be_written(engine: Engine) -> None:
    with pytest.raises(IntegrityError) as refused, writing(engine) as connection:
        connection.execute(insert(members).values(organization_id="a", user_id="b", role="hush"))
    assert "hush" not in str(refused.value)


def test_an_exception_undoes_the_whole_transaction(engine: Engine) -> None:
    def fail() -> None:
        with writing(engine) as connection:
            connection.execute(insert(serial_epochs).values(epoch=1, taken_at=1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    with reading(engine) as connection:
        assert connection.execute(select(serial_epochs)).all() == []


def test_writers_wait_for_each_other_from_the_start(engine: Engine) -> None:
    """Each reads, then writes what it read plus one: none is refused, no count is lost."""
    with writing(engine) as connection:
        connection.execute(insert(serial_epochs).values(epoch=1, taken_at=0))
    lock = "LOCK TABLE serial_epochs IN EXCLUSIVE MODE" if engine.name == "postgresql" else None

    def count() -> None:
        for _ in range(10):
            with writing(engine) as connection:
                if lock:
                    connection.execute(text(lock))
                found = connection.execute(select(serial_epochs.c.taken_at)).scalar_one()
                connection.execute(serial_epochs.update().values(taken_at=found + 1))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    with reading(engine) as connection:
        assert connection.execute(select(serial_epochs.c.taken_at)).scalar_one() == 80


def test_a_reader_does_not_wait_for_a_writer(engine: Engine) -> None:
    with writing(engine) as writer:
        writer.execute(insert(serial_epochs).values(epoch=1, taken_at=1))
        with reading(engine) as reader:
            assert reader.execute(select(serial_epochs)).all() == []


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "mysql://a/b", "oracle://x", "nonsense", ""]
)
def test_no_other_database_is_taken(url: str) -> None:
    with pytest.raises(Misconfigured):
        open_engine(url)
