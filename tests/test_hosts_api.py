"""Hosts get what they are to obey: signed, complete, and nothing of others'."""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ca.directory import people
from ca.hosts.changes import Changes
from ca.hosts.policy import Policies
from ca.store import hosts
from ca.store.engine import writing
from ca.store.hosts import Built
from sshd_hook import bundle, freshness
from tests.directory import ACME, SERVICE, apply_text, log_in, version
from tests.host_client import (
    HostClient,
    bump,
    change_by_file,
    known_host,
    user_id,
    verifies,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ca.services import Services

# --- whose policy ---------------------------------------------------------------------------


def test_only_its_own_token_opens_a_hosts_policy(acme: Services) -> None:
    one, other = HostClient(acme), HostClient(acme, "ssh2.acme.example")
    person = log_in(acme, "bob", "pwd", "otp").http.headers["authorization"].split()[1]

    tokens = [other.joined["token"], person, "x", one.joined["token"][:-1]]

    assert [one.poll(token=token).status_code for token in tokens] == [401] * 4
    assert one.poll().status_code == 200
    assert log_in(acme, "bob", "pwd").get(f"/hosts/{one.joined['id']}/policy").status_code == 401


def test_a_hosts_token_opens_nothing_else(acme: Services) -> None:
    host = HostClient(acme)
    headers = {"authorization": f"Bearer {host.joined['token']}"}

    for path in ("/users/me", "/organizations/acme"):
        assert host.http.get(path, headers=headers).status_code == 401


# --- the bundle -----------------------------------------------------------------------------


def test_all_is_signed_for_this_host(acme: Services, tmp_path: Path) -> None:
    host = HostClient(acme)
    now = int(time.time())

    policy = host.policy()

    data = base64.b64decode(policy["bundle"])
    key = host.joined["bundle_key"]
    fresh = policy["fresh"].encode()
    assert verifies(tmp_path, key, "amrgate-bundle", data, policy["bundle_signature"])
    assert verifies(tmp_path, key, "amrgate-fresh", fresh, policy["fresh_signature"])
    found, statement = bundle.from_bytes(data), freshness.parse(fresh)
    assert found.host_id == statement.host_id == host.joined["id"]
    assert found.version == statement.version == policy["version"] == version(acme.engine)
    assert statement.digest == hashlib.sha256(data).hexdigest()
    assert abs(statement.issued_at - now) <= 5
    assert statement.not_after == statement.issued_at + 86400
    assert base64.b64decode(policy["krl"])[:8] == b"SSHKRL\n\0"
    assert policy["krl_version"] == statement.krl_version == 1
    listed = base64.b64decode(policy["krl"])
    assert statement.krl_digest == hashlib.sha256(listed).hexdigest()


def test_it_knows_its_own_services_and_nobody_elses(acme: Services) -> None:
    host, other = HostClient(acme), HostClient(acme, "ssh2.acme.example")

    assert host.policy()["services"] == [SERVICE]
    assert other.policy()["services"] == ["zyxwvut987654-main--app"]
    assert host.bundle().service("zyxwvut987654-main--app") is None
    assert host.bundle().role(1, user_id(acme, "mallory")) is None


def test_it_says_who_may_reach_what(acme: Services) -> None:
    found = HostClient(acme).bundle()

    record = found.service(SERVICE)

    assert record
    roles = {
        username: found.role(record.access_list, user_id(acme, username))
        for username in ("alice", "bob", "carol", "mallory")
    }
    assert roles == {"alice": (2, False), "bob": (3, False), "carol": (2, False), "mallory": None}
    assert record.forwards == ("127.0.0.1:8080",)
    assert record.max_offline == 86400
    assert record.requirement.providers == frozenset({"acme"})
    assert (record.requirement.amr, record.requirement.device) == (frozenset(), False)
    assert found.authorities == (acme.keys.user_ca.public_key,)


def test_roles_of_environment_types_and_projects_add_up(acme: Services) -> None:
    more = """
[projects.abcdefg123456.environments]
main-bvxea6i = { type = "production" }
next = { type = "staging" }
[projects.abcdefg123456.access]
alice = { production = "viewer", staging = "admin" }
bob = { project = "admin", production = "viewer" }
carol = { project = "viewer", staging = "contributor" }
[services.abcdefg123456-next--app]
host = "ssh.acme.example"
"""
    head, tail = ACME.split("[projects.abcdefg123456.environments]")
    apply_text(acme.engine, head + more + "[services." + tail.partition("[services.")[2])
    found = HostClient(acme).bundle()

    def roles(name: str) -> list[Any]:
        record = found.service(name)
        assert record
        who = ("alice", "bob", "carol", "mallory")
        return [found.role(record.access_list, user_id(acme, one)) for one in who]

    assert roles(SERVICE) == [(1, False), (3, False), (1, False), None]
    assert roles("abcdefg123456-next--app") == [(3, False), (3, False), (2, False), None]


def test_the_strictest_requirement_wins(acme: Services) -> None:
    text = """
[organizations.acme.requirement]
amr = ["sso:acme"]
max_age = 3600
networks = ["192.0.2.0/24"]
[projects.abcdefg123456.requirement]
amr = ["mfa"]
max_age = 600
device = true
[services.abcdefg123456-main-bvxea6i--app.requirement]
networks = ["192.0.2.0/28", "198.51.100.0/24"]
"""
    apply_text(acme.engine, ACME + text)

    record = HostClient(acme).bundle().service(SERVICE)

    assert record
    assert record.requirement.amr == frozenset({"mfa", "sso:acme"})
    assert record.requirement.max_age == 600
    assert record.requirement.networks == ("192.0.2.0/28",)
    assert not record.requirement.device


def test_what_is_inactive_does_not_exist(acme: Services) -> None:
    apply_text(acme.engine, ACME.replace('type = "production"', 'type="production", active=false'))
    host = HostClient(acme)

    assert host.policy()["services"] == []
    assert host.bundle().service(SERVICE) is None


def test_the_disabled_reach_nothing(acme: Services) -> None:
    host = HostClient(acme)
    people.disable(acme.engine, "alice", "operator", int(time.time()))

    record = host.bundle().service(SERVICE)

    assert record
    assert host.bundle().role(record.access_list, user_id(acme, "alice")) is None


def test_every_worker_builds_the_same_bytes(acme: Services) -> None:
    HostClient(acme)
    host = known_host(acme)
    workers = [Policies(acme.engine, acme.keys, Changes()) for _worker in range(2)]

    first, second = (worker.current(host, 0).built for worker in workers)
    assert first == second
    assert workers[0].policy(host, first) == workers[1].policy(host, first)

    bump(acme)
    third = Policies(acme.engine, acme.keys, Changes())  # which knows of no other
    later = third.policy(host, third.current(host, 0).built)
    assert later.built.version > first.version
    assert later.built.digest != first.digest
    assert later.built.content == first.content


def note(services: Services, built: Built) -> None:
    """Let all workers know what was built for the host."""
    with writing(services.engine) as connection:
        hosts.note_built(connection, {known_host(services).id: built})


def test_workers_agree_on_what_a_host_has_while_it_says_the_same(acme: Services) -> None:
    HostClient(acme)
    one, other = (Policies(acme.engine, acme.keys, Changes()) for _worker in range(2))
    built = one.current(known_host(acme), 0).built
    sent = one.policy(known_host(acme), built)
    note(acme, built)

    bump(acme)

    assert other.current(known_host(acme), built.version).built == built
    assert other.policy(known_host(acme), built) == sent
    change_by_file(acme)
    changed = other.current(known_host(acme), built.version).built
    assert changed.version > built.version
    # What is past, and was not kept, cannot be made again: there is what holds now.
    third = Policies(acme.engine, acme.keys, Changes())
    assert third.policy(known_host(acme), built).built == changed


def test_what_other_code_or_another_key_built_is_not_passed_off_as_the_same(acme: Services) -> None:
    HostClient(acme)
    built = Policies(acme.engine, acme.keys, Changes()).current(known_host(acme), 0).built
    foreign = replace(built, digest="0" * 64)
    note(acme, foreign)
    now = bump(acme)

    worker = Policies(acme.engine, acme.keys, Changes())
    assert worker.current(known_host(acme), built.version).built == foreign
    assert worker.policy(known_host(acme), foreign).built.version == now


def test_no_older_note_replaces_a_newer_one(acme: Services) -> None:
    HostClient(acme)
    for number in (7, 8, 7):
        note(acme, Built(number, "0" * 64, "0" * 64))

    assert known_host(acme).built.version == 8
