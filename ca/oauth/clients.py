"""The clients: public ones, which have no secret, and come back by a loopback address."""

import re
from base64 import b64decode
from collections.abc import Mapping
from urllib.parse import unquote_plus

from ca.errors import InvalidRequest, NotAuthenticated

# RFC 8252, section 7.3: the port is the client's choice. Not "localhost" (section 8.3), and not
# [::1], which a content security policy cannot name. One spelling, so that no parser is fooled.
_LOOPBACK = re.compile(r"http://127\.0\.0\.1:([1-9][0-9]{0,4})((?:/[a-z0-9_-]+)*/?)")
MAX_PORT = 65535
MAX_REDIRECT = 255  # bytes


class InvalidClient(NotAuthenticated):
    """No client of ours, or one that claims to have a secret."""

    code = "invalid_client"


def is_redirect(uri: str) -> bool:
    """Whether a public client may be sent back to `uri`."""
    found = _LOOPBACK.fullmatch(uri)
    return found is not None and int(found[1]) <= MAX_PORT and len(uri) <= MAX_REDIRECT


def authenticate(clients: tuple[str, ...], authorization: str, form: Mapping[str, str]) -> str:
    """The id of the public client that makes a request.

    It may name itself by HTTP Basic with an empty secret, by `client_id` with an empty
    `client_secret`, or by `client_id` alone (RFC 6749, section 2.3.1).

    Raises:
        InvalidClient: there is no such client, or it sent a secret: it was meant for another.
        InvalidRequest: it gave two different ids.
    """
    named = form.get("client_id", "")
    secret = form.get("client_secret", "")
    if authorization:
        by_header, by_header_secret = _basic(authorization)
        if named and named != by_header:
            raise InvalidRequest("The client names itself twice, differently.")
        named, secret = by_header, secret or by_header_secret
    if secret or named not in clients:
        raise InvalidClient("There is no such client, or its secret is wrong.")
    return named


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise InvalidClient("A client names itself by HTTP Basic, or in the form.")
        name, colon, secret = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError as error:  # not ASCII, not base64, or not UTF-8 below it
        raise InvalidClient("The Authorization header cannot be read.") from error
    if not colon:
        raise InvalidClient("The Authorization header cannot be read.")
    return unquote_plus(name), unquote_plus(secret)
