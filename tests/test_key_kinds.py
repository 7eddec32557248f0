"""Certificates of every kind of key that the CA certifies, used at a real sshd with the hook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from machine.clients import HOST, SERVICE
from machine.private import PYTHON
from sshd_hook.certificate import certificate_type
from sshd_hook.wire import b64, unb64
from tests.hosts import wait_for

if TYPE_CHECKING:
    from machine.host import Host

AGENT = "/run/sk-agent"
KINDS = [("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521"), ("rsa", "3072")]
SECURITY_KEYS = ["ed25519", "ecdsa"]


def log_in(host: Host, identity: str, *options: str) -> tuple[str, str]:
    """Certify alice's key, and log in with it; what was printed and said.

    The identity is a file with her private key, or with a public one whose other half is in an agent.
    """
    public = f"{identity.removesuffix('.pub')}.pub"
    key_type, encoded = host.machine.path(public).read_text().split()[:2]
    changes: dict[str, Any] = {"key_type": certificate_type(key_type), "public_key": unb64(encoded)}
    blob = host.authority.sign(host.draft("alice", **changes))
    path = "/run/kind-cert.pub"
    host.machine.path(path).write_text(f"{changes['key_type']} {b64(blob)}\n")
    words = ("ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes")
    offered = ("-o", f"CertificateFile={path}", "-i", identity, *options)
    ran = host.machine.run(*words, *offered, f"{SERVICE}@{HOST}", "echo", "in", user="alice")
    return ran.out, ran.err


@pytest.mark.parametrize(("kind", "bits"), KINDS)
def test_keys_of_files(host: Host, kind: str, bits: str) -> None:
    path = f"/home/alice/kind-{kind}-{bits}"
    generate = ("ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-f", path)
    host.machine.check(*generate, user="alice")

    out, err = log_in(host, path)

    assert out == "in\n", err


@pytest.fixture(scope="module")
def agent(enrolled: Host) -> str:
    enrolled.machine.spawn(*PYTHON, "-m", "tests.sk_agent", AGENT, log="/var/log/sk-agent")
    wait_for(lambda: enrolled.machine.path(AGENT).exists())
    return AGENT


@pytest.mark.parametrize("kind", SECURITY_KEYS)
def test_security_keys(host: Host, agent: str, kind: str) -> None:
    out, err = log_in(host, f"{agent}.{kind}.pub", "-o", f"IdentityAgent={agent}")

    assert out == "in\n", err


@pytest.mark.parametrize("kind", SECURITY_KEYS)
def test_security_keys_are_held_to_the_requirement(host: Host, agent: str, kind: str) -> None:
    host.require("sso:acme")

    out, err = log_in(host, f"{agent}.{kind}.pub", "-o", f"IdentityAgent={agent}")

    assert out == ""
    assert "Error: Access denied\n" in err
