"""The agent finds from where a connection comes, and ends it when that is no place to come from."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from sshd_hook.agent import connections
from sshd_hook.agent.peers import Peers
from sshd_hook.agent.revoked import Revoked
from sshd_hook.answer import answer_to
from sshd_hook.policy import Requirement
from sshd_hook.verdict import parse
from tests.certificates import NOW, user_certificate
from tests.hosts import keygen
from tests.questions import SERVICE, arguments, content, reading, record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def held_by(*files: int) -> Iterator[int]:
    """A process that holds these files, as one of sshd's holds its connection."""
    with subprocess.Popen(["sleep", "60"], pass_fds=files, stdin=subprocess.DEVNULL) as process:
        yield process.pid
        process.kill()


@pytest.mark.parametrize(
    ("server", "family", "client"),
    [
        ("0.0.0.0", socket.AF_INET, "127.5.6.7"),
        ("::1", socket.AF_INET6, "::1"),
        ("::", socket.AF_INET, "127.5.6.7"),  # which that server sees as ::ffff:127.5.6.7
    ],
)
def test_the_address_of_a_client(server: str, family: socket.AddressFamily, client: str) -> None:
    kind = socket.AF_INET6 if ":" in server else socket.AF_INET
    listening = socket.create_server((server, 0), family=kind, dualstack_ipv6=server == "::")
    with listening, socket.socket(family) as connecting:
        connecting.bind((client, 0))
        connecting.connect((client, listening.getsockname()[1]))
        accepted, _ = listening.accept()
        with accepted, held_by(listening.fileno(), accepted.fileno()) as pid:
            found = ip_address(Peers().of(pid) or "")

    assert (getattr(found, "ipv4_mapped", None) or found) == ip_address(client)


def test_the_first_of_several_is_the_clients() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        pairs = []
        for client in ("127.0.0.7", "127.0.0.8"):
            connecting = socket.create_connection(server.getsockname(), source_address=(client, 0))
            pairs.append((connecting, server.accept()[0]))
        with held_by(*(accepted.fileno() for _, accepted in pairs)) as pid:
            found = Peers().of(pid)
        for pair in pairs:
            for one in pair:
                one.close()

    assert found == "127.0.0.7"


def test_a_pipe_and_a_process_that_is_gone_have_none() -> None:
    reading_end, writing_end = os.pipe()
    with held_by(reading_end, writing_end) as pid:
        assert Peers().of(pid) is None
    assert Peers().of(pid) is None
    os.close(reading_end)
    os.close(writing_end)


def test_a_connection_ends_when_its_network_is_no_longer_one_of_those(tmp_path: Path) -> None:
    keygen("-q", "-k", "-f", tmp_path / "krl", "/dev/null")
    listed = Revoked((tmp_path / "krl").read_bytes())
    found = answer_to(arguments(user_certificate()), NOW, reading())
    opened = parse(found.note)

    def why(networks: tuple[str, ...] | None, peer: str | None) -> str:
        asked = Requirement(networks=networks)
        bundle = reading(content(record(SERVICE, asked)))().bundle
        return connections.reason(opened, bundle, listed, lambda: peer, 0)

    assert why(("192.0.2.0/24",), "198.51.100.1") == "its user has no access from 198.51.100.1"
    assert why((), "198.51.100.1") == "its user has no access from 198.51.100.1"
    assert not why(("192.0.2.0/24",), "192.0.2.1")
    assert not why(("192.0.2.0/24",), "::ffff:192.0.2.1")
    assert not why(None, "198.51.100.1")
    assert not why(("192.0.2.0/24",), None)
