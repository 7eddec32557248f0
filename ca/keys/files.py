"""Keys in files: Ed25519 private keys in OpenSSH's encrypted format (PROTOCOL.key).

So `ssh-keygen -p` changes a passphrase and `ssh-keygen -y` shows a public key.
"""

import base64
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from ca.errors import Misconfigured
from sshd_hook import wire

ED25519 = "ssh-ed25519"
KDF_ROUNDS = 32  # of bcrypt: a quarter of a second a guess; ssh-keygen takes 24
MAX_KEY_FILE = 16384  # bytes


class FileSigner:
    """An Ed25519 key held in memory by this process."""

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self.private_key = private_key
        self.public_key = public_blob(private_key)

    def sign(self, data: bytes) -> bytes:
        """Return the signature blob of `data` (RFC 8709, section 6)."""
        return _ALGORITHM + wire.string(self.private_key.sign(data))


_ALGORITHM = wire.string(ED25519.encode())


def public_blob(private_key: Ed25519PrivateKey) -> bytes:
    """The public half as SSH encodes it (RFC 8709, section 4)."""
    raw = private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return wire.string(ED25519.encode()) + wire.string(raw)


def public_line(blob: bytes) -> str:
    """A public key as people and files write it: "ssh-ed25519 AAAA…"."""
    return f"{wire.Reader(blob).text()} {wire.b64(blob)}"


def seed(private_key: Ed25519PrivateKey) -> bytes:
    """The 32 secret bytes that an Ed25519 key is made of."""
    return private_key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())


def encrypt(private_key: Ed25519PrivateKey, passphrase: bytes) -> bytes:
    """A private key as it is stored."""
    lock = PrivateFormat.OpenSSH.encryption_builder().kdf_rounds(KDF_ROUNDS).build(passphrase)
    return private_key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, lock)


def write_new(path: Path, data: bytes) -> None:
    """Write a file that only we may read, on the disk when this returns.

    Raises:
        FileExistsError: there is something at `path`, be it a link.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 a descriptor
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read_private_key(path: Path, passphrase: bytes) -> Ed25519PrivateKey:
    """Decrypt the key at `path`.

    Raises:
        Misconfigured: it is missing, no key of ours, readable by others, or the passphrase is
            wrong.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 a descriptor
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_KEY_FILE)
    except OSError as error:
        raise Misconfigured(f"The key {path} cannot be read: {error.strerror}.") from error
    if mode & 0o077:
        raise Misconfigured(f"The key {path} must not be open to others: chmod 600 {path}.")
    try:
        key = load_ssh_private_key(data, passphrase)
    except (ValueError, TypeError) as error:
        # Wrong passphrase and damaged file look alike: both fail the same check bytes.
        raise Misconfigured(
            f"The key {path} cannot be unlocked: the passphrase is wrong or the file is damaged."
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Misconfigured(f"The key {path} is not an Ed25519 key.")
    return key


def read_public_key(path: Path) -> bytes:
    """The blob of the public key at `path`.

    Raises:
        Misconfigured: it is missing or no public key of ours.
    """
    try:
        kind, encoded = path.read_text().split(maxsplit=2)[:2]
        blob = base64.b64decode(encoded, validate=True)
    except (OSError, ValueError) as error:
        raise Misconfigured(f"The public key {path} cannot be read.") from error
    if kind != ED25519:
        raise Misconfigured(f"The public key {path} is not an Ed25519 key.")
    return blob
