"""Whether a public key is fit to be certified, or to be trusted as a CA's.

What its form and size are, `sshd_hook.certificate.check_public_key` has said; this is about the
numbers in it. Known ways in which keys came out weak are refused, not only those that are in use.
"""

import math
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ec
from nacl.bindings import crypto_core_ed25519_add
from nacl.exceptions import CryptoError

from sshd_hook.certificate import check_public_key
from sshd_hook.wire import Reader, WireError

CURVES: dict[str, ec.EllipticCurve] = {
    "nistp256": ec.SECP256R1(),
    "nistp384": ec.SECP384R1(),
    "nistp521": ec.SECP521R1(),
}

MIN_EXPONENT = 65537  # NIST SP 800-56B; 1 encrypts nothing, 3 has been attacked again and again
MAX_EXPONENT_BITS = 64  # OpenSSL verifies with no longer one once the modulus has 3072 bits
FERMAT_ROUNDS = 100

_SMALL_PRIMES = [n for n in range(2, 752) if all(n % d for d in range(2, math.isqrt(n) + 1))]
_PRIMORIAL = math.prod(_SMALL_PRIMES)

# Infineon's primes are powers of 65537 modulo a product of small primes, and so is what they
# multiply to (CVE-2017-15361, "ROCA"). From 3 to 167: one other key in 2^27 looks like that.
_ROCA = {p: {pow(65537, n, p) for n in range(p)} for p in _SMALL_PRIMES[1:39]}

_P = 2**255 - 19  # RFC 8032, section 5.1
# The heights of the eight points whose multiples are at most eight: with such a key, signatures
# can be made that fit any message.
_Y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_LOW_ORDER = {0, 1, _P - 1, _Y8, _P - _Y8}


@lru_cache(maxsize=1024)  # a key is looked at when it is sent, and again in what will be signed
def check_strength(blob: bytes) -> str:
    """Check the form of a plain public key and the numbers in it; return its type.

    Raises:
        WireError: the key is not of a supported type, or weak. The message says why and holds
            nothing of the key.
    """
    key_type = check_public_key(blob)
    reader = Reader(blob)
    reader.string()
    if key_type == "ssh-rsa":
        check_rsa(reader.mpint(), reader.mpint())
    elif "ed25519" in key_type:
        check_edwards_point(reader.string())
    else:
        check_curve_point(reader.text(), reader.string())
    # Keys for web sites have their origin here: a page could use the security key for SSH.
    if key_type.startswith("sk-") and not reader.text().startswith("ssh:"):
        raise WireError("the security key's application does not begin with ssh:")
    return key_type


def check_rsa(exponent: int, modulus: int) -> None:
    """Check the numbers of an RSA key against what is known to factor or to forge."""
    if exponent % 2 == 0 or exponent < MIN_EXPONENT:
        raise WireError(f"the RSA exponent is even or less than {MIN_EXPONENT}")
    if exponent.bit_length() > MAX_EXPONENT_BITS:
        raise WireError(f"the RSA exponent is longer than {MAX_EXPONENT_BITS} bits")
    if math.gcd(modulus, _PRIMORIAL) != 1:
        raise WireError("the RSA modulus has a small factor")
    if all(modulus % p in powers for p, powers in _ROCA.items()):
        raise WireError("the RSA key was made by a chip whose keys can be factored (ROCA)")
    if _has_close_factors(modulus):
        raise WireError("the RSA modulus has two factors that are too close to each other")


def check_edwards_point(data: bytes) -> None:
    """Check an Ed25519 point: in its one encoding, on the curve, and not of low order."""
    y = int.from_bytes(data, "little") & (2**255 - 1)
    if y >= _P:
        raise WireError("the Ed25519 point is not in its canonical form")
    if y in _LOW_ORDER:
        raise WireError("the Ed25519 point is of low order")
    try:
        crypto_core_ed25519_add(data, data)  # libsodium adds nothing that is not on the curve
    except CryptoError as error:
        raise WireError("the Ed25519 point is not on the curve") from error


def check_curve_point(curve: str, data: bytes) -> None:
    """Check that an ECDSA point is on its curve."""
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(CURVES[curve], data)
    except ValueError as error:
        raise WireError("the ECDSA point is not on its curve") from error


def _has_close_factors(modulus: int) -> bool:
    """Fermat's method: a² - n is a square for an `a` soon after the root of n."""
    root = math.isqrt(modulus - 1) + 1
    rounds = range(root, root + FERMAT_ROUNDS)
    return any(math.isqrt(rest) ** 2 == rest for rest in (a * a - modulus for a in rounds))
