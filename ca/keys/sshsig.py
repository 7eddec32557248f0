"""Signatures of files, as `ssh-keygen -Y verify` reads them (OpenSSH's PROTOCOL.sshsig)."""

import hashlib
import textwrap

from ca.keys.signer import Signer
from sshd_hook.wire import b64, string, u32

MAGIC = b"SSHSIG"
VERSION = 1
HASH = "sha512"
LINE = 70  # characters, as ssh-keygen breaks them


def sign_file(signer: Signer, namespace: str, data: bytes) -> str:
    """Sign `data` for the purpose `namespace`: under another one, the signature is not good.

    Raises:
        SigningFailed: the key does not sign now.
    """
    named = string(namespace.encode()) + string(b"") + string(HASH.encode())
    signature = signer.sign(MAGIC + named + string(hashlib.sha512(data).digest()))
    blob = MAGIC + u32(VERSION) + string(signer.public_key) + named + string(signature)
    lines = textwrap.wrap(b64(blob), LINE)
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])
