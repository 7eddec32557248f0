"""/hosts/{host_id}/decisions: what a host decided."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from ca.api.hosts import authenticate
from ca.hosts import allowance, decisions
from ca.hosts.decisions import Told
from ca.services import Given
from ca.store.hosts import Host

router = APIRouter(prefix="/hosts", tags=["Hosts"])

MAX_AT_ONCE = 500
YEAR_10000 = 253402300800  # seconds since the epoch: nothing from then on can be shown


class Decision(BaseModel):
    """What the host answered to one who wanted in."""

    model_config = ConfigDict(extra="forbid", strict=True)

    at: int = Field(ge=0, lt=YEAR_10000)
    """When, by the host's clock: seconds since the epoch."""
    connection: str = Field(pattern=r"^[0-9a-f.]{0,64}$")
    """Of one host, the same for all decisions about one connection."""
    code: str = Field(pattern="^[a-z_]{1,32}$")
    service: str = Field("", pattern="^[a-z0-9-]{0,128}$")
    """The name that was asked for."""
    user: str = Field("", pattern="^[0-9a-f-]{0,36}$")
    """The user's id."""
    serial: str = Field("", pattern="^[0-9]{0,20}$")
    """The certificate's; a text, because readers of JSON round beyond 2**53."""
    session: str = Field("", pattern="^[0-9a-f-]{0,36}$")
    """The handle of the certificate's session."""
    detail: str = Field("", pattern=r"^[ -~]{0,200}$")
    """What was missing, or why there was no answer."""


class Report(BaseModel):
    """Some decisions, those that were made first in front."""

    model_config = ConfigDict(extra="forbid", strict=True)

    decisions: list[Decision] = Field(max_length=MAX_AT_ONCE)


@router.post("/{host_id}/decisions", status_code=204)
def report(host: Annotated[Host, Depends(authenticate)], said: Report, services: Given) -> None:
    """Keep what a host decided. To say the same again is no harm, but counts."""
    count = len(said.decisions)
    services.allowances.take(host, allowance.DECISIONS, count, time.monotonic())
    told = [
        Told(
            at=one.at,
            connection=one.connection,
            code=one.code,
            service=one.service,
            user_id=one.user,
            serial=one.serial,
            session=one.session,
            detail=one.detail,
        )
        for one in said.decisions
    ]
    decisions.keep(services.engine, host, told, int(time.time()))
