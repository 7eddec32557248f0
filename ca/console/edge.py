"""The edge of the pages: errors become pages, and no other site's form gets in."""

import json
import time
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from sqlalchemy.exc import DataError, OperationalError

from ca.console import flow
from ca.console.browser import check_same_origin
from ca.console.pages import show
from ca.errors import (
    CAError,
    InsufficientAuthentication,
    Misconfigured,
    TooManyAttempts,
    Unavailable,
)
from ca.http import answer_error, status_of
from ca.identity.stepup import Step
from ca.services import Services

READS = frozenset({"GET", "HEAD"})
PASSED_ON = (TooManyAttempts, Misconfigured, Unavailable, DataError, OperationalError)


class NotLoggedIn(InsufficientAuthentication):
    """Nobody is logged in, or the login is not complete."""

    def __init__(self) -> None:
        super().__init__("Log in first.", (), None)


class PageRoute(APIRoute):
    """A route that answers with pages, also when something is wrong."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with the edge around it."""
        inner = super().get_route_handler()

        async def handler(request: Request) -> Response:
            services: Services = request.app.state.services
            try:
                if request.method not in READS:
                    check_same_origin(services.settings, request)
                return await inner(request)
            except flow.Elsewhere as other:
                return RedirectResponse(other.location, 303)
            except InsufficientAuthentication as error:
                return _log_in(services, request, error)
            except PASSED_ON as error:
                return await _passed_on(request, error)
            except CAError as error:
                status = status_of(error)
                return show("error.html", status=status, user=None, message=error.message)
            except RequestValidationError:
                message = "This link is not complete."
                return show("error.html", status=400, user=None, message=message)

        return handler


async def answer_unknown(request: Request, error: Exception) -> Response:
    """The answer where nobody has the path: a page, to who opened it in a browser."""
    accepted = request.headers.get("accept", "")
    if request.method not in READS or "text/html" not in accepted.lower():
        return await answer_error(request, error)
    message = "There is no such page. Check its address, or go on from your account."
    return show("error.html", status=404, user=None, message=message)


async def _passed_on(request: Request, error: Exception) -> Response:
    """What all routes answer and log, and when to try again, as a page: a person sits before it."""
    told = await answer_error(request, error)
    message = json.loads(bytes(told.body))["error_description"]
    page = show("error.html", status=told.status_code, user=None, message=message)
    if "retry-after" in told.headers:
        page.headers["retry-after"] = told.headers["retry-after"]
    return page


def _log_in(services: Services, request: Request, error: InsufficientAuthentication) -> Response:
    """Send somebody to log in (again), and then back. What they wanted to change, they ask again."""
    now = int(time.time())
    purpose = flow.Purpose(
        asked_at=now,
        page=request.url.path if request.method in READS else flow.HOME,
        since=0 if error.max_age is None else now - error.max_age,
    )
    return RedirectResponse(flow.page_of(services, purpose, Step.PASSWORD), 303)
