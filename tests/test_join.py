"""Hosts join once, under their own names, with a token that is good once."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from sqlalchemy import select

from ca.errors import AlreadyUsed, Conflict
from ca.hosts import join
from ca.keys.files import public_line
from ca.store import revocations, tables
from ca.store.engine import reading
from sshd_hook import certificate
from sshd_hook.wire import unb64
from tests.directory import ACME, apply_text, records
from tests.host_client import (
    NAME,
    HostClient,
    line,
    public_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ca.services import Services


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
        "keys_number",
        "keys_recovery",
    }
    assert host.joined["bundle_key"] == public_line(keys.bundle.public_key)
    assert host.joined["recovery_key"] == public_line(keys.recovery_public_key)
    assert host.joined["user_authorities"] == [public_line(keys.user_ca.public_key)]


def remove_by_command(services: Services) -> None:
    assert join.remove(services.engine, NAME, "operator", int(time.time())) == 1


def remove_by_file(services: Services) -> None:
    apply_text(services.engine, ACME.replace(NAME, "ssh9.acme.example"))


@pytest.mark.parametrize("remove", [remove_by_command, remove_by_file])
def test_whoever_is_removed_has_no_token_and_no_certificate(
    services: Services, remove: Callable[[Services], None]
) -> None:
    apply_text(services.engine, ACME)
    host = HostClient(services)
    (issued,) = host.joined["host_certificates"]

    remove(services)

    assert host.poll().status_code == 401
    with reading(services.engine) as connection:
        revoked = revocations.listed(connection).serials
    serial = certificate.parse(unb64(issued.split()[1]))[0].serial
    assert revoked == {"host": [serial]}


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
