"""The endpoints of the authorization server."""

import time

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from ca.console import flow
from ca.console.browser import session_of, visitor_of
from ca.console.edge import PageRoute
from ca.errors import InvalidRequest
from ca.oauth import clients, device, metadata, tokens
from ca.oauth.api_token import exchange_api_token
from ca.oauth.authorize import Returned, read_request
from ca.oauth.forms import Form, fields
from ca.oauth.grants import Client, Server
from ca.oauth.introspect import introspect
from ca.oauth.refresh import refresh
from ca.oauth.revoke import revoke
from ca.oauth.token import exchange_code
from ca.services import Given, Services

router = APIRouter(tags=["oauth"])
pages = APIRouter(route_class=PageRoute)

GRANTS = ", ".join(metadata.GRANT_TYPES)


class UnsupportedGrant(InvalidRequest):
    """No grant that we know."""

    code = "unsupported_grant_type"


@pages.get("/oauth2/authorize")
def authorize(services: Given, request: Request) -> Response:
    """Begins a client's request: on to whatever its person still has to prove, then to consent."""
    now = int(time.time())
    try:
        asked = read_request(services.settings, fields(request.url.query), now)
    except Returned as fault:
        return RedirectResponse(fault.location, 303)
    session = session_of(services, request, now)
    purpose = flow.Purpose(
        asked_at=now,
        request=asked,
        begin_anew=asked.begin_anew,
        not_session=session.id if session else "",
    )
    step = flow.step_of(services, purpose, session)
    return RedirectResponse(flow.page_of(services, purpose, step), 303)


router.include_router(pages)


@router.post("/oauth2/token")
def token(services: Given, request: Request, form: Form) -> dict[str, str | int]:
    """Gives tokens for a code, a refresh token or an API token."""
    now = int(time.time())
    server = _server(services)
    client = Client(_client(services, request, form), visitor_of(request))
    match form.get("grant_type"):
        case "authorization_code":
            given = exchange_code(server, client, form, now)
        case "refresh_token":
            given = refresh(server, client, form.get("refresh_token", ""), now)
        case device.GRANT_TYPE:
            given = device.redeem_device_code(server, client, form, now)
        case "api_token":
            given = exchange_api_token(server, client, form.get("api_token", ""), now)
        case None | "":  # an empty one is none (RFC 6749, section 3.2)
            raise InvalidRequest(f"grant_type is missing. It must be one of {GRANTS}.")
        case _:
            raise UnsupportedGrant(f"grant_type must be one of {GRANTS}.")
    return given.answer(server, now)


@router.post("/oauth2/revoke")
def revoke_token(services: Given, request: Request, form: Form) -> dict[str, str]:
    """Makes a token useless; also answers 200 to what is none."""
    client_id = _client(services, request, form)
    revoke(_server(services), client_id, form.get("token", ""), int(time.time()))
    return {}


@router.post("/oauth2/introspect")
def introspect_token(services: Given, request: Request, form: Form) -> dict[str, object]:
    """Says whether a token is good, and what for; only to the client that it belongs to."""
    client_id = _client(services, request, form)
    return introspect(_server(services), client_id, form.get("token", ""), int(time.time()))


@router.post("/oauth2/device_authorization")
def authorize_device(services: Given, request: Request, form: Form) -> dict[str, str | int]:
    """Begins the login of a device without a browser: the code that it shows, and its own."""
    client_id = _client(services, request, form)
    visitor = visitor_of(request)
    return device.authorize_device(_server(services), client_id, form, visitor, int(time.time()))


@router.get("/.well-known/oauth-authorization-server")
def show_metadata(services: Given) -> dict[str, object]:
    """What this server can do (RFC 8414)."""
    return metadata.metadata(services.settings)


@router.get("/.well-known/jwks.json")
def show_keys(services: Given) -> dict[str, list[dict[str, str]]]:
    """The keys that access tokens are checked with (RFC 7517)."""
    return tokens.jwks(services.keys.token, int(time.time()))


def _server(services: Services) -> Server:
    return Server(services.settings, services.engine, services.keys.token)


def _client(services: Services, request: Request, form: dict[str, str]) -> str:
    header = request.headers.get("authorization", "")
    return clients.authenticate(services.settings.clients, header, form)
