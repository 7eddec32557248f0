"""The last look at a certificate before it is signed: at the very bytes that the key will sign.

Whatever drafted them, a wrong line of code or a hostile name, nothing is signed that is not a
certificate as the documents describe it.
"""

from collections.abc import Iterable

from ca.errors import SigningFailed
from ca.issuance.strength import check_strength
from sshd_hook.certificate import (
    HOST,
    NAME,
    Certificate,
    check_fields,
    option,
    parse_to_be_signed,
    unwrap,
)
from sshd_hook.names import is_display_name, is_host_name, is_user_id
from sshd_hook.policy import MAX_CLOCK_SKEW, POSSESSION
from sshd_hook.wire import WireError

BACKDATE = 60  # seconds: a host whose clock is a little slow must not refuse a new certificate
NONCE_SIZE = 32  # bytes
MAX_SIGNED = 6144  # bytes: with any CA's signature below what the hook reads
MAX_HOST_NAMES = 16


def lint_user_certificate(
    signed: bytes, authority: bytes, max_lifetime: int, now: int
) -> Certificate:
    """Check the bytes of a user certificate that is about to be signed, and return its fields.

    `authority` is the plain public key of the CA that will sign, `max_lifetime` in seconds, from
    `now` on.

    Raises:
        SigningFailed: the bytes must not be signed. Only the cause says why: the fault is ours.
    """
    try:
        certificate = _lint(signed, authority, max_lifetime, now)
        claims = check_fields(certificate)
        name = unwrap(dict(certificate.extensions).get(NAME, option("")))
        _demand(
            (is_display_name(name), "the display name is not fit to be shown"),
            (
                claims.auth_time is not None and claims.auth_time <= now + MAX_CLOCK_SKEW,
                "the login has no time, or one to come",
            ),
            (
                "mfa" not in claims.amr or not POSSESSION.isdisjoint(claims.amr),
                "mfa without anything that the person has",
            ),
        )
    except WireError as error:
        raise _failed() from error
    return certificate


def lint_host_certificate(
    signed: bytes, authority: bytes, names: Iterable[str], max_lifetime: int, now: int
) -> Certificate:
    """Check the bytes of a host certificate that is about to be signed, and return its fields.

    `names` are those that the operator gave the host: the certificate has exactly these.

    Raises:
        SigningFailed: the bytes must not be signed. Only the cause says why.
    """
    allowed = tuple(names)
    try:
        certificate = _lint(signed, authority, max_lifetime, now)
        _demand(
            (certificate.kind == HOST, "not a host certificate"),
            (is_user_id(certificate.key_id), "the key id is not a host id"),
            (certificate.principals == allowed, "other names than the host was given"),
            (0 < len(allowed) <= MAX_HOST_NAMES, "no name, or too many"),
            (len(set(allowed)) == len(allowed), "a name twice"),
            (all(is_host_name(name) for name in allowed), "not the name of a host"),
            (not certificate.critical_options, "a critical option"),
            (not certificate.extensions, "an extension"),
        )
    except WireError as error:
        raise _failed() from error
    return certificate


def _lint(signed: bytes, authority: bytes, max_lifetime: int, now: int) -> Certificate:
    """What holds for both kinds."""
    certificate = parse_to_be_signed(signed)
    check_strength(certificate.public_key)
    _demand(
        (len(signed) <= MAX_SIGNED, "too long"),
        (len(certificate.nonce) == NONCE_SIZE, "the nonce is too short or too long"),
        (certificate.serial != 0, "serial number 0, which cannot be revoked"),
        (certificate.signature_key == authority, "it names another CA"),
        (certificate.public_key != authority, "the CA certifies itself"),
        (certificate.valid_after >= now - BACKDATE, "it is backdated too far"),
        (certificate.valid_after <= now < certificate.valid_before, "it is not valid now"),
        (certificate.valid_before <= now + max_lifetime, "it lives too long"),
    )
    return certificate


def _demand(*rules: tuple[bool, str]) -> None:
    for holds, fault in rules:
        if not holds:
            raise WireError(fault)


def _failed() -> SigningFailed:
    return SigningFailed(
        "The certificate failed our own check and was not signed. Tell whoever runs this service."
    )
