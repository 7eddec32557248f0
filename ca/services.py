"""What a running service is made of, for the routes that need it."""

import threading
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Engine

from ca.hosts.allowance import Allowances
from ca.hosts.notes import Notes
from ca.hosts.standing import Standings
from ca.issuance.revocation import Revocations
from ca.issuance.sign import Issuer
from ca.keys import Keyring
from ca.settings import Settings


@dataclass(frozen=True)
class Services:
    """Made once in each worker by `ca.ops.serve`; everything else takes what it needs of it."""

    settings: Settings
    engine: Engine
    keys: Keyring
    issuer: Issuer
    revocations: Revocations
    notes: Notes
    standings: Standings
    allowances: Allowances = field(default_factory=Allowances)
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set once the service is to stop: nobody is kept waiting any more."""


async def of(request: Request) -> Services:
    """The services of the application that answers `request`."""
    services: Services = request.app.state.services
    return services


Given = Annotated[Services, Depends(of)]
"""A route's parameter of this type is given the services: `def route(services: Given)`."""
