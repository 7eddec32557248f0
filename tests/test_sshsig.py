"""What we sign for hosts is what `ssh-keygen -Y verify` accepts, and nothing else."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from ca.keys.files import FileSigner, public_line
from ca.keys.sshsig import sign_file

if TYPE_CHECKING:
    from pathlib import Path

DATA = b"amrgate-fresh 1\nhost 1\n"


def verify(folder: Path, signer: FileSigner, namespace: str, data: bytes, signature: str) -> bool:
    allowed = folder / "allowed_signers"
    allowed.write_text(f"ca {public_line(signer.public_key)}\n")
    file = folder / "signature"
    file.write_text(signature)
    command = f"ssh-keygen -Y verify -f {allowed} -I ca -n {namespace} -s {file}"
    result = subprocess.run(
        command.split(), input=data, capture_output=True, check=False, timeout=20
    )
    return result.returncode == 0


@pytest.fixture
def signer() -> FileSigner:
    return FileSigner(Ed25519PrivateKey.generate())


@pytest.mark.parametrize("data", [b"", DATA, bytes(100_000)], ids=["empty", "text", "long"])
def test_ssh_keygen_accepts_it(tmp_path: Path, signer: FileSigner, data: bytes) -> None:
    signature = sign_file(signer, "amrgate-fresh", data)

    assert verify(tmp_path, signer, "amrgate-fresh", data, signature)


def test_it_is_good_for_nothing_else(tmp_path: Path, signer: FileSigner) -> None:
    signature = sign_file(signer, "amrgate-fresh", DATA)
    other = FileSigner(Ed25519PrivateKey.generate())

    assert not verify(tmp_path, signer, "amrgate-bundle", DATA, signature)
    assert not verify(tmp_path, signer, "amrgate-fresh", DATA + b"\n", signature)
    assert not verify(tmp_path, other, "amrgate-fresh", DATA, signature)


def test_it_is_what_ssh_keygen_would_write(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    data = tmp_path / "data"
    data.write_bytes(DATA)
    subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", "amrgate-fresh", data],
        check=True,
        capture_output=True,
    )
    private = load_ssh_private_key(key.read_bytes(), None)
    assert isinstance(private, Ed25519PrivateKey)

    ours = sign_file(FileSigner(private), "amrgate-fresh", DATA)

    assert ours == (tmp_path / "data.sig").read_text()
