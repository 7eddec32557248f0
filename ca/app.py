"""The composition root: every route, with the edge around them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException

from ca.errors import CAError
from ca.http import BoundedBody, SafeHeaders, answer_error
from ca.services import Services

ROUTES = (
    "ca.api.health",
    "ca.api.ssh",
    "ca.api.users",
    "ca.api.organizations",
    "ca.api.hosts",
    "ca.oauth.routes",
    "ca.console.routes",
)


def create_app(services: Services) -> FastAPI:
    """The whole service over HTTP."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        services.engine.dispose()

    app = FastAPI(
        title="amrgate",
        version=version("amrgate"),
        description="An SSH certificate authority that gates access on how people logged in.",
        docs_url=None,  # its page would load scripts from elsewhere; /openapi.json is enough
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.services = services
    for kind in (CAError, HTTPException, RequestValidationError, OperationalError, Exception):
        app.add_exception_handler(kind, answer_error)
    app.add_middleware(BoundedBody)
    app.add_middleware(SafeHeaders, secure=services.settings.secure)
    for name in ROUTES:
        if find_spec(name) is not None:
            app.include_router(import_module(name).router)
    return app
