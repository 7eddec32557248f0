"""An ssh-agent with two security keys in it, touched at once whenever they are to sign.

`python -m tests.sk_agent SOCKET` writes SOCKET.ed25519.pub and SOCKET.ecdsa.pub, then answers
(draft-ietf-sshm-ssh-agent; PROTOCOL.u2f) until it is ended.
"""

from __future__ import annotations

import hashlib
import socketserver
import struct
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sshd_hook.wire import b64, string

APPLICATION = b"ssh:"
TOUCHED = b"\x01"
LIST, LISTED, SIGN, SIGNED, FAILURE = 11, 12, 13, 14, 5


class Ed25519:
    kind = b"sk-ssh-ed25519@openssh.com"

    def __init__(self) -> None:
        self._key = ed25519.Ed25519PrivateKey.generate()
        raw = self._key.public_key().public_bytes_raw()
        self.blob = string(self.kind) + string(raw) + string(APPLICATION)

    def signature(self, data: bytes) -> bytes:
        return self._key.sign(data)


class Ecdsa:
    kind = b"sk-ecdsa-sha2-nistp256@openssh.com"

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        form = (Encoding.X962, PublicFormat.UncompressedPoint)
        point = self._key.public_key().public_bytes(*form)
        curve = string(b"nistp256")
        self.blob = string(self.kind) + curve + string(point) + string(APPLICATION)

    def signature(self, data: bytes) -> bytes:
        numbers = decode_dss_signature(self._key.sign(data, ec.ECDSA(SHA256())))
        return b"".join(string(n.to_bytes(n.bit_length() // 8 + 1, "big")) for n in numbers)


KEYS: dict[str, Ed25519 | Ecdsa] = {"ed25519": Ed25519(), "ecdsa": Ecdsa()}


def answer(message: bytes) -> bytes:
    if message[0] == LIST:
        rows = [string(key.blob) + string(b"") for key in KEYS.values()]
        return bytes([LISTED]) + struct.pack(">I", len(rows)) + b"".join(rows)
    blob, rest = take(message[1:])
    found = [key for key in KEYS.values() if key.blob == blob]
    if message[0] != SIGN or not found:
        return bytes([FAILURE])
    (key,) = found
    flags = TOUCHED + struct.pack(">I", 1)  # and the counter
    data = hashlib.sha256(APPLICATION).digest() + flags + hashlib.sha256(take(rest)[0]).digest()
    return bytes([SIGNED]) + string(string(key.kind) + string(key.signature(data)) + flags)


def take(data: bytes) -> tuple[bytes, bytes]:
    (length,) = struct.unpack(">I", data[:4])
    return data[4 : 4 + length], data[4 + length :]


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while header := self.rfile.read(4):
            message = self.rfile.read(struct.unpack(">I", header)[0])
            self.wfile.write(string(answer(message)))


def main(place: str) -> None:
    for name, key in KEYS.items():
        Path(f"{place}.{name}.pub").write_text(f"{key.kind.decode()} {b64(key.blob)}\n")
    with socketserver.ThreadingUnixStreamServer(place, Handler) as server:
        Path(place).chmod(0o666)
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
