"""Broken certificates: nothing that ours takes may be refused, or read otherwise, by another reader.

What is broken is what the CA signs, and then it is signed again: else the signature would hide
every other fault. What ours takes is shown to `cryptography` and, many at a time because it is
slow, to `ssh-keygen -L`; and what the hook answers to it must be what the second reading of the
rules of access says.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import SSHCertificate, load_ssh_public_identity

from ca.errors import NotAuthenticated
from ca.issuance.verify import verify_certificate
from sshd_hook.certificate import (
    HOST,
    KEY_TYPES,
    Certificate,
    certificate_type,
    check_fields,
    option,
    parse_to_be_signed,
    to_be_signed,
)
from sshd_hook.wire import WireError, string, u32
from tests.certificates import (
    NOW,
    Listed,
    authority,
    drawn_certificate,
    line,
    list_certificates,
    subject_key,
)
from tests.fuzz.host import Host

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

POOL = 64
ANEW = 20_000  # executions, after which others are broken, and another host is asked
BATCH = 250  # a busy machine must be done with them within the minute that ssh-keygen has

TEXTS = [
    "",
    "root",
    "a#root",
    "a b",
    "a,b",
    "a\nb",
    "a\0b",
    "\x1b[2J",
    "é",
    "e\u0301",
    "\u202e",
    "*",
]
AMR = [
    "",
    "mfa",
    "MFA",
    " mfa",
    "mfa,",
    "mfa\0",
    "pwd,mfa",
    "mfa,mfa",
    "sso:",
    "sso:acme:mfa",
    "otp",
]
TIMES = ["0", "-1", "01", "1e9", " 1", "9" * 12, "9" * 13, str(NOW), str(NOW + 301), "\u0663"]
NUMBERS = [0, 1, 2, 3, NOW - 1, NOW, NOW + 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]
NAMES = ["force-command", "source-address", "permit-pty", "no-touch-required", "", "a", "zzz", "é"]
VALUES = [b"", b"\0", b"\0\0\0\0", b"\0\0\0\1", string(b"x") + b"x", string(b"\xff"), option("x")]


class Certificates:
    """A run: how much was tried, and what was found."""

    def __init__(self) -> None:
        self.executions = 0
        self.seen: Counter[str] = Counter()
        self.disagreements: list[str] = []
        self._taken: list[tuple[bytes, Certificate]] = []
        self._pool: list[bytes] = []
        self._host: Host

    def execute(self, source: random.Random) -> None:
        """Break one certificate and ask about it."""
        if self.executions % ANEW == 0:
            self._draw(source)
        self.executions += 1
        original = source.choice(self._pool)
        if source.random() < 0.05:
            self._unsigned(source, original)
            return
        signed = break_up(source, original, self._pool)
        if signed == original:
            return
        try:
            check_fields(parse_to_be_signed(signed))
        except WireError as error:
            self.seen[str(error)] += 1
            return
        self._signed(source, signed)

    def _draw(self, source: random.Random) -> None:
        drawn = [drawn_certificate(source) for _ in range(POOL)]
        self._pool = [to_be_signed(certificate) for certificate in drawn]
        self._host = Host(source, (certificate.key_id for certificate in drawn))

    def _signed(self, source: random.Random, signed: bytes) -> None:
        blob = authority().seal(signed)
        try:
            certificate = verify_certificate(blob, {authority().public_key: "active"})
        except NotAuthenticated as error:
            self.seen[error.message] += 1
            return
        self.seen["taken"] += 1
        if to_be_signed(certificate) != signed:
            self._disagree("what was read is not what was signed", blob)
        if fault := by_cryptography(blob, certificate):
            self._disagree(f"cryptography: {fault}", blob)
        code, fault = self._host.disagreement(source, certificate, blob)
        self.seen[f"taken and {code}"] += 1
        if fault:
            self._disagree(f"the hook: {fault}", blob)
        self._taken.append((blob, certificate))
        if len(self._taken) >= BATCH:
            self.finish()

    def _unsigned(self, source: random.Random, signed: bytes) -> None:
        """Break what is already signed: nothing at all may be taken."""
        blob = authority().seal(signed)
        broken = flip(source, blob)
        try:
            verify_certificate(broken, {authority().public_key: "active"})
        except NotAuthenticated:
            self.seen["refused, signed before it was broken"] += 1
            return
        if broken != blob:
            self._disagree("a signature over other bytes", broken)

    def finish(self) -> None:
        """Show ssh-keygen what was taken since it was last asked."""
        listed = list_certificates(blob for blob, _ in self._taken)
        for place, (blob, certificate) in enumerate(self._taken):
            self.seen["shown to ssh-keygen"] += 1
            if fault := by_ssh_keygen(listed.get(place), certificate):
                self._disagree(f"ssh-keygen: {fault}", blob)
        self._taken.clear()

    def _disagree(self, what: str, blob: bytes) -> None:
        self.disagreements.append(f"{what}: {line_or_hex(blob)}")


def line_or_hex(blob: bytes) -> str:
    try:
        return line(blob)
    except WireError:
        return blob.hex()


# --- other readers --------------------------------------------------------------------------


def by_cryptography(blob: bytes, ours: Certificate) -> str:
    """What `cryptography` finds wrong or reads otherwise. It knows no security keys."""
    if ours.key_type.startswith("sk-"):
        return ""
    try:
        theirs = load_ssh_public_identity(line(blob).encode())
        if not isinstance(theirs, SSHCertificate):
            return "not a certificate"
        theirs.verify_cert_signature()
    except (ValueError, InvalidSignature) as error:
        return repr(error)
    read = (theirs.serial, theirs.key_id, theirs.valid_principals)
    written = (ours.serial, ours.key_id.encode(), [ours.principals[0].encode()])
    times = (theirs.valid_after, theirs.valid_before) == (ours.valid_after, ours.valid_before)
    times = times and not theirs.critical_options
    extensions = {name.encode(): data[4:] for name, data in ours.extensions}
    return "" if read == written and times and theirs.extensions == extensions else "read otherwise"


def by_ssh_keygen(theirs: Listed | None, ours: Certificate) -> str:
    if theirs is None:
        return "refused"
    read = (theirs.serial, theirs.key_id, theirs.principals)
    written = (ours.serial, ours.key_id, list(ours.principals))
    same = (
        read == written
        and not theirs.critical_options
        and theirs.extensions == dict(ours.extensions)
    )
    return "" if same and theirs.type == f"{ours.key_type} user certificate" else "read otherwise"


# --- ways to break one ----------------------------------------------------------------------


def break_up(source: random.Random, signed: bytes, pool: list[bytes]) -> bytes:
    """Break it in one to three places, by its fields or by its bytes."""
    for _ in range(source.choice((1, 1, 2, 3))):
        how = source.random()
        if how < 0.5:
            signed = break_a_field(source, signed)
        elif how < 0.9:
            signed = flip(source, signed)
        else:
            other = source.choice(pool)
            cut = source.randrange(len(signed))
            signed = signed[:cut] + other[source.randrange(len(other)) :]
    return signed


def flip(source: random.Random, data: bytes) -> bytes:
    """Change, insert, remove or repeat some bytes."""
    at = source.randrange(len(data) or 1)
    size = source.choice((1, 1, 1, 4, 8))
    how = source.randrange(6)
    if how == 0:
        return data[:at] + source.randbytes(size) + data[at + size :]
    if how == 1:
        return data[:at] + bytes([data[at : at + 1][0] ^ 1 << source.randrange(8)]) + data[at + 1 :]
    if how == 2:
        return data[:at] + source.randbytes(size) + data[at:]
    if how == 3:
        return data[:at] + data[at + size :]
    if how == 4:
        return data[:at] + data[at : at + size] * 2 + data[at + size :]
    return data[:at] + u32(source.choice((0, 1, 2**31, 2**32 - 1, len(data)))) + data[at + 4 :]


def break_a_field(source: random.Random, signed: bytes) -> bytes:
    """Put something hostile, or only something else, into one field."""
    try:
        certificate = parse_to_be_signed(signed)
    except WireError:
        return flip(source, signed)
    field = source.choice(Certificate.__slots__)
    setattr(certificate, field, _hostile(source, field, getattr(certificate, field)))
    return to_be_signed(certificate)


def _hostile(source: random.Random, field: str, whole: Any) -> object:
    number = source.choice(NUMBERS)
    text = source.choice(TEXTS)
    key = source.choice([subject_key(source.choice(KEY_TYPES)), string(b"") + source.randbytes(40)])
    values: dict[str, Callable[[], object]] = {
        "kind": lambda: source.choice((0, HOST, 3, 2**32 - 1)),
        "key_id": lambda: source.choice((text, whole.upper())),
        "principals": lambda: source.choice([(), whole * 2, (text,), (*whole, text)]),
        "extensions": lambda: _options(source, list(whole)),
        "critical_options": lambda: _options(source, list(whole)),
        "key_type": lambda: certificate_type(source.choice(KEY_TYPES)),
        "nonce": lambda: source.randbytes(source.choice((0, 16, 33, 9000))),
        "public_key": lambda: key,
        "signature_key": lambda: source.choice([key, flip(source, whole)]),
    }
    return values.get(field, lambda: number)()


def _options(
    source: random.Random, options: list[tuple[str, bytes]]
) -> tuple[tuple[str, bytes], ...]:
    at = source.randrange(len(options) + 1)
    if options and source.random() < 0.6:
        name, _ = options.pop(min(at, len(options) - 1))
        value = source.choice([*VALUES, *map(option, AMR + TEXTS + TIMES)])
        options.insert(at, (name, value))
    elif options and source.random() < 0.5:
        options[at:at] = source.choices(options)
    else:
        options.insert(at, (source.choice(NAMES), source.choice(VALUES)))
    return tuple(sorted(options) if source.random() < 0.7 else options)
