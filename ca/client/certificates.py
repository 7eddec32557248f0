"""The certificate: a key of our own, what the authority made of it, checked before it is used."""

import time
from dataclasses import replace as but

from ca.client import files
from ca.client.account import Account, refuse
from ca.client.check import MARGIN
from ca.client.place import Place
from ca.client.session import Session
from ca.errors import CAError, InvalidRequest, Unavailable
from ca.words import moment, roughly
from sshd_hook.certificate import Certificate, check_fields, parse
from sshd_hook.wire import WireError, unb64

MAX_LIFETIME = 3600 + 60  # seconds, with the backdating
MAX_CLOCK_SKEW = 300  # seconds
KEY_TYPE = "ssh-ed25519"


class CertificateRefused(Unavailable):
    """The authority's certificate is not the one that was asked for: it was thrown away."""

    code = "certificate_refused"


def present(place: Place) -> Certificate | None:
    """The certificate we hold, good or not; None if there is none that can be read."""
    data = files.read(place.certificate)
    try:
        return None if data is None else read(data.decode())
    except (WireError, UnicodeDecodeError):
        return None


def read(line: str) -> Certificate:
    """Read a certificate as it stands in a file: type, base64, perhaps a comment.

    Raises:
        WireError: it is none.
    """
    words = line.split()
    if len(words) < 2:  # noqa: PLR2004 type and data
        raise WireError("there is no certificate in it")
    certificate, _, _ = parse(unb64(words[1]))
    if certificate.key_type != words[0]:
        raise WireError("the line and the certificate name different types")
    return certificate


def is_good(certificate: Certificate | None, now: float) -> bool:
    """Whether it opens doors for a while: what `ca.client.check` asks for `ssh`."""
    return certificate is not None and now + MARGIN < certificate.valid_before


def validity(certificate: Certificate, now: int) -> str:
    """In words, such as "valid for 59 minutes, until 2026-11-24 09:40:00 UTC"."""
    until = moment(certificate.valid_before)
    if now >= certificate.valid_before:
        return f"no longer valid, since {until}"
    if now < certificate.valid_after:
        return f"not valid before {moment(certificate.valid_after)}"
    return f"valid for {roughly(certificate.valid_before - now)}, until {until}"


def renew(account: Account) -> Certificate:
    """Get a new certificate for the key we have, or for a new one if there is none."""
    key = files.read(account.place.key)
    return _obtain(account, key if key is not None else new_key())


def renew_if_needed(account: Account) -> Certificate:
    """The certificate we hold, renewed if it has ended; by one process at a time."""
    with files.locked(account.place.ssh / "lock"):
        held = present(account.place)
        if held is not None and is_good(held, time.time()):
            return held
        return renew(account)


def replace(account: Account) -> Certificate:
    """Get a certificate for a new key: a login begins with nothing of the one before."""
    with files.locked(account.place.ssh / "lock"):
        return _obtain(account, new_key())


def remove(place: Place) -> None:
    """Remove key and certificate."""
    for path in (place.certificate, place.key):
        files.remove(path)


def new_key() -> bytes:
    """A private key as OpenSSH keeps it."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )


def public_line(private: bytes) -> str:
    """The public key of a private one, as `ssh-ed25519 AAAA…`.

    Raises:
        InvalidRequest: it is not a key of ours.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        key = serialization.load_ssh_private_key(private, password=None)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidRequest("Your key is damaged: run `amrgate login -f`.") from error
    line = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return line.decode()


def _obtain(account: Account, private: bytes) -> Certificate:
    line = public_line(private)
    # A step-up would log in, and so come back here for the lock that we hold.
    body = but(account, step_up=refuse).call("POST", "/ssh", {"key": line})
    answer = body.get("certificate") if isinstance(body, dict) else None
    text = answer.removesuffix("\n") if isinstance(answer, str) else ""
    certificate = check_answer(text, line, account.session(), int(time.time()))
    files.write(account.place.key, private)
    files.write(account.place.certificate, f"{text}\n".encode())
    return certificate


def check_answer(answer: str, line: str, session: Session, now: int) -> Certificate:
    """Read the authority's answer, if it certifies our key, for us, for as long as it may.

    A certificate says who we are on every host that trusts the authority: one that names
    somebody else, or holds options that we never asked for, is not put where `ssh` finds it.

    Raises:
        CertificateRefused: it is not.
    """
    if not answer.isprintable():
        raise _refused("it is not one line of text")
    try:
        certificate = read(answer)
        check_fields(certificate)
    except WireError as error:
        raise _refused(str(error)) from error
    faults = (
        (certificate.public_key != unb64(line.split()[1]), "it is for another key"),
        (certificate.principals != (session.user_id(),), "it names somebody else"),
        (
            certificate.valid_before - certificate.valid_after > MAX_LIFETIME,
            "it is valid for too long",
        ),
        (
            not certificate.valid_after - MAX_CLOCK_SKEW <= now < certificate.valid_before,
            "it is not valid now, by this machine's clock",
        ),
    )
    for is_wrong, fault in faults:
        if is_wrong:
            raise _refused(fault)
    return certificate


def _refused(fault: str) -> CAError:
    return CertificateRefused(
        f"The authority's certificate was thrown away, because {fault}: tell its operator."
    )
