"""One host, stolen or broken, says no more than the CA has room for, and stops no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from ca.errors import TooManyAttempts
from ca.hosts import allowance
from ca.hosts.allowance import Allowance, Allowances
from ca.store import decisions as store
from ca.store import hosts
from ca.store.decisions import Wanted
from ca.store.engine import reading
from ca.store.hosts import Host
from sshd_hook.agent import host as agent_host
from sshd_hook.agent import poll
from tests.directory import ACME, apply_text
from tests.host_client import ELSEWHERE, NAME, HostClient, public_key
from tests.test_decisions_api import decision
from tests.web import listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ca.services import Services

ONE, OTHER = Host("1", "one", ("one",)), Host("2", "other", ("other",))
TEN = Allowance("words", 10, 2)
OTHER_NAME = "ssh2.acme.example"


def refused(allowances: Allowances, amount: int, now: float) -> int:
    """For how many seconds."""
    with pytest.raises(TooManyAttempts) as caught:
        allowances.take(ONE, TEN, amount, now)
    return caught.value.retry_after


def test_what_is_used_is_there_again_with_time_and_no_more_than_that() -> None:
    allowances = Allowances()
    allowances.take(ONE, TEN, 4, 100.0)
    allowances.take(ONE, TEN, 6, 100.0)
    assert refused(allowances, 1, 100.0) == 1
    assert refused(allowances, 10, 102.0) == 4  # 4 are back, and 6 take 3 seconds
    allowances.take(ONE, TEN, 4, 102.0)
    assert refused(allowances, 11, 1000.0) == 1
    allowances.take(ONE, TEN, 10, 1000.0)

    allowances.take(OTHER, TEN, 10, 1000.0)
    allowances.take(ONE, TEN._replace(kind="others"), 10, 1000.0)


def test_the_log_has_it_once_until_the_host_was_quiet() -> None:
    allowances = Allowances()
    with capture_logs() as logs:
        allowances.take(ONE, TEN, 10, 0.0)
        for now in (0.0, 0.1, 1.0):
            refused(allowances, 5, now)
        allowances.take(ONE, TEN, 5, 3.0)
        refused(allowances, 9, 4.0)
        assert len(logs) == 1
        refused(allowances, 11, 100.0)

    assert [(one["event"], one["host"], one["kind"]) for one in logs] == [
        ("host_says_too_much", "one", "words")
    ] * 2


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[Services]:
    with listening(tmp_path) as services:
        apply_text(services.engine, ACME + ELSEWHERE)
        yield services


def kept(services: Services, name: str) -> int:
    with reading(services.engine) as connection:
        return len(store.newest(connection, Wanted(name), 1000))


def test_a_host_is_taken_no_more_than_that_and_another_all_the_same(
    acme: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("DECISIONS", "CONNECTIONS", "ACKNOWLEDGEMENTS", "CERTIFICATES"):
        monkeypatch.setattr(allowance, kind, Allowance(kind.lower(), 3, 0.01))
    acme_url = acme.settings.issuer
    ca = poll.CA(acme_url, None)

    def as_agent(client: HostClient) -> agent_host.Host:
        joined = client.joined
        return agent_host.Host(joined["id"], joined["token"], client.name, acme_url)

    one, other = (as_agent(HostClient(acme, name)) for name in (NAME, OTHER_NAME))
    digest = "d" * 64
    said: list[Any] = [
        lambda host: ca.report(
            host, [decision(connection=f"{n}.1", code="no_access") for n in range(3)]
        ),
        *[lambda host: ca.tell_open(host, [])] * 3,
        *[lambda host: ca.acknowledge(host, 1, digest)] * 3,
        lambda host: ca.certify(host, [public_key(), public_key(), public_key()]),
    ]
    for say in said:
        say(one)
    more: list[Any] = [
        lambda: ca.report(one, [decision(connection="9.1")]),
        lambda: ca.tell_open(one, []),
        lambda: ca.acknowledge(one, 2, digest),
        lambda: ca.certify(one, [public_key()]),
    ]
    for say in more:
        with pytest.raises(poll.CAError, match=r"429: That is more \w+ .* Keep it") as caught:
            say()
        # What it rejects the agent throws away; this it keeps.
        assert not isinstance(caught.value, poll.RejectedError)
    for say in said:
        say(other)

    assert (kept(acme, NAME), kept(acme, OTHER_NAME)) == (3, 3)
    with reading(acme.engine) as connection:
        found = hosts.find_host(connection, NAME)
    assert found
    assert found.acknowledged == (1, digest)
