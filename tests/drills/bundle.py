"""Figure F11: an answer to an agent of which one bit differs from what the CA signed."""

from __future__ import annotations

import hashlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sshd_hook import bundle, freshness
from sshd_hook.agent import apply, poll
from sshd_hook.agent import host as agent_host
from sshd_hook.agent.host import Floor
from tests.drills.drill import Drill, Finding
from tests.hosts import HOST_ID, SERVICE, TOKEN, PolicyCA

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.drills.nodes import Stage

STATED = 16  # of so many flips, one is named as right by a signed statement of freshness


def flips(_stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """At every offset if there are so many, else at so many that are far apart."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        ca = PolicyCA(Path(folder), version=1)
        signers = ca.directory / "signers"
        signers.write_bytes(agent_host.signers(ca.keys["bundle"], "amrgate-bundle,amrgate-fresh"))
        patch.setattr(agent_host, "BUNDLE_SIGNERS", str(signers))
        known = agent_host.Host(HOST_ID, TOKEN, "ssh1", "http://127.0.0.1")
        data = ca.bundle()
        signature = ca.sign(bundle.NAMESPACE, data)

        def verify(content: bytes, fresh: bytes, fresh_signature: str) -> None:
            update = poll.Update(
                version=ca.version,
                bundle=content,
                bundle_signature=signature,
                fresh=fresh,
                fresh_signature=fresh_signature,
                krl=ca.krl(),
                services=(SERVICE,),
            )
            apply.verify(update, known, Floor(), apply.Installed(), int(time.time()))

        fresh = ca.statement(data)
        fresh_signature = ca.sign(freshness.NAMESPACE, fresh)
        verify(data, fresh, fresh_signature)  # or all of them would be refused anyway
        taken = 0
        for number in range(count):
            place = number * max(1, len(data) // count)
            bent = bytearray(data)
            bent[place % len(data)] ^= 1 << (place + place // len(data)) % 8
            stated, stated_signature = fresh, fresh_signature
            if number % STATED == 0:
                stated = ca.statement(data, digest=hashlib.sha256(bent).hexdigest())
                stated_signature = ca.sign(freshness.NAMESPACE, stated)
            try:
                verify(bytes(bent), stated, stated_signature)
            except apply.Refused as refused:
                taken += "amrgate-bundle: the signature" not in str(refused)
            else:
                taken += 1
            tell(number + 1)
    return Finding(count, taken, {"bytes": str(len(data))})


DRILLS = (Drill("bundle-flips", "F11", "0 taken, at every offset", 2000, 60, flips, attack=41),)
