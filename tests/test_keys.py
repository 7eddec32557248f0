"""Custody: private keys at rest, and what is sealed under them."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ca.errors import Conflict, Misconfigured
from ca.issuance.verify import verify_signature
from ca.keys import Seal, files, keyring, token
from ca.keys.files import FileSigner, public_line

if TYPE_CHECKING:
    from pathlib import Path

PASSPHRASE = b"correct horse battery staple"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    keyring.create(folder, PASSPHRASE)
    return folder


def test_what_was_made_can_be_unlocked(data: Path) -> None:
    keys = keyring.unlock(data, PASSPHRASE)

    for role in ("user_ca", "host_ca", "bundle", "token"):
        signer = getattr(keys, role)
        verify_signature(signer.public_key, b"data", signer.sign(b"data"))
        public = keyring.key_path(data, role).with_suffix(".pub")
        assert public.read_text() == f"{public_line(signer.public_key)} amrgate {role}\n"
    publics = {keys.user_ca.public_key, keys.host_ca.public_key, keys.bundle.public_key}
    assert len(publics | {keys.token.public_key, keys.recovery_public_key}) == 5


def test_a_wrong_passphrase_unlocks_nothing(data: Path) -> None:
    with pytest.raises(Misconfigured, match="the passphrase is wrong"):
        keyring.unlock(data, PASSPHRASE + b"r")


def test_ssh_keygen_reads_the_keys(data: Path) -> None:
    path = keyring.key_path(data, "user_ca")
    shown = show_public(path, PASSPHRASE.decode())
    assert path.with_suffix(".pub").read_text() == f"{shown.stdout.strip()} amrgate user_ca\n"
    assert show_public(path, "wrong").returncode != 0


def show_public(path: Path, passphrase: str) -> subprocess.CompletedProcess[str]:
    command = ["ssh-keygen", "-y", "-P", passphrase, "-f", str(path)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_all_files_are_ours_alone(data: Path) -> None:
    folder = data / keyring.FOLDER
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert b"ENCRYPTED" not in b"".join(path.read_bytes() for path in folder.glob("*.key"))
    assert not (folder / "seal.pub").exists()


def test_no_private_key_is_on_the_disk_in_clear(data: Path) -> None:
    for role in keyring.ROLES:
        path = keyring.key_path(data, role)
        secret = files.seed(files.read_private_key(path, PASSPHRASE))
        assert secret not in path.read_bytes()
        with pytest.raises(Misconfigured):
            files.read_private_key(path, b"")


def test_nothing_shows_a_key_by_accident(data: Path) -> None:
    keys = keyring.unlock(data, PASSPHRASE)
    secret = files.seed(keys.token.private_key)

    shown = f"{keys!r} {keys.token!r} {keys.seal!r} {vars(keys)!r}"

    assert secret.hex() not in shown
    assert repr(secret) not in shown


@pytest.fixture
def own(data: Path, tmp_path: Path) -> Path:
    """Keys that a test may change."""
    shutil.copytree(data / keyring.FOLDER, tmp_path / keyring.FOLDER)
    return tmp_path


@pytest.mark.attack(92)
def test_the_key_of_tokens_is_changed_and_the_one_before_is_kept_an_hour(own: Path) -> None:
    path, old = keyring.key_path(own, "token"), keyring.unlock(own, PASSPHRASE).token
    assert old.before is None
    with pytest.raises(Misconfigured, match="the passphrase is wrong"):
        token.rotate(path, PASSPHRASE + b"r", 1000)

    new = token.rotate(path, PASSPHRASE, 1000)

    assert new.public_key != old.public_key
    unlocked = keyring.unlock(own, PASSPHRASE).token
    assert unlocked.public_key == new.public_key
    assert unlocked.before == token.Before(old.private_key.public_key(), 1000 + token.OVERLAP)
    assert path.with_suffix(".pub").read_text() == f"{public_line(new.public_key)} amrgate token\n"
    assert {one.stat().st_mode & 0o777 for one in path.parent.iterdir()} == {0o600}
    with pytest.raises(Conflict, match="in 1 min"):
        token.rotate(path, PASSPHRASE, 1000 + token.OVERLAP - 1)
    again = token.rotate(path, PASSPHRASE, 1000 + token.OVERLAP)
    assert again.before == token.Before(new.private_key.public_key(), 1000 + 2 * token.OVERLAP)


@pytest.mark.parametrize("text", ["", "ssh-ed25519 AAAA 5\n", "nonsense\n"])
def test_a_key_before_that_cannot_be_read_is_said(own: Path, text: str) -> None:
    (own / keyring.FOLDER / token.BEFORE).write_text(text)
    with pytest.raises(Misconfigured, match="token-before"):
        token.read(keyring.key_path(own, "token"), PASSPHRASE)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "a.key"
    files.write_new(path, files.encrypt(Ed25519PrivateKey.generate(), PASSPHRASE))
    return path


def test_a_key_that_others_may_read_is_refused(key_file: Path) -> None:
    key_file.chmod(0o640)
    with pytest.raises(Misconfigured, match="chmod 600"):
        files.read_private_key(key_file, PASSPHRASE)


def test_a_link_is_not_followed(key_file: Path) -> None:
    link = key_file.with_name("link.key")
    link.symlink_to(key_file)
    with pytest.raises(Misconfigured):
        files.read_private_key(link, PASSPHRASE)
    with pytest.raises(FileExistsError):
        files.write_new(link, b"")


@pytest.mark.parametrize("left", [0, 1, 100, 400])
def test_a_damaged_file_is_refused(key_file: Path, left: int) -> None:
    key_file.write_bytes(key_file.read_bytes()[:left])
    with pytest.raises(Misconfigured):
        files.read_private_key(key_file, PASSPHRASE)


def test_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rsa.key"
    words = ["-q", "-t", "ecdsa", "-N", PASSPHRASE.decode(), "-f"]
    subprocess.run(["ssh-keygen", *words, path], check=True)
    with pytest.raises(Misconfigured, match="not an Ed25519 key"):
        files.read_private_key(path, PASSPHRASE)


def test_a_file_that_is_there_is_not_written_over(key_file: Path) -> None:
    before = key_file.read_bytes()
    with pytest.raises(FileExistsError):
        files.write_new(key_file, b"new")
    assert key_file.read_bytes() == before


def test_signatures_are_of_the_key(key_file: Path) -> None:
    signer = FileSigner(files.read_private_key(key_file, PASSPHRASE))
    assert public_line(signer.public_key).startswith("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI")
    verify_signature(signer.public_key, b"data", signer.sign(b"data"))
    with pytest.raises(ValueError, match="wrong"):
        verify_signature(signer.public_key, b"date", signer.sign(b"data"))


# --- sealing --------------------------------------------------------------------------------


@given(st.binary(), st.text())
def test_what_is_sealed_can_be_opened_for_the_same_purpose(data: bytes, purpose: str) -> None:
    seal = Seal(bytes(32))
    sealed = seal.seal(data, purpose)

    assert seal.open(sealed, purpose) == data
    assert sealed != seal.seal(data, purpose)
    with pytest.raises(Misconfigured):
        seal.open(sealed, purpose + "x")


def test_what_was_changed_does_not_open() -> None:
    seal = Seal(os.urandom(32))
    sealed = seal.seal(b"secret", "totp alice")
    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Misconfigured):
            seal.open(bytes(changed), "totp alice")
    for length in range(len(sealed)):
        with pytest.raises(Misconfigured):
            seal.open(sealed[:length], "totp alice")


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(Misconfigured):
        Seal(b"a" * 32).open(Seal(b"b" * 32).seal(b"secret", "x"), "x")
