"""/services/{service}/access: what a host would answer to the caller, and why."""

import time
from typing import Any

from fastapi import APIRouter

from ca.api.gate import AuthenticatedForSSH
from ca.api.shapes import links
from ca.directory import explain
from ca.directory.explain import Answer
from ca.errors import NotFound
from ca.services import Given
from ca.store.engine import reading
from sshd_hook.policy import NO_ACCESS, in_order

router = APIRouter(tags=["Services"])


@router.get("/services/{service}/access")
def explain_access(service: str, caller: AuthenticatedForSSH, services: Given) -> dict[str, Any]:
    """What a host would answer to a certificate of this session, if it came from this address.

    Like a host, it does not tell a service that there is not from one that is not the caller's.
    """
    now = int(time.time())
    with reading(services.engine) as connection:
        there = explain.find_for(connection, service, caller.user)
        terms = explain.terms(connection, there) if there else explain.NOTHING
        access = explain.access(connection, there, caller.user) if there else None
    answer = explain.answer(terms, access, caller.claims, caller.address, now)
    if there is None or answer.decision.outcome == NO_ACCESS:
        raise NotFound("The service doesn't exist or you do not have access to it.")
    return {
        "service": service,
        "host": there.host,
        "outcome": answer.code,
        **_asked(answer, terms),
        "text": explain.text(answer, service, caller.user),
        "_links": links(
            {
                "self": f"/services/{service}/access",
                "pf:ssh": f"ssh://{service}@{there.host}",
            }
        ),
    }


def _asked(answer: Answer, terms: explain.Terms) -> dict[str, Any]:
    """What the caller lacks, and the whole of what is asked for, where they lack something."""
    if not answer.missing:
        return {"missing": [], "amr": [], "max_age": None}
    amr = answer.decision.amr or in_order(terms.asked.amr)
    return {"missing": list(answer.missing), "amr": list(amr), "max_age": terms.asked.max_age}
