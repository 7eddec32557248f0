"""/organizations: an organization, and whether it requires multi-factor logins."""

import time
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from ca.api import gate, shapes
from ca.api.gate import Authenticated
from ca.directory import enforcement
from ca.services import Given
from ca.store import directory
from ca.store.engine import reading, writing
from sshd_hook.policy import ADMIN, VIEWER

router = APIRouter(tags=["Organizations"])
ENFORCEMENT = "/organizations/{organization_id}/mfa-enforcement"


class EnforcementTerms(BaseModel):
    """What may be said when multi-factor logins are required; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    max_age: int | None = None
    """How many seconds ago a login may have been, whole minutes; null for any."""

    device: bool = False
    """Whether a login by device code will do."""


@router.get("/organizations/{organization_id}")
def get_organization(
    organization_id: str, caller: Authenticated, services: Given
) -> dict[str, Any]:
    """An organization of the caller's, by its id or name."""
    with reading(services.engine) as connection:
        view = gate.organization(connection, caller, organization_id, VIEWER)
        owner = directory.find_owner(connection, view.organization.id)
    return shapes.organization(view.organization, owner)


@router.get(ENFORCEMENT)
def get_enforcement(organization_id: str, caller: Authenticated, services: Given) -> dict[str, Any]:
    """Whether multi-factor logins are required, and on which terms."""
    with reading(services.engine) as connection:
        asked = gate.organization(connection, caller, organization_id, VIEWER).stored
    return {
        "enforce_mfa": "mfa" in asked.amr,
        "max_age": asked.max_age,
        "device": asked.device,
    }


@router.post(f"{ENFORCEMENT}/enable", status_code=204)
def enable_enforcement(
    organization_id: str,
    caller: Authenticated,
    services: Given,
    terms: EnforcementTerms | None = None,
) -> None:
    """Require multi-factor logins, or change the terms. The caller's own must be one."""
    said = terms.model_dump(exclude_unset=True) if terms else {}
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.organization(connection, caller, organization_id, ADMIN)
        after = enforcement.enabled(view.stored, **said)
        enforcement.change(connection, view, caller, after, int(time.time()))


@router.post(f"{ENFORCEMENT}/disable", status_code=204)
def disable_enforcement(organization_id: str, caller: Authenticated, services: Given) -> None:
    """Require multi-factor logins no more. The caller's own must be one of the last minutes."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.organization(connection, caller, organization_id, ADMIN)
        after = enforcement.disabled(view.stored)
        enforcement.change(connection, view, caller, after, int(time.time()))
