"""Signatures of certificates: each in one form, by a key of one kind."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from ca.errors import NotAuthenticated
from ca.issuance.verify import verify_certificate, verify_signature
from sshd_hook.certificate import KEY_TYPES, option, to_be_signed
from sshd_hook.wire import Reader, WireError, mpint, string
from tests.certificates import authority, plain, subject_key, user_certificate
from tests.verifying import CA_TYPES, ORDER, certify, refuse

DATA = b"data"


@pytest.mark.attack(32)
@pytest.mark.parametrize(
    ("name", "algorithm"), [("ssh-rsa", hashes.SHA1()), ("rsa-sha2-256", hashes.SHA256())]
)
def test_rsa_signs_with_sha_2(name: str, algorithm: hashes.HashAlgorithm) -> None:
    ca = authority("ssh-rsa")
    assert isinstance(ca.private, rsa.RSAPrivateKey)
    value = ca.private.sign(DATA, padding.PKCS1v15(), algorithm)
    signature = option(name) + string(value)
    if name == "rsa-sha2-256":
        verify_signature(ca.public_key, DATA, signature)
    else:
        with pytest.raises(WireError, match="SHA-2"):
            verify_signature(ca.public_key, DATA, signature)
        with pytest.raises(WireError, match="wrong"):
            verify_signature(ca.public_key, DATA, option("rsa-sha2-512") + string(value))


@pytest.mark.attack(32)
def test_a_certificate_with_a_sha_1_signature_is_refused() -> None:
    ca = authority("ssh-rsa")
    assert isinstance(ca.private, rsa.RSAPrivateKey)
    signed = to_be_signed(user_certificate(signature_key=ca.public_key))
    value = ca.private.sign(signed, padding.PKCS1v15(), hashes.SHA1())
    refuse(signed + string(option("ssh-rsa") + string(value)), "SHA-2", ca)


@pytest.mark.attack(32)
@pytest.mark.parametrize("name", [*KEY_TYPES, "", "rsa-sha2-256", "ssh-ed25519\0", "SSH-ED25519"])
@pytest.mark.parametrize("ca_type", CA_TYPES)
def test_the_algorithm_is_the_keys_own(ca_type: str, name: str) -> None:
    ca = authority(ca_type)
    if name == ca_type != "ssh-rsa" or (ca_type, name) == ("ssh-rsa", "rsa-sha2-512"):
        return
    algorithm = Reader(ca.sign(DATA))
    algorithm.string()
    with pytest.raises(WireError):
        verify_signature(ca.public_key, DATA, option(name) + algorithm.rest())


@pytest.mark.attack(34)
@pytest.mark.parametrize("claimed", ["ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384"])
def test_another_curves_signature_is_refused(claimed: str) -> None:
    p256, p384 = authority("ecdsa-sha2-nistp256"), authority("ecdsa-sha2-nistp384")
    signed = to_be_signed(user_certificate(signature_key=p256.public_key))
    other = Reader(p384.sign(signed))
    other.string()
    refuse(signed + string(option(claimed) + other.rest()), "wrong|not of the CA", p256)


@pytest.mark.attack(33)
def test_a_second_form_of_an_ed25519_signature_is_refused() -> None:
    """s + L fits the equation as well as s: the certificate would have a second encoding."""
    ca = authority()
    value = ca.sign(DATA)[-64:]
    s = int.from_bytes(value[32:], "little")
    for multiple in (1, 2, 7, 15):
        other = value[:32] + (s + multiple * ORDER).to_bytes(32, "little")
        with pytest.raises(WireError, match="canonical"):
            verify_signature(ca.public_key, DATA, option("ssh-ed25519") + string(other))
    for s_bytes in (ORDER.to_bytes(32, "little"), b"\xff" * 32):
        with pytest.raises(WireError, match="canonical"):
            verify_signature(
                ca.public_key, DATA, option("ssh-ed25519") + string(value[:32] + s_bytes)
            )


@pytest.mark.attack(33)
@pytest.mark.parametrize(
    "point",
    [
        bytes(32),
        b"\1" + bytes(31),
        b"\1" + bytes(30) + b"\x80",
        b"\xec" + b"\xff" * 30 + b"\x7f",
        b"\xed" + b"\xff" * 30 + b"\x7f",
        b"\xee" + b"\xff" * 30 + b"\x7f",
        b"\xff" * 32,
        bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        (2).to_bytes(32, "little"),
    ],
    ids=bytes.hex,
)
def test_a_weak_ed25519_key_is_neither_ca_nor_subject(point: bytes) -> None:
    key = option("ssh-ed25519") + string(point)
    forged = option("ssh-ed25519") + string(point + bytes(32))
    with pytest.raises(WireError, match="Ed25519 point"):
        verify_signature(key, DATA, forged)
    blob = to_be_signed(user_certificate(signature_key=key)) + string(forged)
    with pytest.raises(NotAuthenticated, match="Ed25519 point"):
        verify_certificate(blob, {key: "active"})
    refuse(certify(authority(), public_key=key), "Ed25519 point")


# "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko 2020), table 6: message, key, signature.
# Numbers 2 and 3 are not here: there the key's own holder put a point of low order into R.
SPECCHECK = [
    pytest.param(
        "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "0000000000000000000000000000000000000000000000000000000000000000",
        id="a key of low order, and s = 0",
    ),
    pytest.param(
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        id="a key of low order",
    ),
    pytest.param(
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed512",
        "5ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
        id="right only times eight",
    ),
    pytest.param(
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7",
        "e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405",
        id="right only times eight, hashed reduced",
    ),
    pytest.param(
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e",
        "547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514",
        id="s above the order",
    ),
    pytest.param(
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa1942",
        "7e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22",
        id="s far above the order",
    ),
    pytest.param(
        "fdaebc429f4a735932a160da1301080c13280eea8bc280d1b392c6b9e6ba3a5a",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "454d370c8d9fc323a41450f8d513eafeb5b0697390c1e505a0d4ddc71f566607",
        id="R not canonical",
    ),
    pytest.param(
        "84b698d39be126ff55fe45079e6c8bf64a0d7db6994560b4e96b7021eb39c1a1",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "084d5b99c2a9463d9c8bd5026916996984eeec87ddf1d3be329006ace1b37b09",
        id="R not canonical, hashed reduced",
    ),
]


@pytest.mark.attack(33)
@pytest.mark.parametrize(("message", "key", "r", "s"), SPECCHECK)
def test_hostile_ed25519_signatures_are_refused(message: str, key: str, r: str, s: str) -> None:
    with pytest.raises(WireError):
        verify_signature(
            option("ssh-ed25519") + string(bytes.fromhex(key)),
            bytes.fromhex(message),
            option("ssh-ed25519") + string(bytes.fromhex(r + s)),
        )


# RFC 8032, section 7.1, TEST 2.
def test_a_known_ed25519_signature_is_good() -> None:
    verify_signature(
        option("ssh-ed25519")
        + string(bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")),
        bytes.fromhex("72"),
        option("ssh-ed25519")
        + string(
            bytes.fromhex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da")
            + bytes.fromhex("085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")
        ),
    )


@pytest.mark.attack(34)
@pytest.mark.parametrize("curve", ["nistp256", "nistp384", "nistp521"])
@pytest.mark.parametrize(
    "numbers", ["0 0", "0 s", "r 0", "n s", "r n", "r s+n", "s r", "-", "r s 0"]
)
def test_hostile_ecdsa_numbers_are_refused(curve: str, numbers: str) -> None:
    ca = authority(f"ecdsa-sha2-{curve}")
    assert isinstance(ca.private, ec.EllipticCurvePrivateKey)
    order = {
        "nistp256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
        "nistp384": 2**384 - 0x389CB27E0BC8D220A7E5F24DB74F58851313E695333AD68D,
        "nistp521": 2**521 - 0x5AE79787C40D069948033FEB708F65A2FC44A36477663B851449048E16EC79BF7,
    }[curve]
    reader = Reader(ca.sign(DATA))
    reader.string()
    pair = Reader(reader.string())
    r, s = pair.mpint(), pair.mpint()
    values = {"0": 0, "r": r, "s": s, "n": order, "s+n": s + order}
    written = b"".join(mpint(values[word]) for word in numbers.split() if word != "-")
    with pytest.raises(WireError):
        verify_signature(ca.public_key, DATA, option(f"ecdsa-sha2-{curve}") + string(written))


@pytest.mark.attack(34)
def test_an_ecdsa_key_off_its_curve_is_neither_ca_nor_subject() -> None:
    key = subject_key("ecdsa-sha2-nistp256")
    bad = key[:-1] + bytes([key[-1] ^ 1])
    with pytest.raises(WireError, match="not on its curve"):
        verify_signature(bad, DATA, authority("ecdsa-sha2-nistp256").sign(DATA))
    refuse(certify(authority(), "ecdsa-sha2-nistp256", public_key=bad), "not on its curve")


@pytest.mark.parametrize("ca_type", CA_TYPES)
def test_a_signature_has_one_length(ca_type: str) -> None:
    ca = authority(ca_type)
    reader = Reader(ca.sign(DATA))
    name, value = reader.string(), reader.string()
    for other in (value[:-1], value + b"\0", b"\0" + value, b""):
        with pytest.raises(WireError):
            verify_signature(ca.public_key, DATA, string(name) + string(other))
    with pytest.raises(WireError, match="after the end"):
        verify_signature(ca.public_key, DATA, string(name) + string(value) + b"\0")
    verify_signature(ca.public_key, DATA, string(name) + string(value))


@pytest.mark.attack(33)
@pytest.mark.parametrize("ca_type", CA_TYPES)
def test_no_byte_moves_between_signature_and_data(ca_type: str) -> None:
    ca = authority(ca_type)
    reader = Reader(ca.sign(DATA))
    name, value = reader.string(), reader.string()
    with pytest.raises(WireError):
        verify_signature(ca.public_key, value[-1:] + DATA, string(name) + string(value[:-1]))
    with pytest.raises(WireError):
        verify_signature(ca.public_key, DATA[1:], string(name) + string(value + DATA[:1]))


@pytest.mark.parametrize("key_type", [name for name in KEY_TYPES if name.startswith("sk-")])
def test_a_security_key_is_no_ca(key_type: str) -> None:
    with pytest.raises(WireError, match="cannot be a CA"):
        verify_signature(subject_key(key_type), DATA, option(key_type) + string(bytes(64)))


def test_a_weak_rsa_key_is_neither_ca_nor_subject() -> None:
    weak = rsa.generate_private_key(3, 3072)
    value = weak.sign(DATA, padding.PKCS1v15(), hashes.SHA512())
    with pytest.raises(WireError, match="exponent"):
        verify_signature(plain(weak), DATA, option("rsa-sha2-512") + string(value))
    refuse(certify(authority(), "ssh-rsa", public_key=plain(weak)), "exponent")


def test_nothing_is_hashed_before_it_is_signed() -> None:
    """The signature is over the data, not over a digest of it."""
    ca = authority()
    with pytest.raises(WireError, match="wrong"):
        verify_signature(ca.public_key, DATA, ca.sign(hashlib.sha512(DATA).digest()))


def test_paired_numbers_are_the_signatures() -> None:
    """The helper's ECDSA signatures are what `cryptography` makes: nothing here is circular."""
    ca = authority("ecdsa-sha2-nistp256")
    assert isinstance(ca.private, ec.EllipticCurvePrivateKey)
    r, s = decode_dss_signature(ca.private.sign(DATA, ec.ECDSA(hashes.SHA256())))
    verify_signature(
        ca.public_key, DATA, option("ecdsa-sha2-nistp256") + string(mpint(r) + mpint(s))
    )
