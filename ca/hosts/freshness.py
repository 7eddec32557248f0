"""The word that a host is up to date, which it needs anew all the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ca.keys.sshsig import sign_file
from sshd_hook import freshness

if TYPE_CHECKING:
    from ca.hosts.policy import Policy
    from ca.keys import Signer

KRL_VERSION = 1  # nothing is revoked yet, and that is one state


def state(signer: Signer, policy: Policy, now: int) -> tuple[str, str]:
    """The statement that `policy` is what its host should obey, and its signature."""
    statement = freshness.render(
        freshness.Freshness(
            host_id=policy.host_id,
            version=policy.version,
            digest=policy.digest,
            krl_version=KRL_VERSION,
            issued_at=now,
            not_after=now + freshness.MAX_OFFLINE,
        )
    )
    return statement.decode(), sign_file(signer, freshness.NAMESPACE, statement)
