"""Who signs the CA's HTTPS certificate, known by a fingerprint.

The line that an operator pastes has room for a fingerprint, not for a certificate. So the CA hands
out the certificate to anybody who asks, on a connection that nothing is believed of; what arrives
counts if its SHA-256 is the one in the line, and only then anything secret is sent.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import ssl
from urllib.parse import urlsplit

from sshd_hook.agent import poll

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/hosts/https-ca"
FINGERPRINT = re.compile("sha256:[0-9a-f]{64}")
MAX_CERTIFICATES = 1024 * 1024  # bytes: a file of all public authorities has a fifth of that


def fetch(url: str, fingerprint: str) -> bytes:
    """The certificates (PEM) that the CA's own must be signed by, if they are those meant.

    Raises:
        poll.CAError: the CA cannot be reached, or answers with others.
    """
    if not FINGERPRINT.fullmatch(fingerprint):
        raise poll.CAError("--ca-pin is not sha256: and 64 characters of lower-case hex")
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise poll.CAError(f"--ca-pin is for a CA that is reached by https, not for {url}")
    unknown = ssl.create_default_context()
    unknown.check_hostname = False
    unknown.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(
        parts.hostname, parts.port, timeout=poll.TIMEOUT, context=unknown
    )
    try:
        connection.request("GET", parts.path.rstrip("/") + PATH)
        response = connection.getresponse()
        data = response.read(MAX_CERTIFICATES)
    except (OSError, http.client.HTTPException) as error:
        raise poll.CAError(f"{parts.hostname}: {error or type(error).__name__}") from error
    finally:
        connection.close()
    if f"sha256:{hashlib.sha256(data).hexdigest()}" != fingerprint:
        raise poll.CAError(
            f"{parts.hostname} does not show the certificates that --ca-pin stands for: somebody"
            " answers in its place, or they were changed since; make a new token"
        )
    return data


@contextlib.contextmanager
def as_file(data: bytes) -> Iterator[str]:
    """A path at which `data` can be read meanwhile, on no disk."""
    fd = os.memfd_create("https-ca")
    try:
        os.write(fd, data)
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)
