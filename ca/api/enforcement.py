"""/organizations/{id}/mfa-enforcement and mfa/remind: whether logins must be multi-factor ones."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from ca.api import gate
from ca.api.gate import Authenticated
from ca.api.shapes import moment
from ca.directory import enforcement, loosened, reminders
from ca.directory.access import Caller
from ca.directory.apply.diff import Change
from ca.identity import notices
from ca.services import Given, Services
from ca.store import directory
from ca.store.engine import reading, writing
from sshd_hook.policy import ADMIN, VIEWER

router = APIRouter(prefix="/organizations/{organization_id}", tags=["Organizations"])
ENFORCEMENT = "/mfa-enforcement"
MOST_AT_ONCE = 1000  # people reminded by one request


class EnforcementTerms(BaseModel):
    """What may be said when multi-factor logins are required.

    Without `report_only` it is held; what else is left out stays as it is.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    max_age: int | None = None
    """How many seconds ago a login may have been, whole minutes; null for any."""

    device: bool = False
    """Whether a login by device code will do."""

    report_only: bool = False
    """Whether whoever lacks it is let in, which is only reported."""


class Asked(BaseModel):
    """The terms whose effect is asked for."""

    model_config = ConfigDict(extra="forbid")

    max_age: int | None = None
    device: bool = False


class Reminded(BaseModel):
    """Who is to be reminded: without this, every member who has no second factor."""

    model_config = ConfigDict(extra="forbid", strict=True)

    user_ids: list[Annotated[str, Field(max_length=36)]] | None = Field(
        None, max_length=MOST_AT_ONCE
    )


@router.get(ENFORCEMENT)
def get_enforcement(organization_id: str, caller: Authenticated, services: Given) -> dict[str, Any]:
    """Whether multi-factor logins are required, and on which terms."""
    with reading(services.engine) as connection:
        asked = gate.organization(connection, caller, organization_id, VIEWER).stored
    return {
        "enforce_mfa": "mfa" in asked.amr,
        "max_age": asked.max_age,
        "device": asked.device,
        "report_only": asked.report_only,
    }


@router.get(f"{ENFORCEMENT}/preview")
def preview_enforcement(
    organization_id: str,
    terms: Annotated[Asked, Query()],
    caller: Authenticated,
    services: Given,
) -> dict[str, Any]:
    """Who would be locked out by requiring it, and what that would touch now."""
    with reading(services.engine) as connection:
        view = gate.organization(connection, caller, organization_id, ADMIN)
        said = terms.model_dump(exclude_unset=True)
        after = enforcement.enabled(view.stored, **said)
        found = enforcement.preview(connection, view, after, int(time.time()))
    return {
        "locked_out": [
            {
                "user_id": one.user.id,
                "username": one.user.username,
                "name": one.user.name,
                "mfa_enabled": one.second_factor,
            }
            for one in found.locked_out
        ],
        "service_users": [
            {"user_id": one.user.id, "username": one.user.username, "name": one.user.name}
            for one in found.programs
        ],
        "sessions": found.sessions,
        "certificates": found.certificates,
        "connections": found.connections,
        "hosts": [
            {
                "host": one.host,
                "services": one.services,
                "connections": one.ended,
                "heard_at": None if one.heard_at is None else moment(one.heard_at),
            }
            for one in found.hosts
        ],
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
        changed = enforcement.change(connection, view, caller, after, int(time.time()))
    announce_less(services, caller, changed)


@router.post(f"{ENFORCEMENT}/disable", status_code=204)
def disable_enforcement(organization_id: str, caller: Authenticated, services: Given) -> None:
    """Require multi-factor logins no more. The caller's own must be one of the last minutes."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.organization(connection, caller, organization_id, ADMIN)
        after = enforcement.disabled(view.stored)
        changed = enforcement.change(connection, view, caller, after, int(time.time()))
    announce_less(services, caller, changed)


@router.post("/mfa/remind")
def remind_of_mfa(
    organization_id: str, caller: Authenticated, services: Given, asked: Reminded | None = None
) -> dict[str, Any]:
    """Asks members by e-mail to set up a second factor, each at most once an hour."""
    wanted = asked.user_ids if asked else None
    with writing(services.engine) as connection:
        view = gate.organization(connection, caller, organization_id, ADMIN)
        outcomes, sent = reminders.remind(connection, view, caller, wanted, int(time.time()))
    for user in sent:
        notices.remind(services.settings, user, view.organization.label, caller.user)
    return {
        user_id: {"code": outcome.value[0], "message": outcome.value[1]}
        for user_id, outcome in outcomes.items()
    }


def announce_less(services: Services, caller: Caller, changed: Change) -> None:
    """Tell the other admins if what the caller has changed asks less of logins."""
    who = f"{caller.user.name} ({caller.user.username})"
    engine, settings = services.engine, services.settings
    loosened.announce(engine, settings, who, [changed], but=caller.user.id)
