"""Certificates of hosts, and what tells people whom to trust."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ca.errors import Denied, SigningFailed
from ca.issuance import host
from ca.issuance.sign import Host
from ca.issuance.subject_key import parse_subject_key
from ca.issuance.verify import ACTIVE, verify_certificate
from sshd_hook.wire import unb64
from tests.certificates import keygen
from tests.issuing import intents, new_key, wait_for_outcomes
from tests.web import Browser

if TYPE_CHECKING:
    from pathlib import Path

    from ca.services import Services

HOST = Host("0b7bcf44-0f8a-4c2e-9f5e-2f4f9d1a7a11", ("ssh.acme.example", "ssh2.acme.example"))


def test_a_host_certificate_has_exactly_its_names(services: Services, tmp_path: Path) -> None:
    now = int(time.time())

    line = host.issue(services.issuer, HOST, parse_subject_key(new_key()), now)

    found = verify_certificate(
        unb64(line.split(" ")[1]), {services.keys.host_ca.public_key: ACTIVE}
    )
    assert (found.kind, found.key_id, found.principals) == (2, HOST.id, HOST.names)
    assert found.valid_before - now == 30 * 86400
    assert found.extensions == found.critical_options == ()
    assert wait_for_outcomes(services.engine) == {found.serial: "signed"}
    (tmp_path / "host-cert.pub").write_text(line)
    shown = keygen("-L", "-f", tmp_path / "host-cert.pub")
    assert "host certificate" in shown
    assert "ssh2.acme.example" in shown


@pytest.mark.parametrize(
    "names", [(), ("*",), ("*.acme.example",), ("SSH.acme.example",), ("a", "a"), ("root@a",)]
)
def test_no_host_certificate_for_names_that_are_none(
    services: Services, names: tuple[str, ...]
) -> None:
    key = parse_subject_key(new_key())
    with pytest.raises((Denied, SigningFailed)):
        services.issuer.issue_host(replace(HOST, names=names), key, int(time.time()))
    assert intents(services.engine) == []


def test_authority_tells_whom_to_trust(services: Services) -> None:
    answer = Browser(services).http.get("/ssh/authority")

    assert answer.status_code == 200
    assert set(answer.json()) == {"authorities", "host_authorities", "host_patterns"}
    assert parse_subject_key(answer.json()["authorities"][0]) == services.keys.user_ca.public_key
