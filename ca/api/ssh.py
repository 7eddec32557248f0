"""Certificates for engineers, and the keys by which everybody knows ours."""

import json
import time
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ca.api.gate import bearer_token
from ca.errors import InvalidRequest
from ca.http import json_object
from ca.identity import scopes
from ca.issuance.draft import MAX_LIFETIME, MIN_LIFETIME
from ca.issuance.sign import Bearer
from ca.issuance.subject_key import parse_subject_key
from ca.keys.files import public_line
from ca.oauth.tokens import verify_access_token
from ca.services import Given

router = APIRouter(tags=["certificates"])

# FastAPI would read the body by its own rules: what is in it, we say.
DESCRIPTION: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["key"],
                    "properties": {
                        "key": {"type": "string", "description": "as in id_ed25519.pub"},
                        "lifetime": {"type": "integer", "minimum": MIN_LIFETIME},
                    },
                }
            }
        },
    }
}


@router.post("/ssh", response_class=JSONResponse, openapi_extra=DESCRIPTION)
async def issue(request: Request, services: Given) -> Response:
    """A certificate over the caller's public key.

    Everything but the key, and a wish for a shorter life, is computed here.
    """
    now = int(time.time())
    text = bearer_token(request)
    token = verify_access_token(services.keys.token, services.settings.issuer, text, now)
    scopes.check(token.scope, scopes.SSH)
    fields = json_object(await request.body())
    key = fields.get("key")
    if not isinstance(key, str):
        raise InvalidRequest('The request must be {"key": "ssh-ed25519 …"}.')
    certificate = await services.issuer.issue_user(
        Bearer(token.sub, token.sid, token.jti),
        parse_subject_key(key),
        fields.get("lifetime", MAX_LIFETIME),
        now,
    )
    answer = json.dumps({"certificate": public_line(certificate)})
    return Response(answer, media_type="application/json")


@router.get("/ssh/authority")
async def authority(services: Given) -> dict[str, list[str]]:
    """The keys whose user and host certificates are ours, and the hosts' names."""
    return {
        "authorities": [public_line(services.keys.user_ca.public_key)],
        "host_authorities": [public_line(services.keys.host_ca.public_key)],
        "host_patterns": list(services.settings.ssh_hosts),
    }
