"""Requests to providers: to the address that was checked, bounded in time and size, no redirects.

A provider's URLs come from an administrator of an organization, and from what the provider says:
neither may make this service speak to what only it can reach.
"""

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from functools import cache
from typing import Any
from urllib.parse import urlencode

import httpcore2

from ca.errors import Unavailable
from ca.identity.sso.networks import Networks, Refused

TIMEOUT = 5  # seconds for each step of a request
DEADLINE = 10  # seconds for all of it, however small its steps are
MAX_ANSWER = 256 << 10  # bytes
MAX_LOOKUPS = 32  # of names, those among them that nobody waits for any more
OK = 200

Headers = dict[bytes | str, bytes | str]


_lookups = threading.BoundedSemaphore(MAX_LOOKUPS)


class NotReached(Unavailable):
    """The provider cannot be asked, or answers what is no answer; the cause says why."""

    def __init__(
        self,
        message: str = "The single sign-on provider does not answer as it should. Try again, or log"
        " in another way.",
    ) -> None:
        super().__init__(message)


class NotRecent(NotReached):
    """The provider logged somebody in again without asking, or does not say when it asked."""

    def __init__(self) -> None:
        super().__init__(
            "The single sign-on provider does not say that you have just logged in there, as this"
            " needs. Log out there and try again, or log in another way."
        )


def get_json(networks: Networks, url: str) -> dict[str, object]:
    """The JSON object at `url`.

    Raises:
        NotReached: there is none.
    """
    return _json(networks, "GET", url, {}, b"")


def post_form(
    networks: Networks, url: str, form: dict[str, str], authorization: str = ""
) -> dict[str, object]:
    """The JSON object that answers a form.

    Raises:
        NotReached: there is none.
    """
    headers: Headers = {"content-type": "application/x-www-form-urlencoded"}
    if authorization:
        headers["authorization"] = authorization
    return _json(networks, "POST", url, headers, urlencode(form).encode())


def _json(
    networks: Networks, method: str, url: str, headers: Headers, body: bytes
) -> dict[str, object]:
    try:
        networks.check_url(url)
        status, answer = _ask(networks, method, url, headers, body)
        if status != OK:
            raise Refused(f"status {status} from {url}")
        value = json.loads(answer, object_pairs_hook=_unique)
        if not isinstance(value, dict):
            raise Refused(f"no JSON object at {url}")
    except (
        ValueError,
        RecursionError,
        OSError,
        httpcore2.TimeoutException,
        httpcore2.NetworkError,
        httpcore2.ProtocolError,
    ) as error:
        raise NotReached from error
    return value


@cache
def _authorities() -> ssl.SSLContext:
    """Those that the machine trusted when they were first needed: reading them takes 30 ms."""
    return ssl.create_default_context()


def _ask(
    networks: Networks, method: str, url: str, headers: Headers, body: bytes
) -> tuple[int, bytes]:
    until = time.monotonic() + DEADLINE
    timeout = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), TIMEOUT)}
    sent: Headers = {"accept": "application/json", **headers}
    with (
        httpcore2.ConnectionPool(
            ssl_context=_authorities(),
            network_backend=_Checked(networks, until),
        ) as pool,
        pool.stream(
            method, url, headers=sent, content=body or None, extensions=timeout
        ) as response,
    ):
        answer = bytearray()
        for chunk in response.iter_stream():
            answer += chunk
            if len(answer) > MAX_ANSWER:
                raise Refused(f"more than {MAX_ANSWER} bytes at {url}")
        return response.status, bytes(answer)


def _addresses(host: str, port: int, until: float) -> list[str]:
    """Those of a host, in a thread of its own: nobody can interrupt who waits for a name server."""
    if not _lookups.acquire(blocking=False):
        raise Refused("too many names are looked up")
    told: Future[list[str]] = Future()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            told.set_result([str(place[4][0]) for place in found])
        except (OSError, UnicodeError) as error:
            told.set_exception(error)
        finally:
            _lookups.release()

    try:
        threading.Thread(target=ask, name=f"lookup of {host}", daemon=True).start()
    except RuntimeError as error:  # the machine has no more of them
        _lookups.release()
        raise Refused("no thread to look up a name") from error
    try:
        return told.result(_left(until))
    except TimeoutError as error:
        raise Refused(f"no address of {host} was told in time") from error


def _left(until: float, timeout: float | None = None) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise httpcore2.ReadTimeout(f"more than {DEADLINE} s")
    return left if timeout is None else min(left, timeout)


class _Checked(httpcore2.NetworkBackend):
    """Connects to the very address that was checked: a name may have another one a moment later."""

    def __init__(self, networks: Networks, until: float) -> None:
        self._networks = networks
        self._until = until
        self._sockets = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Resolve, check, connect."""
        addresses = _addresses(host, port, self._until)
        for address in addresses:
            if not self._networks.allow(address):
                raise Refused(f"{host} is {address}, where no provider may be")
        stream = self._sockets.connect_tcp(
            addresses[0], port, _left(self._until, timeout), local_address, socket_options
        )
        return _Hurried(stream, self._until)


class _Hurried(httpcore2.NetworkStream):
    """A connection that ends at a moment: who sends a byte now and then is not waited for either.

    `until` is by the monotonic clock.
    """

    def __init__(self, stream: httpcore2.NetworkStream, until: float) -> None:
        self._stream = stream
        self._until = until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what there is, if it comes in time."""
        return self._stream.read(max_bytes, _left(self._until, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of it, in time."""
        self._stream.write(buffer, _left(self._until, timeout))

    def close(self) -> None:
        """Hang up."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        """The same connection, encrypted."""
        left = _left(self._until, timeout)
        stream = self._stream.start_tls(ssl_context, server_hostname, left)
        return _Hurried(stream, self._until)

    def get_extra_info(self, info: str) -> Any:
        """What the connection says of itself."""
        return self._stream.get_extra_info(info)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused("a name stands twice")
    return found
