"""The keys of one CA, made by `init` and unlocked once by `serve`."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ca.keys import files, statements, token
from ca.keys.files import FileSigner
from ca.keys.seal import Seal
from ca.keys.signer import Signer
from ca.keys.statements import NONE, Statements
from ca.keys.token import TokenKey

FOLDER = "keys"
ROLES = ("user_ca", "host_ca", "bundle", "token", "seal")
RECOVERY = "recovery"


@dataclass(frozen=True, repr=False)
class Keyring:
    """What signs and seals. Each key has one use."""

    user_ca: Signer
    """Signs users' certificates."""

    host_ca: Signer
    """Signs hosts' certificates."""

    bundle: Signer
    """Signs what hosts obey."""

    token: TokenKey
    """Signs access tokens; in this process, since every request checks one."""

    seal: Seal
    """Encrypts secrets in the database."""

    recovery_public_key: bytes
    """Of the key that is kept offline and can name a new bundle key."""

    statements: Statements = NONE
    """What tells hosts which bundle key is the present one."""


def key_path(data: Path, role: str) -> Path:
    """Where the key of `role` is, in the data folder `data`."""
    return data / FOLDER / f"{role}.key"


def create(data: Path, passphrase: bytes) -> Path:
    """Make all keys in the existing folder `data`; return the path of the recovery key.

    The recovery key is under the same passphrase until it is taken away.
    """
    (data / FOLDER).mkdir(mode=0o700)
    for role in (*ROLES, RECOVERY):
        key = Ed25519PrivateKey.generate()
        files.write_new(key_path(data, role), files.encrypt(key, passphrase))
        if role != "seal":  # its public half would only invite somebody to use it
            line = f"{files.public_line(files.public_blob(key))} amrgate {role}\n"
            files.write_new(key_path(data, role).with_suffix(".pub"), line.encode())
    return key_path(data, RECOVERY)


def unlock(data: Path, passphrase: bytes) -> Keyring:
    """Decrypt the keys in `data`: some seconds, which is what makes guessing slow.

    Raises:
        Misconfigured: a key is missing or does not open.
    """
    roles = [role for role in ROLES if role != "token"]
    keys = {role: files.read_private_key(key_path(data, role), passphrase) for role in roles}
    return Keyring(
        user_ca=FileSigner(keys["user_ca"]),
        host_ca=FileSigner(keys["host_ca"]),
        bundle=FileSigner(keys["bundle"]),
        token=token.read(key_path(data, "token"), passphrase),
        # The container of 32 secret bytes is that of an Ed25519 key: they are its seed.
        seal=Seal(files.seed(keys["seal"])),
        recovery_public_key=files.read_public_key(key_path(data, RECOVERY).with_suffix(".pub")),
        statements=statements.read(data / FOLDER),
    )
