"""A key in software: what an authenticator and its browser answer, right or wrong as told."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PRESENT, VERIFIED, ELIGIBLE, BACKED_UP, ATTESTED = 0x01, 0x04, 0x08, 0x10, 0x40
EDDSA, ES256, RS256 = -8, -7, -257

PrivateKey = Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")


@dataclass
class Authenticator:
    """One key. What it says can be changed between uses; `said` goes over the client data."""

    origin: str
    host: str
    flags: int = PRESENT | VERIFIED
    count: int = 1
    algorithm: int = ES256
    id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    handle: bytes | None = None
    said: dict[str, Any] = field(default_factory=dict)
    _key: PrivateKey | None = None

    @property
    def key(self) -> PrivateKey:
        if self._key is None:
            if self.algorithm == EDDSA:
                self._key = Ed25519PrivateKey.generate()
            elif self.algorithm == RS256:
                self._key = rsa.generate_private_key(65537, 2048)
            else:
                self._key = ec.generate_private_key(ec.SECP256R1())
        return self._key

    def create(self, options: str, **changed: Any) -> str:
        """The browser's answer to a question for a new key; `changed` are parts of it."""
        asked = json.loads(options)
        self.handle = decoded(asked["user"]["id"])
        attested = {"fmt": "none", "attStmt": {}, "authData": self.attested(), **changed}
        response = {
            "clientDataJSON": encoded(self.client_data("webauthn.create", asked["challenge"])),
            "attestationObject": encoded(cbor2.dumps(attested)),
            "transports": ["usb", "a new one"],
        }
        return self.answer(response)

    def get(self, options: str, **changed: Any) -> str:
        """The browser's answer to a question for a key that it has."""
        data = self.client_data("webauthn.get", json.loads(options)["challenge"])
        seen = self.seen(self.flags)
        response = {
            "clientDataJSON": encoded(data),
            "authenticatorData": encoded(seen),
            "signature": encoded(self.sign(seen + hashlib.sha256(data).digest())),
            "userHandle": None if self.handle is None else encoded(self.handle),
        }
        return self.answer(response | changed)

    def answer(self, response: dict[str, Any]) -> str:
        name = encoded(self.id)
        return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": response})

    def client_data(self, kind: str, challenge: str) -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(said | self.said).encode()

    def seen(self, flags: int) -> bytes:
        host = hashlib.sha256(self.host.encode()).digest()
        return host + bytes([flags]) + self.count.to_bytes(4, "big")

    def attested(self, cose: bytes | None = None) -> bytes:
        head = self.seen(self.flags | ATTESTED) + bytes(16)
        return head + len(self.id).to_bytes(2, "big") + self.id + (cose or cbor2.dumps(self.cose()))

    def cose(self) -> dict[int, Any]:
        key = self.key
        if isinstance(key, Ed25519PrivateKey):
            return {1: 1, 3: self.algorithm, -1: 6, -2: key.public_key().public_bytes_raw()}
        numbers = key.public_key().public_numbers()
        if isinstance(numbers, rsa.RSAPublicNumbers):
            return {1: 3, 3: self.algorithm, -1: numbers.n.to_bytes(256, "big"), -2: b"\1\0\1"}
        x, y = (one.to_bytes(32, "big") for one in (numbers.x, numbers.y))
        return {1: 2, 3: self.algorithm, -1: 1, -2: x, -3: y}

    def sign(self, data: bytes) -> bytes:
        key = self.key
        if isinstance(key, Ed25519PrivateKey):
            return key.sign(data)
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return key.sign(data, ec.ECDSA(hashes.SHA256()))
