"""Signatures of files, as `ssh-keygen -Y verify` reads them (OpenSSH's PROTOCOL.sshsig)."""

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ca.keys.signer import Signer
from sshd_hook.wire import Reader, WireError, b64, string, u32, unb64

MAGIC = b"SSHSIG"
VERSION = 1
HASH = "sha512"
BEGIN, END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
ED25519 = b"ssh-ed25519"
LINE = 70  # characters, as ssh-keygen breaks them


class BadSignature(ValueError):
    """It is not the signature that it should be; the message says how."""


def sign_file(signer: Signer, namespace: str, data: bytes) -> str:
    """Sign `data` for the purpose `namespace`: under another one, the signature is not good.

    Raises:
        SigningFailed: the key does not sign now.
    """
    named = string(namespace.encode()) + string(b"") + string(HASH.encode())
    signature = signer.sign(MAGIC + named + string(hashlib.sha512(data).digest()))
    blob = MAGIC + u32(VERSION) + string(signer.public_key) + named + string(signature)
    text = b64(blob)
    lines = [text[start : start + LINE] for start in range(0, len(text), LINE)]
    return "\n".join([BEGIN, *lines, END, ""])


def verify_file(public_key: bytes, namespace: str, data: bytes, armored: str) -> None:
    """Check that an Ed25519 key signed `data` for the purpose `namespace`.

    Raises:
        BadSignature: it did not.
    """
    lines = armored.split("\n")
    if (lines[0], lines[-2:]) != (BEGIN, [END, ""]):
        raise BadSignature("no armored signature")
    try:
        blob = unb64("".join(lines[1:-2]))
        reader = Reader(blob[len(MAGIC) :])
        head = (blob[: len(MAGIC)], reader.u32(), reader.string())
        named = (reader.string(), reader.string(), reader.string())
        signature = Reader(reader.string())
        reader.end()
        kind, raw = signature.string(), signature.string()
        signature.end()
    except WireError as error:
        raise BadSignature(str(error)) from error
    if head != (MAGIC, VERSION, public_key):
        raise BadSignature("signed by another key")
    hashes = {b"sha512": hashlib.sha512, b"sha256": hashlib.sha256}
    if named[:2] != (namespace.encode(), b"") or named[2] not in hashes or kind != ED25519:
        raise BadSignature("signed for another purpose")
    signed = MAGIC + b"".join(map(string, (*named, hashes[named[2]](data).digest())))
    key = Reader(public_key)
    key.string()
    try:
        Ed25519PublicKey.from_public_bytes(key.string()).verify(raw, signed)
    except InvalidSignature as error:
        raise BadSignature("the text is not the one that was signed") from error
