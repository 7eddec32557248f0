"""Forms, read strictly: each name once, and only where the body says that it is one."""

from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from ca.errors import InvalidRequest

MAX_FIELDS = 40
MEDIA_TYPE = "application/x-www-form-urlencoded"


def fields(encoded: str) -> dict[str, str]:
    """The fields of a form or of a URL's query.

    Raises:
        InvalidRequest: it cannot be read, or a name stands twice (RFC 6749, section 3.1).
    """
    try:
        pairs = parse_qsl(
            encoded, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError as error:
        raise InvalidRequest("The parameters cannot be read.") from error
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidRequest("A parameter stands twice.")
    return found


async def _of_body(request: Request) -> dict[str, str]:
    # Other types can be sent from any page on the web, without the browser asking us first.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise InvalidRequest(f"The body must be {MEDIA_TYPE}.")
    body = await request.body()
    try:
        return fields(body.decode())
    except UnicodeDecodeError as error:
        raise InvalidRequest("The parameters cannot be read.") from error


Form = Annotated[dict[str, str], Depends(_of_body)]
"""A route's parameter of this type is given the fields of the form in the body."""
