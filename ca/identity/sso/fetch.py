"""Requests to providers: to the address that was checked, bounded in time and size, no redirects.

A provider's URLs come from an administrator of an organization, and from what the provider says:
neither may make this service speak to what only it can reach.
"""

import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpcore2

from ca.errors import Unavailable

TIMEOUT = 5  # seconds for each step of a request
DEADLINE = 10  # seconds for all of it, however small its steps are
MAX_ANSWER = 256 << 10  # bytes
MAX_AT_ONCE = 8  # requests: slow providers must not take all threads of a worker
MAX_URL = 2048  # characters
OK = 200

Headers = dict[bytes | str, bytes | str]

# IPv6 addresses that are IPv4 addresses of any kind behind a translator (RFC 6052, RFC 3056).
TRANSLATED = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")))

_turns = threading.BoundedSemaphore(MAX_AT_ONCE)


class NotReached(Unavailable):
    """The provider cannot be asked, or answers what is no answer; the cause says why."""

    def __init__(self) -> None:
        super().__init__(
            "The single sign-on provider does not answer as it should. Try again, or log in"
            " another way."
        )


class Refused(ValueError):
    """What is wrong with a provider or what it says, for the operator's log."""


@dataclass(frozen=True)
class Networks:
    """Where providers may be: public addresses, and these networks of the operator's.

    `hosts` are those at which a provider may have endpoints beside its issuer's own.
    """

    networks: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    def allow(self, address: str) -> bool:
        """Whether a provider may have this IP address."""
        found = ipaddress.ip_address(address.partition("%")[0])
        found = getattr(found, "ipv4_mapped", None) or found
        if any(found in ipaddress.ip_network(network) for network in self.networks):
            return True
        translated = any(found in network for network in TRANSLATED)
        return found.is_global and not found.is_multicast and not translated

    def check_url(self, url: str) -> None:
        """Check a URL before anything is asked there.

        Raises:
            Refused: it is not https, nor http on a loopback address that providers may have.
        """
        try:
            parts = urlsplit(url)
            host, _port = parts.hostname or "", parts.port
        except ValueError as error:
            raise Refused(f"no URL: {url!a}") from error
        plain = url.isascii() and url.isprintable() and len(url) <= MAX_URL
        if not (plain and host) or parts.username is not None or parts.fragment:
            raise Refused(f"no URL of a provider: {url[:MAX_URL]!a}")
        if parts.scheme != "https" and not (parts.scheme == "http" and self._is_local(host)):
            raise Refused(f"not https: {url!a}")

    def _is_local(self, host: str) -> bool:
        try:
            return ipaddress.ip_address(host).is_loopback and self.allow(host)
        except ValueError:
            return False


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


def _ask(
    networks: Networks, method: str, url: str, headers: Headers, body: bytes
) -> tuple[int, bytes]:
    if not _turns.acquire(timeout=TIMEOUT):
        raise Refused("too many requests to providers at once")
    try:
        until = time.monotonic() + DEADLINE
        timeout = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), TIMEOUT)}
        sent: Headers = {"accept": "application/json", **headers}
        with (
            httpcore2.ConnectionPool(
                ssl_context=ssl.create_default_context(),
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
    finally:
        _turns.release()


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
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(place[4][0]) for place in found]
        for address in addresses:
            if not self._networks.allow(address):
                raise Refused(f"{host} is {address}, where no provider may be")
        stream = self._sockets.connect_tcp(
            addresses[0], port, timeout, local_address, socket_options
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
        return self._stream.read(max_bytes, self._left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of it, in time."""
        self._stream.write(buffer, self._left(timeout))

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
        stream = self._stream.start_tls(ssl_context, server_hostname, self._left(timeout))
        return _Hurried(stream, self._until)

    def get_extra_info(self, info: str) -> Any:
        """What the connection says of itself."""
        return self._stream.get_extra_info(info)

    def _left(self, timeout: float | None) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout(f"more than {DEADLINE} s")
        return left if timeout is None else min(left, timeout)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused("a name stands twice")
    return found
