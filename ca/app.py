"""The composition root: every route, with the edge around them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib import import_module
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from ca.api.delivery import Delivery
from ca.api.rules import rules_of
from ca.api.ssh import issue
from ca.console.edge import answer_unknown
from ca.hosts.notes import Notes
from ca.hosts.standing import Standings
from ca.http import EXPECTED, BoundedBody, SafeHeaders, Shortcut, answer_error
from ca.issuance.revocation import Revocations
from ca.issuance.sign import Issuer
from ca.keys import Keyring
from ca.services import Services
from ca.settings import Settings
from ca.smtp import sending
from ca.store.engine import open_engine

ROUTES = (
    "ca.api.health",
    "ca.api.ssh",
    "ca.api.certificates",
    "ca.api.users",
    "ca.api.totp",
    "ca.api.api_tokens",
    "ca.api.webauthn",
    "ca.api.sessions",
    "ca.api.extended_access",
    "ca.api.references",
    "ca.api.projects",
    "ca.api.environments",
    "ca.api.explain",
    "ca.api.open_connections",
    "ca.api.user_access",
    "ca.api.organizations",
    "ca.api.members",
    "ca.api.organization_projects",
    "ca.api.enforcement",
    "ca.api.invitations",
    "ca.api.service_users",
    "ca.api.sso",
    "ca.api.hosts",
    "ca.api.decisions",
    "ca.api.host_certificates",
    "ca.oauth.routes",
    "ca.console.routes",
    "ca.console.tokens",
    "ca.console.keys",
    "ca.console.invitation",
    "ca.console.sessions",
    "ca.console.password",
    "ca.console.email",
    "ca.console.sso",
    "ca.console.device",
)


@cache
def _every_route() -> APIRouter:
    """Made once in a process: FastAPI takes a tenth of a second, and applications can share it."""
    router = APIRouter()
    for name in ROUTES:
        router.include_router(import_module(name).router)
    list(rules_of(router.routes))  # no route without a rule
    return router


@cache
def _version() -> str:
    return version("amrgate")


def bare_app() -> FastAPI:
    """Every route, with nothing behind them: enough to describe the API."""
    app = FastAPI(
        title="amrgate",
        version=_version(),
        description="An SSH certificate authority that gates access on how people logged in.",
        docs_url=None,  # its page would load scripts from elsewhere; /openapi.json is enough
        redoc_url=None,
        # To the path without a slash at its end it would redirect under whatever host was named.
        redirect_slashes=False,
        routes=_every_route().routes,
    )
    for kind in (*EXPECTED, Exception):
        app.add_exception_handler(kind, answer_error)
    app.add_exception_handler(404, answer_unknown)  # what routes raise is a CAError
    return app


def create_app(services: Services) -> ASGIApp:
    """The whole service over HTTP."""
    app = bare_app()
    app.state.services = services
    app.state.delivery = Delivery(services)
    quick: ASGIApp = Shortcut(app, "POST", "/ssh", partial(issue, services=services))
    answer = app.state.delivery.answer
    quick = Shortcut(quick, "GET", "/hosts/([^/]+)/policy", answer)
    return SafeHeaders(BoundedBody(quick), secure=services.settings.secure)


@contextmanager
def open_services(settings: Settings, keys: Keyring) -> Iterator[Services]:
    """Open what a service needs, in the process that will use it, and close it at the end."""
    engine = open_engine(settings.database)
    try:
        issuer = Issuer(engine, keys)
        try:
            notes = Notes(engine)
            standings = Standings(engine, notes)
            try:
                with sending(settings):
                    revocations = Revocations(engine, keys)
                    yield Services(settings, engine, keys, issuer, revocations, notes, standings)
            finally:
                standings.close()
                notes.close()
        finally:
            issuer.close()
    finally:
        engine.dispose()
