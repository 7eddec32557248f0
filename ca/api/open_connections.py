"""/hosts/{host_id}/connections: which connections are open on a host, as it says itself."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from ca.api.hosts import authenticate
from ca.hosts import allowance
from ca.services import Given
from ca.store import open_connections
from ca.store.engine import writing
from ca.store.hosts import Host

router = APIRouter(prefix="/hosts", tags=["Hosts"])

MOST = 4096
MOST_ALIKE = 1 << 20


class Alike(BaseModel):
    """Connections to one service by the certificates of one session, from one address."""

    model_config = ConfigDict(extra="forbid", strict=True)

    service: str = Field(pattern="^[a-z0-9-]{1,128}$")
    """Without an instance."""
    session: str = Field(pattern="^[0-9a-f-]{36}$")
    """Its handle."""
    address: str = Field("", pattern="^[0-9a-f.:]{0,45}$")
    """The client's; nothing for those that have none."""
    connections: int = Field(ge=1, le=MOST_ALIKE)


class Census(BaseModel):
    """All connections that are open."""

    model_config = ConfigDict(extra="forbid", strict=True)

    connections: list[Alike] = Field(max_length=MOST)


@router.put("/{host_id}/connections", status_code=204)
def put_connections(
    host: Annotated[Host, Depends(authenticate)], said: Census, services: Given
) -> None:
    """Note which connections are open on a host, in the place of what it said before."""
    services.allowances.take(host, allowance.CONNECTIONS, 1, time.monotonic())
    found = {(one.service, one.session, one.address): one.connections for one in said.connections}
    with writing(services.engine) as connection:
        open_connections.replace(connection, host.id, found, int(time.time()))
