"""Who signs the CA's HTTPS certificate, for machines that join and know only its fingerprint.

The service itself speaks plain HTTP to a proxy, so an operator says it, once: the file is kept in
the data folder, handed out to anybody who asks, and its SHA-256 stands in the line that a machine
joins with (`sshd_hook.pin`).
"""

from __future__ import annotations

import hashlib
import ssl
from typing import TYPE_CHECKING

from ca.errors import InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path

NAME = "https-ca.pem"
MAX_SIZE = 1024 * 1024  # bytes: a file of all public authorities has a fifth of that


def read(data: Path) -> bytes | None:
    """The certificates (PEM) that were given for the data folder `data`, or None."""
    try:
        return (data / NAME).read_bytes()
    except FileNotFoundError:
        return None


def keep(data: Path, certificates: bytes) -> None:
    """Hand out these certificates (PEM) from now on. Hosts that have joined keep what they have.

    Raises:
        InvalidRequest: they are none.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificates.decode())
    except (ssl.SSLError, ValueError) as error:
        raise InvalidRequest(
            "The file of --ca-file must hold certificates in PEM, as whoever signed the CA's HTTPS"
            " certificate gives them away."
        ) from error
    if len(certificates) > MAX_SIZE:
        raise InvalidRequest(f"The file of --ca-file is longer than {MAX_SIZE} bytes.")
    new = data / f"{NAME}.new"
    new.write_bytes(certificates)
    new.replace(data / NAME)


def fingerprint(certificates: bytes) -> str:
    """What a machine knows them by: `sha256:` and what `sha256sum` prints of the file."""
    return f"sha256:{hashlib.sha256(certificates).hexdigest()}"
