"""Serial numbers: never 0, and never twice, whatever happens."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.errors import Unavailable
from ca.issuance import serials
from ca.issuance.serials import LAST_COUNT, LAST_EPOCH, Serials, take_epoch
from ca.store.engine import writing

if TYPE_CHECKING:
    from sqlalchemy import Engine

NOW = 1_800_000_000
MANY = 1_000_000

TAKE = """
import sys
from ca.issuance.serials import take_epoch
from ca.store.engine import open_engine, writing

engine = open_engine(sys.argv[1])
for _ in range(20):
    with writing(engine) as connection:
        print(take_epoch(connection, 1_800_000_000))
"""


def take(engine: Engine, now: int = NOW) -> int:
    with writing(engine) as connection:
        return take_epoch(connection, now)


@pytest.mark.attack(27)
def test_a_million_numbers_are_all_different_and_none_is_zero() -> None:
    made = Serials(lambda: NOW)

    numbers = {made.next() for _ in range(MANY)}

    assert len(numbers) == MANY
    assert min(numbers) == NOW << 32 | 1


@pytest.mark.attack(27)
@settings(max_examples=300)
@given(st.integers(1, LAST_EPOCH), st.integers(0, LAST_COUNT))
def test_every_number_fits_and_none_is_zero(epoch: int, used: int) -> None:
    epochs = iter([epoch, epoch + 1])
    made = Serials(lambda: next(epochs))
    made._count = used

    number = made.next()

    assert 0 < number < 2**63 + 2**32
    assert number & LAST_COUNT != 0
    assert number > (epoch << 32 | used)


def test_used_up_numbers_are_followed_by_the_next_epoch() -> None:
    epochs = iter([NOW, NOW + 7])
    made = Serials(lambda: next(epochs))
    made._count = LAST_COUNT - 1

    assert [made.next(), made.next()] == [NOW << 32 | LAST_COUNT, (NOW + 7) << 32 | 1]


def test_threads_share_one_sequence() -> None:
    made = Serials(lambda: NOW)
    taken: list[list[int]] = [[] for _ in range(4)]

    def work(into: list[int]) -> None:
        into.extend(made.next() for _ in range(20_000))

    threads = [threading.Thread(target=work, args=(into,)) for into in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    assert len({number for into in taken for number in into}) == 80_000


def test_epochs_begin_at_the_present_time_and_rise(engine: Engine) -> None:
    assert take(engine) == NOW
    assert take(engine) == NOW + 1
    assert take(engine, NOW + 100) == NOW + 100
    assert take(engine, NOW - 100) == NOW + 101


def test_a_restored_database_gives_no_number_again(engine: Engine) -> None:
    """The backup is of a time before later epochs were taken; the clock has gone on since."""
    later = NOW + 3600
    given_after_the_backup = {later, later + 1}

    assert take(engine, NOW) == NOW  # what the backup knows
    assert take(engine, later + 60) not in given_after_the_backup


def test_two_workers_never_share_an_epoch(engine: Engine, database_url: str) -> None:
    command = [sys.executable, "-c", TAKE, database_url]
    workers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="ascii")
        for _ in range(2)
    ]
    epochs = [line for worker in workers for line in worker.communicate(timeout=60)[0].split()]

    assert [worker.returncode for worker in workers] == [0, 0]
    assert len(epochs) == len(set(epochs)) == 40
    assert take(engine) == NOW + 40


def test_the_last_epoch_is_refused_and_not_taken(engine: Engine) -> None:
    assert take(engine, LAST_EPOCH) == LAST_EPOCH
    with pytest.raises(Unavailable):
        take(engine)
    assert serials.COUNTER_BITS == 32
