"""Hosts join once, and get what they are to obey: signed, complete, and nothing of others'."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import select, update
from starlette.testclient import TestClient

from ca.app import create_app
from ca.directory import people
from ca.errors import AlreadyUsed, Conflict
from ca.hosts import join
from ca.hosts.policy import Policies
from ca.issuance import revocation
from ca.keys.files import public_line
from ca.store import directory, hosts, tables
from ca.store.engine import reading, writing
from ca.store.hosts import Built
from sshd_hook import bundle, certificate, freshness
from sshd_hook.wire import unb64
from tests.directory import ACME, SERVICE, apply_text, log_in, records, served, version
from tests.web import ISSUER

if TYPE_CHECKING:
    from pathlib import Path

    from ca.services import Services
    from ca.store.hosts import Host

pytest_plugins = ["tests.web"]

NAME = "ssh.acme.example"
ELSEWHERE = """
[hosts."ssh2.acme.example"]
[projects.zyxwvut987654]
organization = "acme"
[projects.zyxwvut987654.environments]
main = { type = "staging" }
[projects.zyxwvut987654.access]
mallory = { staging = "admin" }
[services.zyxwvut987654-main--app]
host = "ssh2.acme.example"
"""


GLOBEX = """
[hosts."ssh.globex.example"]
[organizations.globex]
members = { mallory = "owner" }
[projects.globexa654321]
organization = "globex"
[projects.globexa654321.environments]
main = { type = "production" }
[services.globexa654321-main--app]
host = "ssh.globex.example"
"""


def public_key() -> str:
    return line(Ed25519PrivateKey.generate())


def line(key: Any) -> str:
    encoded: bytes = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return encoded.decode()


class HostClient:
    """A host, as the CA sees it."""

    def __init__(
        self, services: Services, name: str = NAME, *aliases: str, http: Any = None
    ) -> None:
        self.http = http or TestClient(create_app(services), base_url=ISSUER)
        self.name = name
        self.host_key = public_key()
        token = join.make_token(services.engine, name, aliases, "operator", int(time.time()))
        self.answer = self.enroll(token=token)
        assert self.answer.status_code == 200, self.answer.text
        self.joined = self.answer.json()

    def enroll(self, **changed: Any) -> Any:
        request = {"name": self.name, "public_key": public_key(), "host_keys": [self.host_key]}
        return self.http.post("/hosts/enroll", json=request | changed)

    def poll(self, have: int = 0, wait: int = 0, token: str = "", **asked: int) -> Any:
        return self.http.get(
            f"/hosts/{self.joined['id']}/policy",
            params={"version": have, "wait": wait, **asked},
            headers={"authorization": f"Bearer {token or self.joined['token']}"},
        )

    def policy(self, have: int = 0, wait: int = 0, **asked: int) -> Any:
        response = self.poll(have, wait, self.joined["token"], **asked)
        assert response.status_code == 200, response.text
        return response.json()

    def fresh(self) -> bytes:
        statement: str = self.policy()["fresh"]
        return statement.encode()

    def bundle(self) -> bundle.Bundle:
        return bundle.from_bytes(base64.b64decode(self.policy()["bundle"]))

    def settle(self) -> int:
        """Put the policy in place, as an agent would; its version."""
        policy = self.policy()
        assert self.acknowledge(policy).status_code == 204
        version: int = policy["version"]
        return version

    def acknowledge(self, policy: Any) -> Any:
        statement = freshness.parse(policy["fresh"].encode())
        return self.http.post(
            f"/hosts/{self.joined['id']}/acknowledgement",
            json={"version": statement.version, "digest": statement.digest},
            headers={"authorization": f"Bearer {self.joined['token']}"},
        )


@pytest.fixture
def acme(services: Services) -> Services:
    apply_text(services.engine, ACME + ELSEWHERE)
    return services


def user_id(services: Services, username: str) -> str:
    with reading(services.engine) as connection:
        return people.find(connection, username).id


def verifies(tmp_path: Path, key: str, namespace: str, data: bytes, signature: str) -> bool:
    (tmp_path / "signers").write_text(f"ca {key}\n")
    (tmp_path / "signature").write_text(signature)
    words = ["-I", "ca", "-n", namespace, "-f", "signers", "-s", "signature"]
    verified = subprocess.run(
        ["ssh-keygen", "-Y", "verify", *words],
        input=data,
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=20,
    )
    return verified.returncode == 0


# --- joining --------------------------------------------------------------------------------


def test_a_host_joins_and_is_told_whom_to_trust(acme: Services) -> None:
    host = HostClient(acme)

    keys = acme.keys
    assert host.joined.keys() == {
        "id",
        "token",
        "bundle_key",
        "recovery_key",
        "user_authorities",
        "host_certificates",
    }
    assert host.joined["bundle_key"] == public_line(keys.bundle.public_key)
    assert host.joined["recovery_key"] == public_line(keys.recovery_public_key)
    assert host.joined["user_authorities"] == [public_line(keys.user_ca.public_key)]


def test_its_certificate_holds_its_names_and_no_others(acme: Services, tmp_path: Path) -> None:
    host = HostClient(acme, NAME, "192.0.2.9", "ssh")

    (issued,) = host.joined["host_certificates"]

    parsed, _signed, _signature = certificate.parse(unb64(issued.split()[1]))
    assert parsed.kind == certificate.HOST
    assert parsed.principals == (NAME, "192.0.2.9", "ssh")
    assert parsed.signature_key == acme.keys.host_ca.public_key
    assert public_line(parsed.public_key) == host.host_key
    (tmp_path / "host-cert.pub").write_text(issued)
    shown = subprocess.run(
        ["ssh-keygen", "-L", "-f", tmp_path / "host-cert.pub"],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    ).stdout
    assert "host certificate" in shown


def test_each_host_key_gets_a_certificate(acme: Services) -> None:
    host = HostClient(acme)
    token = join.make_token(acme.engine, NAME, (), "operator", int(time.time()))
    rsa = line(generate_private_key(65537, 3072))

    answer = host.enroll(token=token, host_keys=[host.host_key, rsa]).json()

    kinds = [one.split()[0] for one in answer["host_certificates"]]
    assert kinds == ["ssh-ed25519-cert-v01@openssh.com", "ssh-rsa-cert-v01@openssh.com"]


def test_no_secret_is_stored_in_clear(acme: Services) -> None:
    token = join.make_token(acme.engine, "ssh9", (), "operator", int(time.time()))
    host = HostClient(acme)

    with reading(acme.engine) as connection:
        stored = repr(
            [
                connection.execute(select(table)).all()
                for table in (tables.hosts, tables.join_tokens, tables.audit_records)
            ]
        )

    assert token not in stored
    assert host.joined["token"] not in stored


def test_a_token_is_good_once(acme: Services) -> None:
    host = HostClient(acme)
    token = join.make_token(acme.engine, NAME, (), "operator", int(time.time()))

    first, second = host.enroll(token=token), host.enroll(token=token)

    assert (first.status_code, second.status_code) == (200, 410)
    assert second.json()["error"] == "already_used"


def test_of_many_uses_at_once_one_succeeds(acme: Services) -> None:
    for _round in range(5):
        now = int(time.time())
        token = join.make_token(acme.engine, NAME, (), "operator", now)

        def use(_number: int, token: str = token, now: int = now) -> bool:
            try:
                join.join(acme.engine, token, NAME, b"", now)
            except AlreadyUsed:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(use, range(8))) == 1


@pytest.mark.parametrize("case", ["spent", "old", "other name", "replaced", "made up"])
def test_why_a_token_is_not_good_is_not_told(acme: Services, case: str) -> None:
    host = HostClient(acme)
    now = int(time.time())
    made = now - join.LIFETIME if case == "old" else now
    token = join.make_token(acme.engine, NAME, (), "operator", made)
    if case == "spent":
        host.enroll(token=token)
    if case == "replaced":
        join.make_token(acme.engine, NAME, (), "operator", now)
    if case == "made up":
        token = token[:-1] + ("A" if token[-1] != "A" else "B")
    name = "ssh2.acme.example" if case == "other name" else NAME

    response = host.enroll(token=token, name=name)

    assert response.status_code == 410
    assert response.json()["error_description"] == (
        "This join token was used, is too old, or was made for another host."
        " Make a new one: amrgate-ca host token."
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"token": None},
        {"token": "x" * 300},
        {"public_key": "ssh-ed25519 AAAA"},
        {"public_key": line(generate_private_key(65537, 3072))},
        {"host_keys": ["ssh-dss AAAA"]},
        {"host_keys": [line(generate_private_key(65537, 2048))]},
        {"host_keys": [public_key()] * 9},
        {"host_keys": "ssh-ed25519"},
        {"names": ["*"]},
    ],
    ids=lambda changed: str(changed)[:40],
)
def test_a_malformed_request_spends_no_token(acme: Services, changed: dict[str, Any]) -> None:
    host = HostClient(acme)
    token = join.make_token(acme.engine, NAME, (), "operator", int(time.time()))

    refused = host.enroll(**{"token": token, **changed})

    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    assert host.enroll(token=token).status_code == 200


def test_the_name_of_another_host_is_not_given(acme: Services) -> None:
    HostClient(acme, NAME, "ssh")
    now = int(time.time())

    for name, aliases in (("ssh2.acme.example", (NAME,)), ("ssh", ()), ("new", ("ssh",))):
        with pytest.raises(Conflict, match="Another host has the name"):
            join.make_token(acme.engine, name, aliases, "operator", now)


def test_a_name_taken_since_the_token_was_made_is_not_given(acme: Services) -> None:
    now = int(time.time())
    token = join.make_token(acme.engine, "ssh2.acme.example", ("ssh",), "operator", now)
    host = HostClient(acme, NAME, "ssh")

    response = host.enroll(token=token, name="ssh2.acme.example")

    assert (response.status_code, response.json()["error"]) == (409, "conflict")


def test_who_joins_again_is_the_same_host_and_the_old_machine_is_none(acme: Services) -> None:
    first, second = HostClient(acme), HostClient(acme)

    assert first.joined["id"] == second.joined["id"]
    assert first.poll().status_code == 401
    assert second.poll().status_code == 200


def test_joining_is_recorded(acme: Services) -> None:
    told = len(records(acme.engine))

    host = HostClient(acme)

    events = [event for event, _actor, _subject in records(acme.engine)[told:]]
    assert events[:2] == ["host:token", "host:join"]
    assert ("host:join", host.joined["id"], host.joined["id"]) in records(acme.engine)


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


def known_host(services: Services) -> Host:
    with reading(services.engine) as connection:
        found = hosts.find_host(connection, NAME)
    assert found
    return found


def bump(services: Services) -> int:
    with writing(services.engine) as connection:
        return directory.bump(connection, int(time.time()))


def test_every_worker_builds_the_same_bytes(acme: Services) -> None:
    HostClient(acme)
    host = known_host(acme)
    workers = [Policies(acme.engine, acme.keys) for _worker in range(2)]

    first, second = (worker.current(host, 0).built for worker in workers)
    assert first == second
    assert workers[0].policy(host, first) == workers[1].policy(host, first)

    bump(acme)
    third = Policies(acme.engine, acme.keys)  # which knows of no other
    later = third.policy(host, third.current(host, 0).built)
    assert later.built.version > first.version
    assert later.built.digest != first.digest
    assert later.built.content == first.content


def test_workers_agree_on_what_a_host_has_while_it_says_the_same(acme: Services) -> None:
    HostClient(acme)
    one, other = (Policies(acme.engine, acme.keys) for _worker in range(2))
    built = one.current(known_host(acme), 0).built
    sent = one.policy(known_host(acme), built)
    one.note(known_host(acme), built)

    bump(acme)

    assert other.current(known_host(acme), built.version).built == built
    assert other.policy(known_host(acme), built) == sent
    change_by_file(acme)
    changed = other.current(known_host(acme), built.version).built
    assert changed.version > built.version
    # What is past, and was not kept, cannot be made again: there is what holds now.
    third = Policies(acme.engine, acme.keys)
    assert third.policy(known_host(acme), built).built == changed


def test_what_other_code_or_another_key_built_is_not_passed_off_as_the_same(acme: Services) -> None:
    HostClient(acme)
    built = Policies(acme.engine, acme.keys).current(known_host(acme), 0).built
    foreign = replace(built, digest="0" * 64)
    Policies(acme.engine, acme.keys).note(known_host(acme), foreign)
    now = bump(acme)

    worker = Policies(acme.engine, acme.keys)
    assert worker.current(known_host(acme), built.version).built == foreign
    assert worker.policy(known_host(acme), foreign).built.version == now


def test_no_older_note_replaces_a_newer_one(acme: Services) -> None:
    HostClient(acme)
    policies = Policies(acme.engine, acme.keys)
    for number in (7, 8, 7):
        policies.note(known_host(acme), Built(number, "0" * 64, "0" * 64))

    assert known_host(acme).built.version == 8


# --- the long poll --------------------------------------------------------------------------


def test_who_has_the_newest_gets_only_the_word_that_it_is(acme: Services) -> None:
    host = HostClient(acme)
    first = host.policy()
    assert host.acknowledge(first).status_code == 204

    begun = time.monotonic()
    second = host.policy(have=first["version"], wait=1)

    assert 1 <= time.monotonic() - begun < 10
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
    assert bytes(range(32)) in base64.b64decode(policy["krl"])
    stated = freshness.parse(policy["fresh"].encode()).krl_version
    assert 1 < stated == policy["krl_version"]


def test_a_change_reaches_those_whom_it_concerns_and_no_others(acme: Services) -> None:
    """Two hosts of one organization wait, and one of another: it does not even hear of it."""
    apply_text(acme.engine, ACME + ELSEWHERE + GLOBEX)
    with served(acme) as http, ThreadPoolExecutor(3) as pool:
        names = (NAME, "ssh2.acme.example", "ssh.globex.example")
        clients = [HostClient(acme, name, http=http) for name in names]
        have = [client.settle() for client in clients]
        first, second, other = (
            pool.submit(client.policy, version, 8, krl=1)
            for client, version in zip(clients, have, strict=True)
        )
        time.sleep(0.5)

        text = '\n[organizations.acme.requirement]\namr = ["mfa"]\n'
        apply_text(acme.engine, ACME + ELSEWHERE + GLOBEX + text)

        for answer, client, service in (
            (first, clients[0], SERVICE),
            (second, clients[1], "zyxwvut987654-main--app"),
        ):
            policy = answer.result(timeout=7)
            assert policy["version"] == version(acme.engine)
            record = bundle.from_bytes(base64.b64decode(policy["bundle"])).service(service)
            assert record
            assert record.requirement.amr == {"mfa"}
            client.acknowledge(policy)
        time.sleep(0.5)
        assert not other.done()
        policy = other.result(timeout=20)

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


def change_by_file(services: Services) -> None:
    text = '\n[organizations.acme.requirement]\namr = ["mfa"]\n'
    apply_text(services.engine, ACME + ELSEWHERE + text)


def change_by_api(services: Services) -> None:
    bob = log_in(services, "bob", "pwd", "otp")
    assert bob.post("/organizations/acme/mfa-enforcement/enable").status_code == 204


def change_by_command(services: Services) -> None:
    people.disable(services.engine, "carol", "operator", int(time.time()))


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


def test_waiting_holds_up_nobody(acme: Services) -> None:
    """More hosts wait than there are threads, and the service answers all the same."""
    with served(acme) as http, ThreadPoolExecutor(60) as pool:
        host = HostClient(acme, http=http)
        policy = host.policy()
        host.acknowledge(policy)
        waiting = [pool.submit(host.poll, policy["version"], 4) for _host in range(60)]
        time.sleep(1)

        begun = time.monotonic()
        assert host.policy()["version"] == policy["version"]
        assert time.monotonic() - begun < 2

        assert {answer.result(timeout=20).status_code for answer in waiting} == {200}


def test_what_a_host_obeys_is_known(acme: Services) -> None:
    host = HostClient(acme)
    policy = host.policy()

    assert host.acknowledge(policy).status_code == 204

    with reading(acme.engine) as connection:
        known: Host | None = hosts.find_host(connection, NAME)
    assert known
    assert known.acknowledged == (
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
