"""The word that a host is up to date, which it needs anew all the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ca.keys.sshsig import sign_file
from sshd_hook import freshness

if TYPE_CHECKING:
    from ca.issuance.revocation import RevocationList
    from ca.keys import Signer
    from ca.store.hosts import Built


def state(
    signer: Signer, host_id: str, built: Built, revoked: RevocationList, now: int
) -> tuple[str, str]:
    """The statement that a host which has this bundle and list is up to date, and its signature."""
    statement = freshness.render(
        freshness.Freshness(
            host_id=host_id,
            version=built.version,
            digest=built.digest,
            krl_version=revoked.version,
            krl_digest=revoked.digest,
            issued_at=now,
            not_after=now + freshness.MAX_OFFLINE,
        )
    )
    return statement.decode(), sign_file(signer, freshness.NAMESPACE, statement)
