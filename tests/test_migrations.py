"""From an empty database to the present schema, and back."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, select, text

from ca.errors import Misconfigured
from ca.migrations import versions
from ca.store import schema
from ca.store.engine import open_engine, reading, writing
from ca.store.tables import directory_version, metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Engine

KILLED_HALF_WAY = """
import os, signal, sys
from sqlalchemy import event
from ca.store import schema
from ca.store.engine import open_engine

engine = open_engine(sys.argv[1])
left = int(sys.argv[2])

@event.listens_for(engine, "after_cursor_execute")
def count(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

schema.upgrade(engine)
"""


@pytest.fixture
def engine(empty_database_url: str) -> Iterator[Engine]:
    opened = open_engine(empty_database_url)
    yield opened
    opened.dispose()


def _downgrade(engine: Engine) -> None:
    with writing(engine) as connection:
        config = schema.config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")


def _seen(engine: Engine) -> dict[str, list[str]]:
    """Everything that the database says of its tables, in no order but the columns'."""
    found = inspect(engine)

    def words(parts: Iterable[object]) -> list[str]:
        return [json.dumps(part, default=str, sort_keys=True) for part in parts]

    return {
        table: [
            *words(found.get_columns(table)),
            *words([found.get_pk_constraint(table)]),
            *sorted(words(found.get_foreign_keys(table))),
            *sorted(words(found.get_unique_constraints(table))),
            *sorted(words(found.get_indexes(table))),
        ]
        for table in found.get_table_names()
        if table != "alembic_version"
    }


def test_the_migrations_make_what_the_code_expects(engine: Engine) -> None:
    schema.upgrade(engine)

    with reading(engine) as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []
        assert connection.execute(select(directory_version)).all() == [(1, 0)]
    schema.check(engine)


def test_they_make_the_very_tables_of_the_code(engine: Engine) -> None:
    """Also what Alembic does not compare: names of keys, defaults, what a deletion takes with it."""
    schema.upgrade(engine)
    migrated = _seen(engine)
    _downgrade(engine)
    metadata.create_all(engine)

    assert migrated == _seen(engine)


def test_no_migration_changes_with_the_code() -> None:
    files = sorted(Path(versions.__file__).parent.glob("0*.py"))
    assert files

    ours = re.compile(r"^\s*(?:from|import) (?:ca|sshd_hook)\b", re.MULTILINE)
    assert [file.name for file in files if ours.search(file.read_text())] == []


def test_an_upgrade_of_what_is_up_to_date_changes_nothing(engine: Engine) -> None:
    schema.upgrade(engine)
    schema.upgrade(engine)

    schema.check(engine)


def test_all_can_be_undone_and_done_again(engine: Engine) -> None:
    schema.upgrade(engine)
    _downgrade(engine)
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}

    schema.upgrade(engine)

    schema.check(engine)


def test_another_schema_is_refused(engine: Engine) -> None:
    with pytest.raises(Misconfigured, match="empty"):
        schema.check(engine)
    schema.upgrade(engine)
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(Misconfigured, match="9999"):
        schema.check(engine)


@pytest.mark.parametrize("statements", [3, 15, 30])
def test_an_upgrade_that_is_killed_leaves_nothing(
    engine: Engine, empty_database_url: str, statements: int
) -> None:
    arguments = [sys.executable, "-c", KILLED_HALF_WAY, empty_database_url, str(statements)]
    killed = subprocess.run(arguments, check=False, timeout=60)
    assert killed.returncode == -9

    assert inspect(engine).get_table_names() == []
    schema.upgrade(engine)
    schema.check(engine)


def test_two_nodes_upgrade_at_once(engine: Engine) -> None:
    faults: list[BaseException] = []

    def upgrade() -> None:
        try:
            schema.upgrade(engine)
        except BaseException as error:  # noqa: BLE001 -- seen by the test
            faults.append(error)

    threads = [threading.Thread(target=upgrade) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    assert faults == []
    schema.check(engine)
