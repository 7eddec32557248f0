"""The revocation list: what ssh-keygen would write, and sshd reads."""

from __future__ import annotations

import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from ca.issuance import krl

if TYPE_CHECKING:
    from pathlib import Path

DATE = slice(20, 28)  # of a list, the time at which it was made


def keygen(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = ["ssh-keygen", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)


@pytest.mark.parametrize("version", [0, 1, 2**32, 2**64 - 1])
def test_it_is_byte_for_byte_what_ssh_keygen_makes(tmp_path: Path, version: int) -> None:
    made = keygen("-k", "-z", str(version), "-f", tmp_path / "theirs", "/dev/null")
    assert made.returncode == 0, made.stderr
    theirs = (tmp_path / "theirs").read_bytes()
    (date,) = struct.unpack(">Q", theirs[DATE])

    assert krl.write(version, date) == theirs


def test_ssh_keygen_reads_it_and_finds_nothing_revoked(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(krl.write(7, 1_700_000_000))
    keygen("-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key")

    shown = keygen("-Q", "-l", "-f", tmp_path / "list")
    asked = keygen("-Q", "-f", tmp_path / "list", tmp_path / "key.pub")

    assert shown.stdout.startswith("# KRL version 7\n"), shown
    assert (asked.returncode, "ok" in asked.stdout) == (0, True), asked
