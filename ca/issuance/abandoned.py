"""Certificates that were recorded, but of which nobody wrote down whether they were signed.

Their node was killed in between. They count as issued, and can be revoked.
"""

from sqlalchemy import Connection

from ca import audit
from ca.store import certificates

AFTER = 60  # seconds: a live node records an outcome within one


def close_abandoned(connection: Connection, now: int) -> list[int]:
    """Record "unknown" for what was left open; return the serials."""
    serials = certificates.close_open(connection, now - AFTER)
    if serials:
        detail = {certificates.UNKNOWN: [str(serial) for serial in serials]}
        audit.append(connection, "certificate:outcome", "ca", "", detail)
    return serials
