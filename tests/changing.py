"""A directory with ten hosts, and a worker that follows what changes in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ca.hosts import bundle_writer
from ca.hosts.content import content_of
from ca.store import hosts
from ca.store.engine import reading
from tests.fleet import estate
from tests.fleet.estate import Estate, fill

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from ca.hosts.changes import Changes, Moment

SMALL = Estate(hosts=10, services=60, hosts_of_one=2, services_of_one=3)
HOSTS = [estate.host_name(number) for number in range(SMALL.hosts)]


@pytest.fixture
def filled(engine: Engine) -> Engine:
    fill(engine, SMALL)
    return engine


def contents(engine: Engine) -> dict[str, str]:
    """What each host is told, as a digest; nothing for one that is no more."""
    with reading(engine) as connection:
        known = {one.name: one for one in hosts.all_hosts(connection)}
        return {
            name: bundle_writer.encode(content_of(connection, known[name], (b"ca",))).digest()
            if name in known
            else ""
            for name in HOSTS
        }


def follow(engine: Engine, followed: Changes) -> Moment:
    with reading(engine) as connection:
        return followed.follow(connection)
