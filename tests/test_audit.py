"""The audit log: what is in it stays as it was, or `verify` says from where on it did not."""

from __future__ import annotations

import random
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ca import audit
from ca.store import schema
from ca.store.engine import open_engine, reading, writing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Engine

RECORDS = 40
TAMPERS = 1000


def fill(engine: Engine, count: int) -> None:
    for number in range(count):
        with writing(engine) as connection:
            audit.append(connection, "thing:done", "alice", f"thing {number}", {"n": number})


def verify(engine: Engine, anchor: audit.Head = audit.EMPTY) -> audit.Head:
    with reading(engine) as connection:
        return audit.verify(connection, anchor)


def test_what_was_appended_verifies(engine: Engine) -> None:
    assert verify(engine) == audit.EMPTY

    fill(engine, 3)

    with reading(engine) as connection:
        assert verify(engine) == audit.head(connection)
    assert verify(engine).seq == 3


def test_what_was_undone_left_no_trace(engine: Engine) -> None:
    def fail() -> None:
        with writing(engine) as connection:
            audit.append(connection, "thing:done", "alice", "thing", {})
            raise RuntimeError

    fill(engine, 1)
    with pytest.raises(RuntimeError):
        fail()
    fill(engine, 1)

    assert verify(engine).seq == 2


def test_many_at_once_make_one_chain(engine: Engine) -> None:
    threads = [threading.Thread(target=fill, args=(engine, 10)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    assert verify(engine).seq == 60


def alter(database: sqlite3.Connection, seq: int, chance: random.Random) -> int:
    column = chance.choice(["at", "event", "actor", "subject", "detail", "hash"])
    if column == "hash":
        database.execute("UPDATE audit_records SET hash = randomblob(32) WHERE seq = ?", (seq,))
    elif column == "at":
        database.execute("UPDATE audit_records SET at = at + 1 WHERE seq = ?", (seq,))
    else:
        change = f"UPDATE audit_records SET {column} = {column} || ' ' WHERE seq = ?"
        database.execute(change, (seq,))
    return seq


def delete(database: sqlite3.Connection, seq: int, _chance: random.Random) -> int:
    database.execute("DELETE FROM audit_records WHERE seq = ?", (seq,))
    return seq


def swap(database: sqlite3.Connection, seq: int, chance: random.Random) -> int:
    other = chance.choice([n for n in range(1, RECORDS + 1) if n != seq])
    for old, new in ((seq, -1), (other, seq), (-1, other)):
        database.execute("UPDATE audit_records SET seq = ? WHERE seq = ?", (new, old))
    return min(seq, other)


def truncate(database: sqlite3.Connection, seq: int, _chance: random.Random) -> int:
    database.execute("DELETE FROM audit_records WHERE seq >= ?", (seq,))
    return seq


def close_the_gap(database: sqlite3.Connection, seq: int, _chance: random.Random) -> int:
    database.execute("DELETE FROM audit_records WHERE seq = ?", (seq,))
    database.execute("UPDATE audit_records SET seq = -seq + 1 WHERE seq > ?", (seq,))
    database.execute("UPDATE audit_records SET seq = -seq WHERE seq < 0")
    return seq


@pytest.mark.attack(190)
def test_every_change_is_found_and_the_first_bad_record_named(tmp_path: Path) -> None:
    path = tmp_path / "ca.db"
    engine = open_engine(f"sqlite:///{path}")
    schema.upgrade(engine)
    fill(engine, RECORDS)
    anchor = verify(engine)
    kinds: list[Callable[[sqlite3.Connection, int, random.Random], int]] = [
        alter,
        delete,
        swap,
        truncate,
        close_the_gap,
    ]
    chance = random.Random(190)
    database = sqlite3.connect(path)
    kept = database.execute("SELECT * FROM audit_records").fetchall()
    for _ in range(TAMPERS):
        kind = chance.choice(kinds)
        first_bad = kind(database, chance.randint(1, RECORDS), chance)
        database.commit()

        with pytest.raises(audit.Tampered) as found:
            verify(engine, anchor)

        assert found.value.seq == first_bad, kind
        database.execute("DELETE FROM audit_records")
        database.executemany("INSERT INTO audit_records VALUES (?, ?, ?, ?, ?, ?, ?)", kept)
        database.commit()
    assert verify(engine, anchor) == anchor
    database.close()
    engine.dispose()


def test_a_log_written_anew_does_not_fit_an_old_anchor(engine: Engine) -> None:
    fill(engine, 3)
    anchor = audit.Head(3, bytes(32))

    with pytest.raises(audit.Tampered, match="anchor"):
        verify(engine, anchor)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(), values), st.randoms())
def test_canonical_json_is_the_same_in_whatever_order(
    value: dict[str, Any], chance: random.Random
) -> None:
    items = list(value.items())
    chance.shuffle(items)

    text = audit.canonical(dict(items))

    assert text == audit.canonical(value)
    assert text.isascii()
    assert "\n" not in text


@pytest.mark.parametrize("value", [{"a": 1.5}, {1: "a"}, {"a": b"b"}, {"a": [float("nan")]}])
def test_what_has_no_canonical_form_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        audit.canonical(value)
