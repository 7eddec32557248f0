"""Whom a revocation concerns: the hosts on which its user has a role."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, insert, select

from ca.hosts.changes import Changes, Moment
from ca.store import changes, revocations, tables
from ca.store.engine import reading, writing
from ca.store.revocations import Cause
from tests.changing import HOSTS, follow
from tests.fleet import estate

if TYPE_CHECKING:
    from sqlalchemy import Engine


@pytest.fixture
def revoking(filled: Engine) -> tuple[Engine, Changes, Moment]:
    """Everybody of the first organization's people has a certificate."""
    now = int(time.time())
    with writing(filled) as connection:
        connection.execute(
            insert(tables.certificates),
            [
                {
                    "serial": number + 1,
                    "kind": "user",
                    "subject": estate.user_id(0, number),
                    "issued_at": now,
                    "valid_before": now + 3600,
                }
                for number in range(estate.PEOPLE_OF_ONE)
            ],
        )
    followed = Changes()
    return filled, followed, follow(filled, followed)


def _woken(engine: Engine, followed: Changes, moment: Moment) -> set[str]:
    follow(engine, followed)
    return {name for name in HOSTS if followed.since(name, moment)}


def test_a_revocation_wakes_the_hosts_on_which_its_user_has_a_role(
    revoking: tuple[Engine, Changes, Moment],
) -> None:
    engine, followed, moment = revoking
    has_role, has_none = estate.user_id(0, 0), estate.user_id(0, 1)
    now = int(time.time())
    with writing(engine) as connection:
        revocations.revoke_user(connection, has_none, Cause(now, "operator", "user:revoke"))
    assert not _woken(engine, followed, moment)

    with writing(engine) as connection:
        revocations.revoke_user(connection, has_role, Cause(now, "operator", "user:revoke"))
    assert _woken(engine, followed, moment) == set(HOSTS[:2])


def test_so_does_one_that_spares_open_connections_no_more(
    revoking: tuple[Engine, Changes, Moment],
) -> None:
    engine, followed, moment = revoking
    now = int(time.time())
    with writing(engine) as connection:
        revocations.revoke_serial(connection, 1, Cause(now, "somebody", revocations.SPARING))
    moment = follow(engine, followed)

    with writing(engine) as connection:
        revocations.revoke_serial(connection, 1, Cause(now, "operator", "certificate:revoke"))

    assert _woken(engine, followed, moment) == set(HOSTS[:2])


def test_a_key_that_is_revoked_concerns_everybody(
    revoking: tuple[Engine, Changes, Moment],
) -> None:
    engine, followed, moment = revoking
    with writing(engine) as connection:
        revocations.revoke_key(connection, "0" * 64, Cause(1, "operator", "key:revoke"))

    assert _woken(engine, followed, moment) == set(HOSTS)


def test_what_leaves_the_list_concerns_nobody(revoking: tuple[Engine, Changes, Moment]) -> None:
    engine, followed, _moment = revoking
    now = int(time.time())
    with writing(engine) as connection:
        revocations.revoke_serial(connection, 1, Cause(now, "operator", "certificate:revoke"))
    moment = follow(engine, followed)

    with writing(engine) as connection:
        revocations.drop_overdue(connection, now + 9000)

    assert follow(engine, followed).revocations > moment.revocations
    assert not _woken(engine, followed, moment)
    with reading(engine) as connection:
        assert connection.execute(select(func.count(tables.revocations.c.serial))).scalar() == 0
    assert changes.EVERYBODY not in HOSTS
