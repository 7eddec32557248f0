"""HTTP with the certificate authority: bounded in time, no redirects, errors as sentences."""

import platform
from dataclasses import dataclass
from ipaddress import ip_address
from json import loads
from typing import Any
from urllib.parse import urlsplit

from ca.errors import CAError, Denied, InvalidRequest, NotFound, Unavailable
from ca.words import safe

TIMEOUT = 20  # seconds for any one step
MAX_ANSWER = 4 << 20  # bytes
UNAVAILABLE = 500  # and above: not the caller's fault
TOO_MANY = 429


@dataclass(frozen=True)
class Answer:
    """The status, and the JSON of the body; None if it holds none."""

    status: int
    body: Any
    authenticate: str = ""
    """The header WWW-Authenticate."""

    def text(self, name: str) -> str:
        """The text `name` of the body; empty if it is not there or no text."""
        value = self.body.get(name) if isinstance(self.body, dict) else None
        return value if isinstance(value, str) else ""

    def describe(self) -> str:
        """What the authority says is wrong, fit for a terminal."""
        said = self.text("error_description") or self.text("error") or self.text("detail")
        return safe(said[:500]) or f"The certificate authority answered {self.status}."


def check_url(url: str) -> str:
    """Return the authority's URL as its tokens name it, without a slash at its end.

    Raises:
        InvalidRequest: tokens would cross the network in clear, or it is no URL of one.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise InvalidRequest("is not an address.") from error
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise InvalidRequest("must begin with https://; http is for loopback addresses only.")
    rest = parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None
    if parts.scheme not in ("http", "https") or not parts.hostname or rest:
        raise InvalidRequest("must be the authority's address, such as https://ca.example.")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def request(  # noqa: PLR0913 the parts of a request
    method: str,
    url: str,
    *,
    token: str = "",
    form: dict[str, str] | None = None,
    json: Any = None,
    timeout: float = TIMEOUT,
) -> Answer:
    """Ask, and read the answer, whatever its status.

    Raises:
        Unavailable: there is no answer, or none in HTTP.
    """
    import httpx2  # a tenth of a second, which commands without a request do not pay

    headers = {"User-Agent": _user_agent()}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    secure = url.startswith("https://")
    host = safe(urlsplit(url).netloc)
    data = bytearray()
    try:
        # The environment's proxies and CA files are for https, and so are the machine's authorities,
        # which take 30 ms to read; loopback needs none of them.
        with (
            httpx2.Client(timeout=timeout, trust_env=secure, verify=secure) as client,
            client.stream(method, url, headers=headers, data=form, json=json) as response,
        ):
            for part in response.iter_bytes():
                data += part
                if len(data) > MAX_ANSWER:
                    raise Unavailable(f"The answer of {host} does not end: tell its operator.")
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise Unavailable(
            f"The certificate authority at {host} cannot be reached ({safe(str(error))})."
            " Check the network and try again."
        ) from error
    authenticate = response.headers.get("www-authenticate", "")
    return Answer(response.status_code, _json(bytes(data)), authenticate)


def _user_agent() -> str:
    """What people find this program by among their sessions, and are shown before they allow it."""
    from importlib.metadata import version

    return f"amrgate/{version('amrgate')} ({platform.system()})"


def _json(data: bytes) -> Any:
    """What is in it; None if it is no JSON, or some that is meant to break its reader."""
    try:
        return loads(data)
    except (ValueError, RecursionError):
        return None


def error_of(answer: Answer) -> CAError:
    """The error that an answer of 400 or above is."""
    if answer.status >= UNAVAILABLE or answer.status == TOO_MANY:
        said = answer.describe()  # mostly also when to come back
        return Unavailable(said if " again" in said else f"{said} Try again later.")
    kind = {403: Denied, 404: NotFound}.get(answer.status, InvalidRequest)
    return kind(answer.describe())
