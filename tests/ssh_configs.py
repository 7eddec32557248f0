"""A configuration file of ssh, and our lines put into it."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.certificates import authority, extensions, line, user_certificate

if TYPE_CHECKING:
    from pathlib import Path

    from tests.authorities import Engineer, Ran

HOST = "abcdefg123456-main-bvxea6i--app@x.ssh.acme.example"


@pytest.fixture
def config_file(alice: Engineer) -> Path:
    folder = alice.home / ".ssh"
    folder.mkdir(mode=0o700)
    return folder / "config"


def install(engineer: Engineer, config_file: Path) -> Ran:
    return engineer.run("ssh-config", "install", "--file", str(config_file))


def uninstall(engineer: Engineer, config_file: Path) -> Ran:
    return engineer.run("ssh-config", "uninstall", "--file", str(config_file))


def shown(config_file: Path, host: str = HOST) -> subprocess.CompletedProcess[str]:
    """What `ssh -G` prints of the file. It runs what `Match exec` says."""
    return subprocess.run(
        ["ssh", "-G", "-F", config_file, host],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def settings(config_file: Path, host: str = HOST) -> dict[str, list[str]]:
    """What ssh itself makes of the file."""
    ran = shown(config_file, host)
    ran.check_returncode()
    found: dict[str, list[str]] = {}
    for words in (entry.split(" ", 1) for entry in ran.stdout.splitlines()):
        found.setdefault(words[0], []).append(words[-1])
    return found


def certify(engineer: Engineer, seconds: int) -> None:
    """Put a certificate in place that is valid for so long."""
    now = int(time.time())
    certificate = user_certificate(
        valid_after=now - 60,
        valid_before=now + seconds,
        extensions=extensions(auth_time=str(now)),
    )
    path = engineer.state / "ssh/id_ed25519-cert.pub"
    path.write_text(line(authority().certify(certificate)) + "\n")
