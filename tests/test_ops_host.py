"""The operator's `amrgate-ca host`."""

from __future__ import annotations

import hashlib
import json
import ssl
from pathlib import Path

import pytest

from ca.hosts import https_ca, join
from ca.store import hosts
from ca.store.engine import reading
from ca.store.hosts import Built
from tests.directory import SERVICE, version
from tests.operating import EXAMPLE, NAME, Ca, now

CA_FILE = Path(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt")


@pytest.fixture
def bare(ca: Ca) -> Ca:
    """A CA of which nobody has said who signs its HTTPS certificate."""
    return ca


@pytest.fixture(autouse=True)
def _known_https_ca(ca: Ca, request: pytest.FixtureRequest) -> None:
    if "bare" not in request.fixturenames:
        https_ca.keep(ca.data, CA_FILE.read_bytes())


def test_a_token_is_one_line_to_paste(ca: Ca) -> None:
    ca.check("apply", EXAMPLE)

    line = ca.check("host", "token", NAME, "--alias", "192.0.2.7", "--ca-file", CA_FILE).strip()
    again = ca.check("host", "token", "ssh9").split()

    words = line.split()
    pin = f"sha256:{hashlib.sha256(CA_FILE.read_bytes()).hexdigest()}"
    assert words[:-1] == [
        *("sshd-hook", "enroll", "--ca", "https://ca.acme.example", "--ca-pin", pin),
        *("--name", NAME, "--token"),
    ]
    assert again[4:6] == ["--ca-pin", pin]
    joined = join.join(ca.engine, words[-1], NAME, b"", now())
    assert joined.host.names == (NAME, "192.0.2.7")


def test_the_example_for_cloud_init_is_that_line(ca: Ca) -> None:
    text = (EXAMPLE.parent / "cloud-init.yaml").read_text()
    (shown,) = (line for line in text.splitlines() if "[sshd-hook, enroll, " in line)

    line = ca.check("host", "token", NAME)

    options = [word for word in line.split() if word.startswith("--")]
    assert [word for word in shown.split(", ") if word.startswith("--")] == [*options, "--admin"]


@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n", b"x"])
def test_who_signs_for_the_ca_must_be_known_for_a_token(
    bare: Ca, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "bad.pem").write_bytes(content)

    assert "--ca-file FILE" in bare.error("host", "token", NAME)
    given = bare.error("host", "token", NAME, "--ca-file", tmp_path / "bad.pem")
    assert "must hold certificates in PEM" in given
    with reading(bare.engine) as connection:
        assert hosts.all_hosts(connection) == []


def test_services_come_to_the_machine_with_its_token(ca: Ca) -> None:
    ca.check("apply", EXAMPLE)
    before = version(ca.engine)

    ca.check("host", "token", "ssh9", "--services", SERVICE)

    assert version(ca.engine) > before
    assert json.loads(ca.check("host", "show", "ssh9", "--json"))["services"] == [SERVICE]
    assert "There is no service x, y" in ca.error("host", "token", "ssh9", "--services", "x,y")


def test_hosts_are_listed_with_what_they_obey(ca: Ca) -> None:
    ca.check("apply", EXAMPLE)
    assert ca.check("host", "list") == f"{NAME}  has not joined\n"

    token = ca.check("host", "token", NAME).split()[-1]
    host = join.join(ca.engine, token, NAME, b"", now()).host
    lagging = ca.run("host", "list")
    assert (lagging.exit_code, lagging.stdout) == (
        1,
        f"{NAME}  LAGS: obeys nothing yet, seen just now\n",
    )
    with ca.engine.begin() as connection:
        built = Built(version(ca.engine), "0" * 64)
        hosts.note_built(connection, {host.id: built})
        hosts.acknowledge(connection, {host.id: (built.version, built.digest)})

    assert ca.check("host", "list") == f"{NAME}  up to date, seen just now\n"
    (listed,) = json.loads(ca.check("host", "list", "--json"))
    assert listed["obeys"] == listed["current"] == version(ca.engine)
    shown = json.loads(ca.check("host", "show", NAME, "--json"))
    assert shown == {**listed, "services": [SERVICE]}
    assert f"services      {SERVICE}\n" in ca.check("host", "show", NAME)
    with ca.engine.begin() as connection:
        hosts.touch(connection, {host.id: now() - 301})
    away = ca.run("host", "list", "--json")
    assert (away.exit_code, json.loads(away.stdout)[0]["lags"]) == (1, True)
    shown_away = f"{NAME}  AWAY: obeyed {built.version}, seen 5 minutes ago\n"
    assert ca.check("host", "show", NAME).startswith(shown_away)
    ca.check("host", "token", "a-first-one")
    assert ca.run("host", "list").stdout == f"{shown_away}a-first-one  has not joined\n"


def test_a_host_that_is_in_no_file_can_join_as_well(ca: Ca) -> None:
    token = ca.check("host", "token", "ssh9").split()[-1]

    join.join(ca.engine, token, "ssh9", b"", now())

    assert "ssh9  LAGS" in ca.run("host", "list").stdout
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
