"""Host certificates: by them clients know a host that they have never seen."""

from ca.issuance.sign import Host, Issuer
from ca.keys.files import public_line


def issue(issuer: Issuer, host: Host, host_key: bytes, now: int) -> str:
    """The certificate, as a line, of a host for its public key.

    `host_key` comes from `parse_subject_key`. Blocks: not for the event loop.

    Raises:
        Denied, Unavailable: see `Issuer.issue_host`.
    """
    return public_line(issuer.issue_host(host, host_key, now))
