"""Talking to the CA: the long poll for policy, acknowledgements, and joining."""

from __future__ import annotations

import base64
import http.client
import ipaddress
import json
import ssl
import time
import zlib
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode, urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sshd_hook.agent.host import Host

WAIT = 50  # seconds that the CA may keep a poll open
TIMEOUT = 10  # seconds for anything else
MAX_TRANSFER = 120  # seconds for a whole answer, however slowly it drips
MAX_ANSWER = 128 * 1024 * 1024  # bytes; a policy for 10,000 services is a few megabytes
MAX_STATEMENTS = 1000  # about keys: for each ssh-keygen runs, before anything is verified
CHUNK = 1024 * 1024
REJECTED = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


class CAError(Exception):
    """The CA cannot be reached, does not answer as it should, or refuses."""


class RejectedError(CAError):
    """The CA does not take what was sent, and would not take it another time."""


class UnknownHostError(CAError):
    """The CA does not know this host, or does not any more."""


@dataclass(frozen=True)
class Have:
    """The versions of the bundle and of the revocation list that need not be sent. 0 for none."""

    version: int = 0
    krl_version: int = 0


@dataclass(frozen=True)
class Update:
    """What the CA answered to a poll, unverified. `bundle` is None where the host has it."""

    version: int
    bundle: bytes | None
    bundle_signature: str
    fresh: bytes
    fresh_signature: str
    krl: bytes
    services: tuple[str, ...]
    keys: tuple[str, ...] = ()
    """Signed statements about the bundle key (`sshd_hook.statement`)."""


@dataclass(frozen=True)
class Joined:
    """What the CA answered to a new host."""

    id: str
    token: str
    bundle_key: str
    recovery_key: str
    user_authorities: tuple[str, ...]
    host_certificates: tuple[str, ...]
    keys_number: int
    keys_recovery: int


class CA:
    """The CA at `url`, whose HTTPS certificate is signed by a key in `ca_file`.

    Raises:
        CAError: the URL would let somebody on the way listen or answer in its place.
    """

    def __init__(self, url: str, ca_file: str | None) -> None:
        try:
            parts = urlsplit(url)
            self._port = parts.port
        except ValueError:
            parts, self._port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise CAError(f"{url!r} is not the URL of a CA, such as https://ca.example.com")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise CAError(f"{url} is not HTTPS: plain HTTP is for a CA on this machine only")
        if parts.scheme == "https" and ca_file is None:
            raise CAError(f"{url} needs --ca-file: the certificates that its own may be signed by")
        self._host = parts.hostname
        self._path = parts.path.rstrip("/")
        self._trust = ssl.create_default_context(cafile=ca_file) if ca_file else None

    def join(self, request: dict[str, Any]) -> Joined:
        """Enroll this host with a join token.

        Raises:
            CAError: the token is not good, or the CA cannot be reached.
        """
        answer = _Answer(self._call("POST", "/hosts/enroll", request))
        return Joined(
            id=answer.text("id"),
            token=answer.text("token"),
            bundle_key=answer.text("bundle_key"),
            recovery_key=answer.text("recovery_key"),
            user_authorities=answer.texts("user_authorities"),
            host_certificates=answer.texts("host_certificates"),
            keys_number=answer.number("keys_number"),
            keys_recovery=answer.number("keys_recovery"),
        )

    def policy(self, host: Host, have: Have, floor: int, wait: int) -> Update:
        """Ask for what is not what this host has, waiting for it up to `wait` seconds.

        The host would take no bundle of a version below `floor`.

        Raises:
            CAError: there is no such answer now.
        """
        asked = {"version": have.version, "floor": floor, "krl": have.krl_version, "wait": wait}
        path = f"/hosts/{host.id}/policy?{urlencode(asked)}"
        answer = _Answer(self._call("GET", path, token=host.token, wait=wait))
        bundle = answer.optional_data("bundle")
        keys = answer.texts("keys")
        if len(keys) > MAX_STATEMENTS:
            raise CAError(f"the CA's answer has more than {MAX_STATEMENTS} statements about keys")
        return Update(
            version=answer.number("version"),
            bundle=bundle,
            bundle_signature="" if bundle is None else answer.text("bundle_signature"),
            fresh=answer.text("fresh").encode(),
            fresh_signature=answer.text("fresh_signature"),
            krl=answer.data("krl"),
            services=answer.texts("services"),
            keys=keys,
        )

    def acknowledge(self, host: Host, version: int, digest: str) -> None:
        """Tell the CA what this host obeys.

        Raises:
            CAError: it was not told.
        """
        path = f"/hosts/{host.id}/acknowledgement"
        self._call("POST", path, {"version": version, "digest": digest}, token=host.token)

    def certify(self, host: Host, keys: list[str]) -> tuple[str, ...]:
        """Ask for a certificate of this host for each of its keys, in their order.

        Raises:
            CAError: there is none now.
        """
        path = f"/hosts/{host.id}/certificates"
        answer = _Answer(self._call("POST", path, {"host_keys": keys}, token=host.token))
        return answer.texts("host_certificates")

    def tell_open(self, host: Host, census: list[tuple[tuple[str, str, str], int]]) -> None:
        """Tell the CA how many connections are open: by service, session and client's address.

        Raises:
            CAError: it was not told.
        """
        found = [
            {"service": service, "session": session, "address": address, "connections": count}
            for (service, session, address), count in census
        ]
        path = f"/hosts/{host.id}/connections"
        self._call("PUT", path, {"connections": found}, token=host.token)

    def report(self, host: Host, decisions: list[dict[str, int | str]]) -> None:
        """Tell the CA what was decided here.

        Raises:
            RejectedError: it does not take them.
            CAError: it was not told.
        """
        self._call(
            "POST", f"/hosts/{host.id}/decisions", {"decisions": decisions}, token=host.token
        )

    def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        token: str = "",
        wait: int = 0,
    ) -> bytes:
        connection = self._connect(wait + TIMEOUT)
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, self._path + path, data, headers)
            response = connection.getresponse()
            answer = _read(response)
        except (OSError, http.client.HTTPException) as error:
            raise CAError(f"{self._host}: {error or type(error).__name__}") from error
        finally:
            connection.close()
        if response.status not in (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT):
            kind = RejectedError if response.status in REJECTED else CAError
            kind = UnknownHostError if response.status == HTTPStatus.UNAUTHORIZED else kind
            raise kind(f"{self._host} answered {response.status}: {_reason(answer)}")
        return answer

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        if self._trust is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=timeout, context=self._trust
        )


class _Answer:
    """A JSON object whose fields are asked for by type."""

    def __init__(self, body: bytes) -> None:
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise CAError("the CA's answer is not JSON") from error
        if not isinstance(fields, dict):
            raise CAError("the CA's answer is not a JSON object")
        self._fields = fields

    def text(self, name: str) -> str:
        value = self._fields.get(name)
        if not isinstance(value, str) or not value.isascii():
            raise CAError(f"{name} is missing from the CA's answer, or is not text")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._fields.get(name)
        if not isinstance(value, list) or not all(
            isinstance(item, str) and item.isascii() for item in value
        ):
            raise CAError(f"{name} is missing from the CA's answer, or is not a list of text")
        return tuple(value)

    def number(self, name: str) -> int:
        value = self._fields.get(name)
        if type(value) is not int or value < 0:
            raise CAError(f"{name} is missing from the CA's answer, or is not a number")
        return value

    def data(self, name: str) -> bytes:
        try:
            return base64.b64decode(self.text(name), validate=True)
        except ValueError as error:
            raise CAError(f"{name} in the CA's answer is not base64") from error

    def optional_data(self, name: str) -> bytes | None:
        return None if self._fields.get(name) is None else self.data(name)


def is_loopback(hostname: str) -> bool:
    """Whether what is sent to `hostname` never leaves the machine."""
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return hostname == "localhost"


def _read(response: http.client.HTTPResponse) -> bytes:
    """The body, of bounded size and in bounded time."""
    deadline = time.monotonic() + MAX_TRANSFER
    parts = []
    size = 0
    while part := response.read1(CHUNK):
        parts.append(part)
        size += len(part)
        if size > MAX_ANSWER:
            raise CAError(f"the CA's answer is longer than {MAX_ANSWER} bytes")
        if time.monotonic() > deadline:
            raise CAError(f"the CA's answer took longer than {MAX_TRANSFER} s")
    if response.length:
        raise CAError("the CA's answer was cut short")
    answer = b"".join(parts)
    return _decompressed(answer) if response.getheader("Content-Encoding") == "gzip" else answer


def _decompressed(data: bytes) -> bytes:
    reader = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)  # of gzip
    try:
        answer = reader.decompress(data, MAX_ANSWER)
    except zlib.error as error:
        raise CAError("the CA's answer is not what it says that it is: gzip") from error
    if not reader.eof:
        raise CAError(f"the CA's answer was cut short, or is longer than {MAX_ANSWER} bytes")
    return answer


def _reason(answer: bytes) -> str:
    """What the CA says about its refusal, fit for one line of a log."""
    try:
        text = str(json.loads(answer)["error_description"])
    except (ValueError, KeyError, TypeError, RecursionError):
        text = "no reason given"
    return "".join(letter if letter.isprintable() else "?" for letter in text[:200])
