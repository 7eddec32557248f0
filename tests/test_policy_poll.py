"""Hosts wait for what changes, and tell what they have."""

from __future__ import annotations

import base64
import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from ca.app import create_app
from ca.hosts import join
from ca.issuance import revocation
from ca.store import tables
from ca.store.engine import writing
from sshd_hook import bundle, freshness
from tests.directory import ACME, SERVICE, apply_text, served, version
from tests.host_client import (
    ELSEWHERE,
    GLOBEX,
    NAME,
    HostClient,
    bump,
    change_by_api,
    change_by_command,
    change_by_file,
    known_host,
)
from tests.web import ISSUER

if TYPE_CHECKING:
    from ca.services import Services


def test_who_has_the_newest_gets_only_the_word_that_it_is(acme: Services) -> None:
    host = HostClient(acme)
    first = host.policy()
    assert host.acknowledge(first).status_code == 204

    begun = time.monotonic()
    second = host.policy(have=first["version"], wait=2)

    assert 2 <= time.monotonic() - begun < 10
    assert second["version"] == first["version"]
    assert (second["bundle"], second["bundle_signature"]) == (None, None)
    before, after = (freshness.parse(one["fresh"].encode()) for one in (first, second))
    assert after.digest == before.digest
    assert after.issued_at > before.issued_at


def test_who_has_other_bytes_of_this_version_gets_the_right_ones(acme: Services) -> None:
    """So that no host is stuck with what nobody vouches for any more."""
    host = HostClient(acme)
    first = host.policy()

    assert host.policy(have=first["version"])["bundle"] == first["bundle"]
    host.acknowledge(first)
    with writing(acme.engine) as connection:
        connection.execute(update(tables.hosts).values(acknowledged_digest="0" * 64))
    assert host.policy(have=first["version"])["bundle"] == first["bundle"]


@pytest.mark.parametrize("have", [1, 2**63 - 1])
def test_who_has_another_version_gets_this_one_at_once(acme: Services, have: int) -> None:
    begun = time.monotonic()

    policy = HostClient(acme).policy(have=have, wait=50)

    assert policy["bundle"]
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    "query", ["version=-1", "version=x", f"version={2**63}", "wait=-1", "wait=x"]
)
def test_a_question_that_makes_no_sense_is_refused(acme: Services, query: str) -> None:
    host = HostClient(acme)

    response = host.http.get(
        f"/hosts/{host.joined['id']}/policy?{query}",
        headers={"authorization": f"Bearer {host.joined['token']}"},
    )

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_who_once_had_a_newer_version_gets_none_below_it(acme: Services) -> None:
    """As after a restored backup, which has forgotten what it sent since it was made."""
    host = HostClient(acme)
    old = host.settle()
    restored = bump(acme)

    assert host.policy()["version"] == old
    assert host.policy(floor=restored)["version"] == restored
    # And so it stays, though the content is the old one.
    assert host.policy()["version"] == restored


def test_who_has_another_revocation_list_gets_this_one_at_once(acme: Services) -> None:
    host = HostClient(acme)
    have = host.settle()
    begun = time.monotonic()

    policy = host.policy(have, wait=50, krl=freshness.parse(host.fresh()).krl_version - 1)

    assert policy["krl"]
    assert policy["bundle"] is None
    assert time.monotonic() - begun < 10


def test_a_revocation_reaches_a_host_that_has_all_else(acme: Services) -> None:
    with served(acme) as http, ThreadPoolExecutor(1) as pool:
        host = HostClient(acme, http=http)
        answer = pool.submit(host.policy, host.settle(), 20, krl=1)
        time.sleep(0.5)
        assert not answer.done()

        lost = f"SHA256:{base64.b64encode(bytes(range(32))).decode().rstrip('=')}"
        revocation.revoke_key(acme.engine, lost, (), "operator", "lost", now=int(time.time()))
        policy = answer.result(timeout=10)

    assert policy["bundle"] is None
    listed = base64.b64decode(policy["krl"])
    assert bytes(range(32)) in listed
    stated = freshness.parse(policy["fresh"].encode())
    assert 1 < stated.krl_version == policy["krl_version"]
    assert stated.krl_digest == hashlib.sha256(listed).hexdigest()


def timed(client: HostClient, have: int, wait: int) -> tuple[Any, float]:
    """What a host that waits gets, and how long it waited."""
    begun = time.monotonic()
    return client.policy(have, wait, krl=1), time.monotonic() - begun


def test_a_change_reaches_those_whom_it_concerns_and_no_others(acme: Services) -> None:
    """Two hosts of one organization wait, and one of another: it does not even hear of it."""
    apply_text(acme.engine, ACME + ELSEWHERE + GLOBEX)
    with served(acme) as http, ThreadPoolExecutor(3) as pool:
        names = (NAME, "ssh2.acme.example", "ssh.globex.example")
        clients = [HostClient(acme, name, http=http) for name in names]
        have = [client.settle() for client in clients]
        waits = (20, 20, 2)
        first, second, other = (
            pool.submit(timed, *each) for each in zip(clients, have, waits, strict=True)
        )
        time.sleep(0.5)

        text = '\n[organizations.acme.requirement]\namr = ["mfa"]\n'
        apply_text(acme.engine, ACME + ELSEWHERE + GLOBEX + text)

        for answer, client, service in (
            (first, clients[0], SERVICE),
            (second, clients[1], "zyxwvut987654-main--app"),
        ):
            policy, seconds = answer.result(timeout=40)
            assert seconds < 10
            assert policy["version"] == version(acme.engine)
            record = bundle.from_bytes(base64.b64decode(policy["bundle"])).service(service)
            assert record
            assert record.requirement.amr == {"mfa"}
            client.acknowledge(policy)
        policy, seconds = other.result(timeout=20)

    assert seconds >= waits[2]
    assert (policy["version"], policy["bundle"]) == (have[2], None)
    assert have[2] < version(acme.engine)
    # The word that it is current is a new one all the same.
    assert freshness.parse(policy["fresh"].encode()).version == have[2]


def test_what_another_organization_changes_is_not_sent_again_later(acme: Services) -> None:
    """Nor by a worker that has never sent anything to this host."""
    apply_text(acme.engine, ACME + ELSEWHERE + GLOBEX)
    host = HostClient(acme, "ssh.globex.example")
    have = host.settle()
    change_by_command(acme)

    for http in (host.http, TestClient(create_app(acme), base_url=ISSUER)):
        host.http = http
        begun = time.monotonic()
        policy = host.policy(have, wait=1)
        assert (policy["version"], policy["bundle"], policy["services"]) == (have, None, [])
        assert time.monotonic() - begun >= 1


@pytest.mark.parametrize("change", [change_by_file, change_by_api, change_by_command])
def test_a_change_ends_the_wait(acme: Services, change: Any) -> None:
    with served(acme) as http, ThreadPoolExecutor(3) as pool:
        host = HostClient(acme, http=http)
        have = host.policy()["version"]

        answers = [pool.submit(host.policy, have, 30) for _number in range(3)]
        time.sleep(0.5)
        assert not any(answer.done() for answer in answers)
        change(acme)
        changed = time.monotonic()
        policies = [answer.result(timeout=20) for answer in answers]
        assert time.monotonic() - changed < 5

    assert [policy["version"] for policy in policies] == [version(acme.engine)] * 3
    assert all(policy["bundle"] for policy in policies)


def test_a_removed_host_hears_nothing_more(acme: Services) -> None:
    with served(acme) as http, ThreadPoolExecutor(1) as pool:
        host = HostClient(acme, http=http)
        answer = pool.submit(host.poll, host.policy()["version"], 20)
        time.sleep(0.5)

        join.remove(acme.engine, NAME, "operator", int(time.time()))

        assert answer.result(timeout=10).status_code == 401
        assert host.poll().status_code == 401


def test_nor_does_the_machine_that_was_this_host_before(acme: Services) -> None:
    """Its token is void since another one joined in its name."""
    with served(acme) as http, ThreadPoolExecutor(1) as pool:
        old = HostClient(acme, http=http)
        answer = pool.submit(old.poll, old.settle(), 20)
        time.sleep(0.5)

        HostClient(acme, http=http)
        change_by_command(acme)

        assert answer.result(timeout=10).status_code == 401
        assert old.poll().status_code == 401


def test_waiting_holds_up_nobody(acme: Services) -> None:
    """More hosts wait than there are threads, and the service answers all the same."""
    with served(acme) as http, ThreadPoolExecutor(60) as pool:
        host = HostClient(acme, http=http)
        policy = host.policy()
        host.acknowledge(policy)
        waiting = [pool.submit(host.poll, policy["version"], 50) for _host in range(60)]
        time.sleep(1)
        assert not any(answer.done() for answer in waiting)

        begun = time.monotonic()
        assert host.policy()["version"] == policy["version"]
        assert time.monotonic() - begun < 2

        change_by_command(acme)
        assert {answer.result(timeout=20).status_code for answer in waiting} == {200}


def test_what_a_host_obeys_is_known(acme: Services) -> None:
    host = HostClient(acme)
    policy = host.policy()

    assert host.acknowledge(policy).status_code == 204

    assert known_host(acme).acknowledged == (
        policy["version"],
        hashlib.sha256(base64.b64decode(policy["bundle"])).hexdigest(),
    )


@pytest.mark.parametrize(
    "body", [{}, {"version": 1}, {"version": -1, "digest": "0" * 64}, {"version": 1, "digest": "x"}]
)
def test_an_acknowledgement_of_nothing_is_refused(acme: Services, body: Any) -> None:
    host = HostClient(acme)

    response = host.http.post(
        f"/hosts/{host.joined['id']}/acknowledgement",
        json=body,
        headers={"authorization": f"Bearer {host.joined['token']}"},
    )

    assert response.status_code == 400
