"""Time-based one-time passwords (RFC 6238) as authenticator applications do them. Pure."""

import hmac
from urllib.parse import urlsplit

import pyotp

STEP = 30  # seconds
DIGITS = 6
TOLERATED = 1  # steps that a device's clock may be off, either way

PENDING = 600  # seconds in which an offered secret may be confirmed


def new_secret() -> str:
    """A random secret of 160 bits (RFC 4226, section 4, R6) in base32."""
    return pyotp.random_base32(32)


def matching_step(secret: str, code: str, now: int) -> int | None:
    """The time step near `now` whose code `code` is, or None.

    Spaces are passed over: applications show "123 456".
    """
    typed = code.replace(" ", "")
    if len(typed) != DIGITS or not (typed.isascii() and typed.isdigit()):
        return None
    generator = pyotp.HOTP(secret, digits=DIGITS)
    present = now // STEP
    found = None
    for step in range(present - TOLERATED, present + TOLERATED + 1):
        if hmac.compare_digest(generator.at(step), typed):  # each is compared: equal time
            found = step
    return found


def provisioning_uri(secret: str, account: str, issuer: str) -> str:
    """What the QR code says: an otpauth URI. `issuer` is our URL."""
    return pyotp.TOTP(secret, digits=DIGITS, interval=STEP).provisioning_uri(
        name=account, issuer_name=urlsplit(issuer).hostname
    )
