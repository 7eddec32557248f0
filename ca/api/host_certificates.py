"""/hosts/{host_id}/certificates: a host renews those by which clients know it."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from ca.api.hosts import MAX_HOST_KEYS, authenticate
from ca.hosts import allowance
from ca.issuance import host as issuance
from ca.issuance.sign import Host as Subject
from ca.issuance.subject_key import parse_subject_key
from ca.services import Given
from ca.store.hosts import Host

router = APIRouter(prefix="/hosts", tags=["Hosts"])


class Renewal(BaseModel):
    """The keys of a host's sshd that are to be certified."""

    model_config = ConfigDict(extra="forbid", strict=True)

    host_keys: list[str] = Field(min_length=1, max_length=MAX_HOST_KEYS)


@router.post("/{host_id}/certificates", status_code=201)
def renew(
    host: Annotated[Host, Depends(authenticate)], asked: Renewal, services: Given
) -> dict[str, list[str]]:
    """A certificate for each key, with the names that the join token gave the host."""
    keys = [parse_subject_key(key) for key in asked.host_keys]
    services.allowances.take(host, allowance.CERTIFICATES, len(keys), time.monotonic())
    subject, now = Subject(host.id, host.names), int(time.time())
    return {
        "host_certificates": [issuance.issue(services.issuer, subject, key, now) for key in keys]
    }
