"""What `ssh` runs at each connection, to see that the certificate is good."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.ssh_configs import HOST, certify, install, settings, shown

if TYPE_CHECKING:
    from pathlib import Path

    from tests.authorities import Engineer, Liar


@pytest.fixture
def installed(alice: Engineer, config_file: Path, liar: Liar) -> Engineer:
    assert install(alice, config_file).status == 0
    liar.seen.clear()
    return alice


def test_with_a_good_certificate_there_is_no_network(
    installed: Engineer, config_file: Path, liar: Liar
) -> None:
    certify(installed, 125)

    settings(config_file)

    assert not liar.seen


def test_the_check_loads_nothing_slow(installed: Engineer) -> None:
    refresh = installed.state / "ssh/refresh"
    first, *rest = refresh.read_text().splitlines()
    assert first == "#!/usr/bin/python3 -IS"
    assert os.access(refresh, os.X_OK)
    script = "\n".join([*rest, "print(*sys.modules)"])

    loaded = subprocess.run(
        ["/usr/bin/python3", "-IS", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    ).stdout.split()

    slow = {"os", "re", "json", "typing", "enum", "dataclasses", "socket", "hashlib", "pathlib"}
    assert "ca.client.check" in loaded
    assert not slow & set(loaded)


@pytest.mark.parametrize("left", [115, 0, -60])
def test_a_certificate_that_ends_is_renewed_before_ssh_goes_on(
    installed: Engineer, config_file: Path, liar: Liar, left: int
) -> None:
    certify(installed, left)

    settings(config_file)

    assert liar.paths() == ["POST /ssh"]
    assert json.loads(installed.run("ssh-cert", "info", "--json").out)["valid_before"] > (
        time.time() + 3500
    )


@pytest.mark.parametrize("data", [None, b"", b"junk", b"a b", b"\xff \xff", b"x " * 100_000])
def test_what_is_no_certificate_is_replaced(
    installed: Engineer, config_file: Path, liar: Liar, data: bytes | None
) -> None:
    path = installed.state / "ssh/id_ed25519-cert.pub"
    path.unlink()
    if data is not None:
        path.write_bytes(data)

    settings(config_file)

    assert liar.paths() == ["POST /ssh"]


def test_many_at_once_renew_once(installed: Engineer, config_file: Path, liar: Liar) -> None:
    certify(installed, 0)

    command = ["ssh", "-G", "-F", str(config_file), HOST]
    many = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(5)]

    assert [process.wait(timeout=60) for process in many] == [0] * 5
    assert liar.paths() == ["POST /ssh"]


def test_without_a_login_ssh_shows_what_to_do(installed: Engineer, config_file: Path) -> None:
    certify(installed, 0)
    (installed.state / "session.json").unlink()

    assert "Error: You are not logged in: run `amrgate login`.\n" in shown(config_file).stderr


def test_ssh_says_so_when_the_program_was_moved(installed: Engineer, config_file: Path) -> None:
    refresh = installed.state / "ssh/refresh"
    text = refresh.read_text()
    refresh.write_text(re.sub(r"insert\(0, '.*'\)", "insert(0, '/nowhere')", text))

    told = shown(config_file).stderr

    assert "run `amrgate ssh-config install` again" in told
    assert "Traceback" not in told


def test_the_state_is_found_wherever_ssh_is_started(
    installed: Engineer, config_file: Path, liar: Liar
) -> None:
    certify(installed, 0)

    subprocess.run(
        ["env", "-i", "ssh", "-G", "-F", config_file, HOST],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=60,
        cwd="/",
    )

    assert liar.paths() == ["POST /ssh"]
