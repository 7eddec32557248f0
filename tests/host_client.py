"""A host as the CA sees it, and what is done to the directory while it asks."""

from __future__ import annotations

import base64
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.testclient import TestClient

from ca.app import create_app
from ca.directory import people
from ca.hosts import join
from ca.store import directory, hosts
from ca.store.engine import reading, writing
from sshd_hook import bundle, freshness
from tests.directory import ACME, apply_text, log_in
from tests.web import ISSUER

if TYPE_CHECKING:
    from pathlib import Path

    from ca.services import Services
    from ca.store.hosts import Host

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

    def report(self, *decisions: dict[str, Any], token: str = "") -> int:
        """Tell the CA of decisions; the status that it answers."""
        status: int = self.http.post(
            f"/hosts/{self.joined['id']}/decisions",
            json={"decisions": decisions},
            headers={"authorization": f"Bearer {token or self.joined['token']}"},
        ).status_code
        return status


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


def known_host(services: Services) -> Host:
    with reading(services.engine) as connection:
        found = hosts.find_host(connection, NAME)
    assert found
    return found


def bump(services: Services) -> int:
    with writing(services.engine) as connection:
        return directory.bump(connection, int(time.time()))


def change_by_file(services: Services) -> None:
    text = '\n[organizations.acme.requirement]\namr = ["mfa"]\n'
    apply_text(services.engine, ACME + ELSEWHERE + text)


def change_by_api(services: Services) -> None:
    bob = log_in(services, "bob", "pwd", "otp")
    assert bob.post("/organizations/acme/mfa-enforcement/enable").status_code == 204


def change_by_command(services: Services) -> None:
    people.disable(services.engine, "carol", "operator", int(time.time()))
