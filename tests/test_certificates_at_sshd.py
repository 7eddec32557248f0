"""Certificates that must not open anything, offered to a real sshd with their keys.

The parser's and the hook's own tests have these cases in their whole volume. Here one or two of
each go the whole way, beside a good one that gets in, so that a refusal is not for another reason.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from machine.clients import SERVICE, Step, probe
from machine.people import IDS, Authority, extensions
from sshd_hook import certificate as form
from sshd_hook.wire import b64, string

if TYPE_CHECKING:
    from machine.host import Host

ALICE = IDS["alice"]
KEY = "/home/alice/.ssh/id_ed25519"


def answers(host: Host, *blobs: bytes) -> list[str]:
    """What sshd says to each certificate of alice's key, and a signature by that key."""
    connections: list[list[Step]] = [[("login", SERVICE, b64(blob), KEY)] for blob in blobs]
    return [seen["answers"][-1] for seen in probe(host.machine, *connections)]


def refuses(host: Host, blob: bytes) -> bool:
    good = host.authority.sign(host.draft("alice"))
    control, answer = answers(host, good, blob)
    assert control == "in"
    return answer in ("no", "closed")


@pytest.mark.attack(1)
def test_signed_by_a_certified_key(host: Host) -> None:
    other = host.authority.sign(host.draft("alice", serial=2))
    signed = form.to_be_signed(host.draft("alice", signature_key=other))

    assert refuses(host, host.authority.sign_bytes(signed))


@pytest.mark.attack(2)
def test_signed_with_the_key_of_a_certificate(host: Host) -> None:
    attacker = Authority()
    fields: dict[str, Any] = {
        "public_key": attacker.public_key,
        "key_type": "ssh-ed25519-cert-v01@openssh.com",
    }
    leaf = host.authority.sign(host.draft("alice", **fields))

    for signature_key in (leaf, attacker.public_key):
        signed = form.to_be_signed(host.draft("alice", signature_key=signature_key))
        assert refuses(host, attacker.sign_bytes(signed))


@pytest.mark.attack(4)
@pytest.mark.parametrize("offset", [5, 40, 200, -90, -1])
def test_one_bit_flipped(host: Host, offset: int) -> None:
    blob = bytearray(host.authority.sign(host.draft("alice")))
    blob[offset] ^= 1

    assert refuses(host, bytes(blob))


@pytest.mark.attack(5)
def test_an_unknown_authority(host: Host) -> None:
    other = Authority()

    assert refuses(host, other.sign(host.draft("alice", signature_key=other.public_key)))


@pytest.mark.attack(5)
def test_an_authority_that_sshd_trusts_and_the_bundle_does_not(host: Host) -> None:
    """As with one that was distrusted a moment ago."""
    other = Authority()
    path = host.machine.path("/etc/amrgate/user_ca.pub")
    before = path.read_text()
    path.write_text(f"{before}{other.line}\n")
    try:
        assert refuses(host, other.sign(host.draft("alice", signature_key=other.public_key)))
    finally:
        path.write_text(before)
    assert "code=authority_unknown" in host.machine.path("/var/log/syslog").read_text()


REFUSED: dict[str, tuple[int, dict[str, Any]]] = {
    "a host's": (6, {"kind": form.HOST}),
    "of type 0": (6, {"kind": 0}),
    "of type 3": (6, {"kind": 3}),
    "no principal": (8, {"principals": ()}),
    "a comma in a principal": (10, {"principals": (f"{ALICE},{IDS['bob']}",)}),
    "a login as principal": (12, {"principals": (SERVICE,)}),
    "a second principal": (14, {"principals": (ALICE, IDS["bob"])}),
    "a principal twice": (14, {"principals": (ALICE, ALICE)}),
    "257 principals": (14, {"principals": (ALICE,) * 257}),
    "amr as a critical option": (19, {"critical_options": (("amr@amrgate", string(b"mfa")),)}),
    "serial 0": (27, {"serial": 0}),
    "another's id": (10, {"key_id": IDS["bob"]}),
}


@pytest.mark.attack(6, 8, 10, 12, 14, 19, 27)
@pytest.mark.parametrize("name", REFUSED)
def test_fields_that_we_never_issue(host: Host, name: str) -> None:
    _number, changes = REFUSED[name]

    assert refuses(host, host.authority.sign(host.draft("alice", **changes)))


@pytest.mark.attack(14)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda pairs: (*pairs, pairs[-1]), id="twice"),
        pytest.param(lambda pairs: pairs[::-1], id="not sorted"),
        pytest.param(lambda pairs: (*pairs, ("zzz@example", b"")), id="unknown"),
    ],
)
def test_extensions_that_we_never_write(host: Host, change: Any) -> None:
    pairs = extensions("alice", "mfa,otp,pwd", int(time.time()))

    assert refuses(host, host.authority.sign(host.draft("alice", extensions=change(pairs))))


@pytest.mark.attack(24)
def test_the_validity_is_half_open(host: Host) -> None:
    """One second more or less than now; the exact bounds are the hook's own test."""
    now = int(time.time())
    spans = ((now - 60, now), (now + 30, now + 60), (now, now + 60))
    blobs = [
        host.authority.sign(host.draft("alice", valid_after=start, valid_before=end))
        for start, end in spans
    ]

    past, future, present = answers(host, *blobs)

    assert past in ("no", "closed")
    assert future in ("no", "closed")
    assert present == "in"


@pytest.mark.attack(29)
@pytest.mark.parametrize("size", [form.MAX_BLOB + 1, 97_000, 98_304, 200_000])
def test_certificates_that_are_too_large(host: Host, size: int) -> None:
    plain = host.authority.sign(host.draft("alice"))
    pairs = extensions("alice", "mfa,otp,pwd", int(time.time()))
    filler = ("zzz@example", bytes(max(0, size - len(plain) - len("zzz@example") - 8)))
    blob = host.authority.sign(host.draft("alice", extensions=(*pairs, filler)))
    assert len(blob) == size

    assert refuses(host, blob)


@pytest.mark.attack(7)
def test_a_plain_key(host: Host) -> None:
    assert refuses(host, host.keys["alice"])
