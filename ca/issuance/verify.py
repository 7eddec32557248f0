"""Verify a certificate, as sshd does before it runs the hook, and more strictly.

Here alone the CA asks whether a signature is good: of what it just signed, and of what it is shown.
"""

from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from nacl.bindings import crypto_sign_BYTES, crypto_sign_open
from nacl.exceptions import BadSignatureError

from ca.errors import NotAuthenticated
from ca.issuance.strength import CURVES, check_strength
from sshd_hook.certificate import Certificate, parse
from sshd_hook.wire import Reader, WireError

ACTIVE = "active"  # the state of a CA key whose certificates are good

_ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493  # L in RFC 8032
_EC_HASHES: dict[str, hashes.HashAlgorithm] = {  # RFC 5656, section 6.2.1
    "nistp256": hashes.SHA256(),
    "nistp384": hashes.SHA384(),
    "nistp521": hashes.SHA512(),
}
_RSA_HASHES: dict[str, hashes.HashAlgorithm] = {  # RFC 8332; "ssh-rsa" would be SHA-1
    "rsa-sha2-256": hashes.SHA256(),
    "rsa-sha2-512": hashes.SHA512(),
}


def verify_certificate(blob: bytes, authorities: Mapping[bytes, str]) -> Certificate:
    """Return the certificate in `blob` if one of our active CA keys signed it.

    `authorities` are plain public keys and the state that each is in. Neither the time nor what
    the certificate grants is looked at.

    Raises:
        NotAuthenticated: it is no certificate, not ours, changed, or for a weak key. The message
            says which.
    """
    try:
        certificate, signed, signature = parse(blob)
        _check_authority(authorities.get(certificate.signature_key, "unknown"))
        check_strength(certificate.public_key)
        verify_signature(certificate.signature_key, signed, signature)
    except WireError as error:
        raise NotAuthenticated(f"The certificate is not good: {error}.") from error
    return certificate


def verify_signature(public_key: bytes, data: bytes, signature: bytes) -> None:
    """Verify an SSH signature (algorithm, then signature) of `data` by a plain public key.

    Raises:
        WireError: the key is weak or not one that a CA can have, or the signature is not by it,
            over something else, by another algorithm than the key's, or not in the one form.
    """
    key_type = check_strength(public_key)
    key = Reader(public_key)
    key.string()
    reader = Reader(signature)
    algorithm, value = reader.text(), reader.string()
    reader.end()
    try:
        if key_type == "ssh-rsa":
            _verify_rsa(key, algorithm, value, data)
        elif algorithm != key_type:
            raise WireError("the signature is not of the CA key's type")
        elif key_type == "ssh-ed25519":
            _verify_ed25519(key.string(), value, data)
        elif key_type.startswith("ecdsa-"):
            _verify_ecdsa(key, value, data)
        else:
            raise WireError("a security key cannot be a CA's")
    except InvalidSignature as error:
        raise WireError("the signature is wrong") from error


def _check_authority(state: str) -> None:
    if state != ACTIVE:
        raise WireError(f"it is signed by a CA key that is {state}")


def _verify_ed25519(point: bytes, value: bytes, data: bytes) -> None:
    # A second signature could be made of each by adding the order to s (RFC 8032, section 8.4).
    if len(value) != crypto_sign_BYTES or int.from_bytes(value[32:], "little") >= _ED25519_ORDER:
        raise WireError("the signature is not in its canonical form")
    # libsodium takes half of OpenSSL's time, and looks with other eyes at what OpenSSL has signed.
    try:
        crypto_sign_open(value + data, point)
    except BadSignatureError as error:
        raise WireError("the signature is wrong") from error


def _verify_ecdsa(key: Reader, value: bytes, data: bytes) -> None:
    curve = key.text()
    public = ec.EllipticCurvePublicKey.from_encoded_point(CURVES[curve], key.string())
    numbers = Reader(value)
    r, s = numbers.mpint(), numbers.mpint()
    numbers.end()
    public.verify(encode_dss_signature(r, s), data, ec.ECDSA(_EC_HASHES[curve]))


def _verify_rsa(key: Reader, algorithm: str, value: bytes, data: bytes) -> None:
    if algorithm not in _RSA_HASHES:
        raise WireError("the signature is not by RSA with SHA-2")
    numbers = rsa.RSAPublicNumbers(key.mpint(), key.mpint())
    numbers.public_key().verify(value, data, padding.PKCS1v15(), _RSA_HASHES[algorithm])
