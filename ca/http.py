"""The edge of HTTP: errors become answers, bodies are bounded, headers are safe."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError, OperationalError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ca import errors
from ca.oauth.clients import InvalidClient

log = structlog.get_logger()

MAX_BODY = 1 << 20  # bytes
BODY_TIMEOUT = 20  # seconds that a client may take to send one
SOON = "2"  # seconds after which it is worth asking again what nothing was done for

STATUS: dict[type[errors.CAError], int] = {
    errors.InvalidRequest: 400,
    errors.NotAuthenticated: 401,
    errors.InsufficientAuthentication: 401,
    errors.Denied: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.AlreadyUsed: 410,
    errors.TooManyAttempts: 429,
    errors.Unavailable: 503,
    errors.CAError: 500,
}

SAFE_HEADERS = {
    # No script but our own files, no frame around us, nothing from elsewhere.
    "content-security-policy": (
        "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not "no-referrer": browsers would then send "Origin: null" with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
HSTS = "max-age=31536000"


# What may happen to any request. Anything else is a fault of ours.
EXPECTED = (errors.CAError, HTTPException, RequestValidationError, DataError, OperationalError)


def status_of(error: errors.CAError) -> int:
    """The HTTP status that answers `error`."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


async def answer_error(request: Request, error: Exception) -> Response:
    """The one place where an error becomes an answer."""
    if isinstance(error, errors.CAError):
        return _answer_own(request, error)
    if isinstance(error, HTTPException):
        title = HTTPStatus(error.status_code).phrase
        code = title.lower().replace(" ", "_")
        return _problem(request, error.status_code, code, title, headers=dict(error.headers or {}))
    if isinstance(error, RequestValidationError):
        return _problem(request, 400, errors.InvalidRequest.code, _first_fault(error))
    if isinstance(error, DataError):  # PostgreSQL knows no NUL in a text, nor what is too long
        log.warning("not storable", path=request.url.path, error=type(error.orig).__name__)
        return _problem(request, 400, errors.InvalidRequest.code, "This cannot be taken as it is.")
    if isinstance(error, OperationalError):
        log.error("database", path=request.url.path, error=type(error.orig).__name__)
        message = "The database cannot be reached now. Try again in a moment."
        return _problem(
            request, 503, errors.Unavailable.code, message, headers={"retry-after": SOON}
        )
    message = "Something went wrong on our side; the operator's log says what."
    return _problem(request, 500, "server_error", message)


def _answer_own(request: Request, error: errors.CAError) -> Response:
    headers: dict[str, str] = {}
    extra: dict[str, object] = {}
    status = status_of(error)
    match error:
        case errors.InsufficientAuthentication():
            headers["www-authenticate"] = _step_up(error)
            extra = {"amr": list(error.amr)}
            if error.max_age is not None:
                extra["max_age"] = error.max_age
        case InvalidClient():  # RFC 6749, section 5.2: the scheme that the client may have used
            headers["www-authenticate"] = 'Basic realm="amrgate"'
        case errors.NothingShown():  # RFC 6750, section 3.1: no error code in the challenge
            headers["www-authenticate"] = 'Bearer realm="amrgate"'
        case errors.NotAuthenticated():
            headers["www-authenticate"] = f'Bearer error="{error.code}"'
        case errors.InsufficientScope():
            enough = f', scope="{error.scope}"' if error.scope else ""
            headers["www-authenticate"] = f'Bearer error="{error.code}"{enough}'
        case errors.TooManyAttempts():
            headers["retry-after"] = str(error.retry_after)
        case errors.Misconfigured() | errors.Unavailable():
            log.error("failed", path=request.url.path, error=error.message, cause=_cause(error))
            if isinstance(error, errors.Unavailable):
                headers["retry-after"] = SOON
        case _:
            pass
    return _problem(request, status, error.code, error.message, headers=headers, extra=extra)


def _step_up(error: errors.InsufficientAuthentication) -> str:
    parts = [f'error="{error.code}"', f'error_description="{error.message}"']
    if error.amr:
        parts.append(f'amr_values="{" ".join(error.amr)}"')
    if error.max_age is not None:
        parts.append(f'max_age="{error.max_age}"')
    return "Bearer " + ", ".join(parts)


def _cause(error: Exception) -> str:
    return type(error.__cause__).__name__ if error.__cause__ else ""


def _first_fault(error: RequestValidationError) -> str:
    # Pydantic's own text may quote the input, which may be a password.
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"])
    return f"{where}: {fault['msg'] if fault['type'] != 'value_error' else 'not valid'}."


def _problem(  # noqa: PLR0913 every part of an answer
    request: Request,
    status: int,
    code: str,
    message: str,
    *,
    headers: dict[str, str] | None = None,
    extra: dict[str, object] | None = None,
) -> Response:
    body: dict[str, object] = {
        "error": code,
        "error_description": message,
        "status": status,
        "title": HTTPStatus(status).phrase,
        **(extra or {}),
    }
    # OAuth's own endpoints answer plain JSON (RFC 6749, section 5.2).
    oauth = request.url.path.startswith("/oauth2/")
    media_type = "application/json" if oauth else "application/problem+json"
    return JSONResponse(body, status, headers, media_type)


class BoundedBody:
    """Reads a request's body before the application sees it: bounded in bytes and in time."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY, timeout: float = BODY_TIMEOUT) -> None:
        self._app = app
        self._limit = limit
        self._timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD"}:
            await self._app(scope, receive, send)
            return
        lengths = (value for name, value in scope["headers"] if name == b"content-length")
        length = next(lengths, b"0")
        if length.isdigit() and int(length) > self._limit:
            await self._refuse(scope, receive, send, 413, f"larger than {self._limit} bytes")
            return
        try:
            async with asyncio.timeout(self._timeout):
                body = await self._read(receive)
        except TimeoutError:
            await self._refuse(scope, receive, send, 408, "sent too slowly")
            return
        if body is None:
            await self._refuse(scope, receive, send, 413, f"larger than {self._limit} bytes")
            return
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes | None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return b""
            body += bytes(message.get("body", b""))
            if len(body) > self._limit:
                return None
            if not message.get("more_body", False):
                return body

    async def _refuse(
        self, scope: Scope, receive: Receive, send: Send, status: int, fault: str
    ) -> None:
        message = f"The request's body is {fault}."
        code = errors.InvalidRequest.code
        answer = _problem(Request(scope), status, code, message, headers={"connection": "close"})
        await answer(scope, receive, send)


class Shortcut:
    """Answers some requests past the framework, whose way to a route is long.

    `method` and a pattern of the whole path say which; `route` is given the request and what the
    pattern's groups have matched. Errors are answered as everywhere.
    """

    def __init__(
        self, app: ASGIApp, method: str, path: str, route: Callable[..., Awaitable[Response]]
    ) -> None:
        self._app = app
        self._method = method
        self._path = re.compile(path)
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        found = None
        if scope["type"] == "http" and scope["method"] == self._method:
            found = self._path.fullmatch(scope["path"])
        if found is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await self._route(request, *found.groups())
        except Exception as error:
            response = await answer_error(request, error)
            await response(scope, receive, send)
            if not isinstance(error, EXPECTED):
                raise  # to the server's log
        else:
            await response(scope, receive, send)


class SafeHeaders:
    """Gives every answer the headers that keep a browser safe, unless the route set its own."""

    def __init__(self, app: ASGIApp, *, secure: bool) -> None:
        self._app = app
        headers = {**SAFE_HEADERS, "strict-transport-security": HSTS} if secure else SAFE_HEADERS
        # As they go over the wire: each answer has them.
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                names = {name.lower() for name, _ in given}
                given += [header for header in self._headers if header[0] not in names]
                message["headers"] = given
            await send(message)

        await self._app(scope, receive, send_safely if scope["type"] == "http" else send)


def json_object(body: bytes) -> dict[str, object]:
    """Read a body that must be one JSON object, in which no name stands twice.

    Raises:
        InvalidRequest: it is not.
    """
    try:
        value = _JSON.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise errors.InvalidRequest("The request's body is not JSON.") from error
    if not isinstance(value, dict):
        raise errors.InvalidRequest("The request's body is not a JSON object.")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


_JSON = json.JSONDecoder(object_pairs_hook=_unique)
