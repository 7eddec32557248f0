"""The operator's `amrgate-ca host`."""

from __future__ import annotations

import json

import pytest

from ca.hosts import join
from ca.store import hosts
from ca.store.engine import reading
from ca.store.hosts import Built
from tests.directory import SERVICE, version
from tests.operating import EXAMPLE, NAME, Ca, now


def test_a_token_is_one_line_to_paste(ca: Ca) -> None:
    ca.check("apply", EXAMPLE)

    line = ca.check("host", "token", NAME, "--alias", "192.0.2.7").strip()

    words = line.split()
    assert words[:-1] == [
        *("sshd-hook", "enroll", "--ca", "https://ca.acme.example", "--ca-file", "ca.pem"),
        *("--name", NAME, "--token"),
    ]
    joined = join.join(ca.engine, words[-1], NAME, b"", now())
    assert joined.host.names == (NAME, "192.0.2.7")


def test_hosts_are_listed_with_what_they_obey(ca: Ca) -> None:
    ca.check("apply", EXAMPLE)
    assert ca.check("host", "list") == f"{NAME}  has not joined\n"

    token = ca.check("host", "token", NAME).split()[-1]
    host = join.join(ca.engine, token, NAME, b"", now()).host
    assert ca.check("host", "list").startswith(f"{NAME}  obeys 0, seen 20")
    with ca.engine.begin() as connection:
        built = Built(version(ca.engine), "0" * 64)
        hosts.note_built(connection, host.id, built)
        hosts.acknowledge(connection, host.id, built.version, built.digest, now())

    assert ca.check("host", "list").startswith(f"{NAME}  up to date, seen 20")
    (listed,) = json.loads(ca.check("host", "list", "--json"))
    assert listed["obeys"] == listed["current"] == version(ca.engine)
    shown = json.loads(ca.check("host", "show", NAME, "--json"))
    assert shown == {**listed, "services": [SERVICE]}
    assert f"services      {SERVICE}\n" in ca.check("host", "show", NAME)
    with ca.engine.begin() as connection:
        hosts.touch(connection, host.id, now() - 301)
    assert ca.check("host", "list").startswith(f"{NAME}  obeys {built.version}, seen 20")


def test_a_host_that_is_in_no_file_can_join_as_well(ca: Ca) -> None:
    token = ca.check("host", "token", "ssh9").split()[-1]

    join.join(ca.engine, token, "ssh9", b"", now())

    assert "ssh9  obeys 0" in ca.check("host", "list")
    planned = ca.check("apply", EXAMPLE, "--dry-run").splitlines()
    assert "Left alone, because no file has named them: host ssh9." in planned


def test_a_host_is_removed(ca: Ca) -> None:
    ca.check("host", "token", NAME)
    before = version(ca.engine)

    ca.check("host", "remove", NAME)

    assert ca.check("host", "list") == ""
    assert version(ca.engine) > before
    assert f"There is no host {NAME}" in ca.error("host", "remove", NAME)
    assert f"There is no host {NAME}" in ca.error("host", "show", NAME)


@pytest.mark.parametrize("name", ["*", "*.acme.example", "SSH", "a b", "-x", "a..b", "", "a" * 65])
def test_a_name_that_is_none_gets_no_token(ca: Ca, name: str) -> None:
    assert "is not a host name" in ca.error("host", "token", "--", name)
    assert "is not a host name" in ca.error("host", "token", "--alias", name, "--", NAME)
    with reading(ca.engine) as connection:
        assert hosts.all_hosts(connection) == []
