"""The people of the private machine, their certificates, and a CA that signs any certificate.

A real CA refuses to sign most of what must be shown to be harmless, so tests sign with this one.
"""

import secrets
import time
import uuid
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sshd_hook import certificate as form
from sshd_hook.certificate import Certificate
from sshd_hook.wire import b64, string

IDS = {
    "alice": "7d2b6f0e-1c55-4b7e-9a40-3f6d1e2c8a01",
    "bob": "0b9c4a77-52d1-4e0c-8f3b-6a1d9e7f2b02",
    "carol": "c3a1e8d4-9f60-4d2a-b1c7-5e8f0a6d3c03",
    "mallory": "e4f7b2c9-3d18-4a6f-a5e2-8b0c7d1f4d04",
}
CERTIFICATE_TYPE = "ssh-ed25519-cert-v01@openssh.com"
PASSWORD_ONLY = "pwd"  # noqa: S105 - the name of a way to log in
TWO_FACTORS = "mfa,otp,pwd"
HOUR = 3600


class Authority:
    """A user CA whose only rule is its key."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self.public_key = ed25519_blob(self._key.public_key().public_bytes_raw())

    @property
    def line(self) -> str:
        """The public key as OpenSSH's files have it."""
        return f"ssh-ed25519 {b64(self.public_key)}"

    def sign(self, certificate: Certificate) -> bytes:
        """The whole certificate for these fields, whatever they are."""
        signed = form.to_be_signed(certificate)
        return self.sign_bytes(signed)

    def sign_bytes(self, signed: bytes) -> bytes:
        """The whole certificate for a to-be-signed part that need not even parse."""
        signature = string(b"ssh-ed25519") + string(self._key.sign(signed))
        return signed + string(signature)


def ed25519_blob(raw: bytes) -> bytes:
    """A plain public key (RFC 8709, section 4)."""
    return string(b"ssh-ed25519") + string(raw)


def draft(
    person: str, public_key: bytes, authority: Authority, amr: str = TWO_FACTORS
) -> dict[str, Any]:
    """The fields of a good certificate for one of the people, for `Certificate(**…)`."""
    now = int(time.time())
    return {
        "key_type": CERTIFICATE_TYPE,
        "nonce": secrets.token_bytes(32),
        "public_key": public_key,
        "serial": secrets.randbelow(2**63) + 1,
        "kind": form.USER,
        "key_id": IDS[person],
        "principals": (IDS[person],),
        "valid_after": now - 60,
        "valid_before": now + HOUR,
        "critical_options": (),
        "extensions": extensions(person, amr, auth_time=now),
        "signature_key": authority.public_key,
    }


def extensions(
    person: str, amr: str, auth_time: int, via: str = ""
) -> tuple[tuple[str, bytes], ...]:
    """What the CA writes into a certificate of somebody who logged in by `amr`."""
    values = {
        form.AMR: amr,
        form.AUTH_TIME: str(auth_time),
        form.SESSION: str(uuid.uuid4()),
        form.NAME: person.capitalize(),
        form.VIA: via,
    }
    found = {name: form.option(value) for name, value in values.items() if value}
    found |= dict.fromkeys(form.PERMISSIONS, b"")
    if "mfa" in amr.split(","):
        found[form.HAS_MFA] = b""
    return tuple(sorted(found.items()))
