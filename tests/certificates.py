"""Keys of every type, CAs, certificates with any field wrong, and what other programs read in them."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import uuid
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sshd_hook.certificate import (
    AMR,
    AUTH_TIME,
    HAS_MFA,
    KEY_TYPES,
    NAME,
    PERMISSIONS,
    SESSION,
    USER,
    VIA,
    Certificate,
    certificate_type,
    check_fields,
    is_valid_at,
    option,
    parse,
    to_be_signed,
)
from sshd_hook.wire import Reader, WireError, mpint, string

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Mapping, Sequence

ALICE = "5c0e7c2e-8f4b-4c8e-9d3a-0b1a2c3d4e5f"
HANDLE = "a9a3f0de-1111-4222-8333-444455556666"
NOW = 1_800_000_000

CURVES: dict[str, tuple[ec.EllipticCurve, hashes.HashAlgorithm]] = {
    "nistp256": (ec.SECP256R1(), hashes.SHA256()),
    "nistp384": (ec.SECP384R1(), hashes.SHA384()),
    "nistp521": (ec.SECP521R1(), hashes.SHA512()),
}
PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def plain(key: PrivateKey) -> bytes:
    """The public key as RFC 4253 encodes it, written by `cryptography`."""
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return base64.b64decode(line.split()[1])


@dataclass(frozen=True)
class Authority:
    """A CA in memory: what signs in tests of everything but custody."""

    private: PrivateKey

    @property
    def public_key(self) -> bytes:
        return plain(self.private)

    def sign(self, data: bytes) -> bytes:
        """An SSH signature: the algorithm's name, then the signature."""
        key = self.private
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return string(b"ssh-ed25519") + string(key.sign(data))
        if isinstance(key, rsa.RSAPrivateKey):
            value = key.sign(data, padding.PKCS1v15(), hashes.SHA512())
            return string(b"rsa-sha2-512") + string(value)
        name = Reader(self.public_key).string()
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(CURVES[name[-8:].decode()][1])))
        return string(name) + string(mpint(r) + mpint(s))

    def seal(self, signed: bytes) -> bytes:
        """The whole certificate of what is to be signed."""
        return signed + string(self.sign(signed))

    def certify(self, certificate: Certificate) -> bytes:
        return self.seal(to_be_signed(certificate))


@cache
def private_key(key_type: str) -> PrivateKey:
    if key_type == "ssh-ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if key_type == "ssh-rsa":
        return rsa.generate_private_key(65537, 3072)
    return ec.generate_private_key(CURVES[key_type[-8:]][0])


@cache
def authority(key_type: str = "ssh-ed25519") -> Authority:
    """A CA of each type, the same one for a whole run."""
    key = private_key(key_type)
    other = ed25519.Ed25519PrivateKey.generate() if key_type == "ssh-ed25519" else key
    return Authority(other)  # most subjects are Ed25519: no CA certifies itself


@cache
def subject_key(key_type: str) -> bytes:
    """A public key. A security key's is an ordinary point and its application."""
    if not key_type.startswith("sk-"):
        return plain(private_key(key_type))
    ordinary = key_type.removeprefix("sk-").removesuffix("@openssh.com")
    fields = Reader(plain(private_key(ordinary)))
    fields.string()
    return string(key_type.encode()) + fields.rest() + option("ssh:")


def extensions(  # noqa: PLR0913 -- one for each
    *,
    amr: str | None = "mfa,otp,pwd",
    auth_time: str | None = str(NOW - 600),
    via: str | None = None,
    name: str | None = "Alice",
    session: str | None = HANDLE,
    more: Mapping[str, bytes] = MappingProxyType({}),
) -> tuple[tuple[str, bytes], ...]:
    """What our CA writes, in order; None leaves one out."""
    values = {AMR: amr, AUTH_TIME: auth_time, VIA: via, NAME: name, SESSION: session}
    written = {key: option(value) for key, value in values.items() if value is not None}
    flags = [*PERMISSIONS, *([HAS_MFA] if "mfa" in (amr or "").split(",") else [])]
    return tuple(sorted((written | dict.fromkeys(flags, b"") | dict(more)).items()))


def user_certificate(subject: str = "ssh-ed25519", /, **changes: object) -> Certificate:
    """A good certificate, but for `changes`."""
    fields: dict[str, object] = {
        "key_type": certificate_type(subject),
        "nonce": bytes(range(32)),
        "public_key": subject_key(subject),
        "serial": 0x6B49_D200_0000_0001,
        "kind": USER,
        "key_id": ALICE,
        "principals": (ALICE,),
        "valid_after": NOW - 60,
        "valid_before": NOW + 3600,
        "critical_options": (),
        "extensions": extensions(),
        "signature_key": authority().public_key,
    }
    return Certificate(**{**fields, **changes})  # type: ignore[arg-type]  # as tests break them


def line(blob: bytes) -> str:
    """A public key or certificate as files have it, without a comment."""
    return f"{Reader(blob).text()} {base64.b64encode(blob).decode()}"


# --- what ssh-keygen reads ------------------------------------------------------------------


@dataclass(frozen=True)
class Listed:
    """What `ssh-keygen -L` says of a certificate; extensions as their bytes where it shows them."""

    type: str
    key_id: str
    serial: int
    valid: str
    principals: list[str]
    critical_options: list[str]
    extensions: dict[str, bytes]
    fingerprints: tuple[str, str]


def keygen(*arguments: str | os.PathLike[str], text: str = "") -> str:
    """Run ssh-keygen, and fail with what it says."""
    ran = subprocess.run(
        ["ssh-keygen", *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"TZ": "UTC", "LC_ALL": "C"},
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def list_certificates(blobs: Iterable[bytes]) -> dict[int, Listed]:
    """Ask ssh-keygen about all of them at once: what it takes, by place; what it refuses lacks."""
    lines = "".join(
        f"{Reader(blob).string().decode()} {base64.b64encode(blob).decode()}\n" for blob in blobs
    )
    if not lines:
        return {}
    # A good one at the end, because ssh-keygen fails if it finds none.
    last = line(authority().certify(user_certificate()))
    parts = re.split(
        r"^\(stdin\):(\d+):\n", keygen("-L", "-f", "-", text=lines + last), flags=re.MULTILINE
    )
    listed = {int(number) - 1: text for number, text in zip(parts[1::2], parts[2::2], strict=True)}
    assert listed.pop(lines.count("\n"))
    return {place: _read_listing(text) for place, text in listed.items()}


OPTION = r"(\S+)(?: UNKNOWN FLAG OPTION| UNKNOWN OPTION: ([0-9a-f]+) \(len \d+\))?"


def _read_listing(text: str) -> Listed:
    single = dict(re.findall(r"^ {8}([A-Z][\w ]+): (\S.*)$", text, re.MULTILINE))
    lists = {
        title: re.findall(r"^ {16}(.*)$", body, re.MULTILINE)
        for title, body in re.findall(
            r"^ {8}([A-Z][\w ]+): (?:\(none\))?\n((?: {16}.*\n)*)", text, re.MULTILINE
        )
    }
    found = [re.fullmatch(OPTION, entry) for entry in lists["Extensions"]]
    assert all(found), text
    return Listed(
        type=single["Type"],
        key_id=single["Key ID"].strip('"'),
        serial=int(single["Serial"]),
        valid=single["Valid"],
        principals=lists["Principals"],
        critical_options=lists["Critical Options"],
        extensions={match[1]: bytes.fromhex(match[2] or "") for match in found if match},
        fingerprints=(single["Public key"].split()[1], single["Signing CA"].split()[1]),
    )


# --- many of them ---------------------------------------------------------------------------

NAMES = ["Alice", "Zoë Müller", "佐藤 花子", "O'Neil, Jr.", "x", "y" * 64]
AMRS = [None, "pwd", "mfa,otp,pwd", "hwk,mfa", "sso:acme", "mfa,otp,sso:acme", "mfa,pwd,recovery"]
AMRS += ["sso:acme,sso:acme:mfa,sso:evil", ",".join(f"sso:p{n:02}" for n in range(20))]


def drawn_certificate(
    source: random.Random, subjects: Sequence[str] = KEY_TYPES, ca: Authority | None = None
) -> Certificate:
    """A good certificate, any of its fields as they may be."""
    user = str(uuid.UUID(int=source.getrandbits(128)))
    after = source.choice([0, NOW - 60, source.getrandbits(33)])
    return user_certificate(
        source.choice(subjects),
        nonce=source.randbytes(32),
        serial=source.choice([1, 2**63, 2**64 - 1, source.getrandbits(64) or 1]),
        key_id=user,
        principals=(user,),
        valid_after=after,
        valid_before=after + source.choice([1, 3600, 86400]),
        extensions=extensions(
            amr=source.choice(AMRS),
            auth_time=source.choice([None, "0", str(source.getrandbits(31))]),
            via=source.choice([None, None, "device"]),
            name=source.choice(NAMES),
            session=str(uuid.UUID(int=source.getrandbits(128))),
        ),
        signature_key=(ca or authority()).public_key,
    )


def accept(blob: bytes) -> Certificate:
    """All that the hook asks of a certificate before it decides."""
    certificate, signed, _signature = parse(blob)
    assert to_be_signed(certificate) == signed, "what is read must be what was written"
    check_fields(certificate)
    assert is_valid_at(certificate, NOW)
    return certificate


def certify(**changes: object) -> bytes:
    return authority().certify(user_certificate(**changes))


def refuse(fault: str, **changes: object) -> None:
    with pytest.raises(WireError, match=fault):
        accept(certify(**changes))
