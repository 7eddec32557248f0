"""Encrypting what must be in the database but not readable there."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ca.errors import Misconfigured

NONCE = 12  # bytes, random: good for 2**32 values under one key (NIST SP 800-38D, section 8.3)


class Seal:
    """AES-256-GCM under one key.

    `purpose` says what the value is and whose, such as "totp <user id>": what was sealed for one
    row does not open in another, so that whoever writes the database cannot swap secrets.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._cipher = AESGCM(self.derive("seal"))

    def seal(self, data: bytes, purpose: str) -> bytes:
        """Encrypt `data`."""
        nonce = os.urandom(NONCE)
        return nonce + self._cipher.encrypt(nonce, data, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Decrypt what `seal` made for the same purpose.

        Raises:
            Misconfigured: it was made for something else, under another key, or was changed.
        """
        try:
            return self._cipher.decrypt(sealed[:NONCE], sealed[NONCE:], purpose.encode())
        except (InvalidTag, ValueError) as error:
            raise Misconfigured(
                "A secret in the database cannot be opened: it does not belong to this key."
            ) from error

    def derive(self, purpose: str) -> bytes:
        """32 bytes that nobody else can guess, the same ones each time for one purpose."""
        info = f"amrgate {purpose}".encode()
        return HKDF(SHA256(), 32, salt=None, info=info).derive(self._secret)
