"""The key that signs access tokens, and how it is changed.

What was signed before a change stays good for a while: the public half of the key before is kept
in a file of its own, with when that ends. Nobody's refresh tokens depend on it.
"""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from ca.errors import Conflict, Misconfigured
from ca.keys import files
from ca.keys.files import FileSigner

OVERLAP = 3600  # seconds: to restart every node, and for the tokens of the last one to end
BEFORE = "token-before.pub"


@dataclass(frozen=True)
class Before:
    """The key before this one: what it signed is taken until `until`."""

    public_key: Ed25519PublicKey
    until: int  # seconds since the epoch


class TokenKey(FileSigner):
    """The key that signs access tokens, and the one before it, if that was changed lately."""

    def __init__(self, private_key: Ed25519PrivateKey, before: Before | None = None) -> None:
        super().__init__(private_key)
        self.before = before


def read(path: Path, passphrase: bytes) -> TokenKey:
    """The key at `path`, with the one before it.

    Raises:
        Misconfigured: one of them cannot be read.
    """
    return TokenKey(files.read_private_key(path, passphrase), _read_before(path.with_name(BEFORE)))


def rotate(path: Path, passphrase: bytes, now: int) -> TokenKey:
    """Put a new key in the place of that at `path`, under the same passphrase.

    A process that is killed here leaves the old key or the new one in place, never none.

    Raises:
        Conflict: the last change is too short ago: what was signed before it would be refused.
        Misconfigured: the key cannot be read, or the passphrase is not its.
    """
    old = read(path, passphrase)
    if old.before is not None and now < old.before.until:
        minutes = -(-(old.before.until - now) // 60)
        raise Conflict(f"The key was changed less than an hour ago. Try again in {minutes} min.")
    key, until = Ed25519PrivateKey.generate(), now + OVERLAP
    public = f"{files.public_line(files.public_blob(key))} amrgate token\n"
    _put(path.with_name(BEFORE), f"{files.public_line(old.public_key)} {until}\n".encode())
    _put(path, files.encrypt(key, passphrase))
    _put(path.with_suffix(".pub"), public.encode())
    return read(path, passphrase)


def _put(path: Path, data: bytes) -> None:
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    files.write_new(new, data)
    new.replace(path)


def _read_before(path: Path) -> Before | None:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"The public key {path} cannot be read.") from error
    try:
        line, _, until = text.rpartition(" ")
        public_key = load_ssh_public_key(line.encode())
        if isinstance(public_key, Ed25519PublicKey):
            return Before(public_key, int(until))
    except ValueError as error:
        raise Misconfigured(f"The public key {path} cannot be read.") from error
    raise Misconfigured(f"The public key {path} is not an Ed25519 key.")
