"""The CA's verifying path: one of our active keys signed exactly these bytes."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from ca.errors import NotAuthenticated
from ca.issuance.verify import verify_certificate
from sshd_hook.certificate import KEY_TYPES, certificate_type, to_be_signed
from sshd_hook.wire import string
from tests.certificates import (
    Authority,
    authority,
    list_certificates,
    private_key,
    subject_key,
    user_certificate,
)
from tests.verifying import CA_TYPES, certify, refuse, verify

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("ca_type", CA_TYPES)
@pytest.mark.parametrize("subject", KEY_TYPES)
def test_what_our_ca_signed_is_good(subject: str, ca_type: str) -> None:
    ca = authority(ca_type)
    blob = certify(ca, subject)
    assert verify(blob, ca=ca).public_key == subject_key(subject)
    assert list_certificates([blob])


@pytest.mark.attack(4)
def test_a_bit_flipped_anywhere_is_found() -> None:
    blob = certify(authority())
    for place in range(len(blob) * 8):
        changed = bytearray(blob)
        changed[place // 8] ^= 1 << place % 8
        refuse(bytes(changed), "not good")


@pytest.mark.attack(4)
def test_a_million_random_flips_are_found() -> None:
    """Twenty in each of 50,000, in the part that is signed; of the rest, see above."""
    source = random.Random(4)
    blob = certify(authority())
    signed = len(to_be_signed(user_certificate()))
    flips = 0
    while flips < 1_000_000:
        changed = bytearray(blob)
        for place in source.sample(range(signed * 8), 20):
            changed[place // 8] ^= 1 << place % 8
            flips += 1
        refuse(bytes(changed), "not good")


@pytest.mark.attack(5)
@pytest.mark.parametrize("state", ["staged", "retired", "revoked", "unknown", "", "ACTIVE"])
def test_only_an_active_key_counts_and_the_reason_names_its_state(state: str) -> None:
    with pytest.raises(NotAuthenticated, match=f"by a CA key that is {state}"):
        verify(certify(authority()), state)


@pytest.mark.attack(5)
def test_an_unknown_ca_is_refused() -> None:
    stranger = Authority(ed25519.Ed25519PrivateKey.generate())
    refuse(certify(stranger), "a CA key that is unknown")
    with pytest.raises(NotAuthenticated, match="unknown"):
        verify_certificate(certify(authority()), {})


@pytest.mark.attack(5)
def test_another_ca_that_names_ours_is_refused() -> None:
    stranger = Authority(ed25519.Ed25519PrivateKey.generate())
    refuse(stranger.certify(user_certificate()), "the signature is wrong")


@pytest.mark.attack(1, 2)
def test_a_certified_key_is_no_ca() -> None:
    """A leaf signs; its certificate stands where the CA's key belongs. Trusting it changes nothing."""
    leaf = Authority(private_key("ssh-ed25519"))
    leaf_certificate = certify(authority(), "ssh-ed25519")
    nested_ca = authority().certify(user_certificate(public_key=authority().public_key))
    for key in (leaf_certificate, nested_ca):
        blob = leaf.certify(user_certificate(signature_key=key))
        refuse(blob, "not a public key")
        with pytest.raises(NotAuthenticated, match="not a public key"):
            verify_certificate(blob, {key: "active"})
        assert not list_certificates([blob]), "nor does OpenSSH take it"
    refuse(leaf.certify(user_certificate(signature_key=leaf.public_key)), "unknown")


@pytest.mark.attack(3)
@pytest.mark.parametrize(
    "trusted",
    [
        pytest.param(lambda key: key + b" comment", id="a comment"),
        pytest.param(
            lambda key: string(certificate_type("ssh-ed25519").encode()) + key[15:],
            id="as a certificate",
        ),
        pytest.param(lambda key: string(b"ssh-ed448") + key[15:], id="by another name"),
        pytest.param(lambda key: key[15:], id="without a name"),
        pytest.param(lambda key: key[:-1], id="cut short"),
    ],
)
def test_the_ca_is_compared_as_a_whole(trusted: Callable[[bytes], bytes]) -> None:
    with pytest.raises(NotAuthenticated, match="unknown"):
        verify_certificate(certify(authority()), {trusted(authority().public_key): "active"})


@pytest.mark.attack(7)
@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_a_plain_key_is_no_certificate(key_type: str) -> None:
    refuse(subject_key(key_type), "not a certificate")
