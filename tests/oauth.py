"""Reading what the authorization server gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import jwt

from ca.oauth import grants
from tests.web import BACK, VISITOR, Client

if TYPE_CHECKING:
    from ca.services import Services

AMRGATE = grants.Client("amrgate", VISITOR)
"""Our own client, as the token endpoint knows it."""


def claims_of(access_token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(access_token, options={"verify_signature": False})
    return claims


def fault_of(location: str) -> dict[str, str]:
    """The parameters with which a browser is sent back to the client."""
    assert location.startswith(f"{BACK}?")
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


def is_good(services: Services, access_token: str) -> bool:
    return Client(services).api("GET", "/users/me", access_token).status_code == 200
