"""Where secrets are looked for, and in which shapes."""

from __future__ import annotations

import base64
import json
import time
from email import message_from_bytes, policy
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
from sqlalchemy.engine import make_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.drills.nodes import Nodes

    Secret = tuple[str, bytes]

MAILED = "mailed "
"""So begin the names of those that are sent to somebody: one message has each, its own."""

_MAIL = "/mail/"


def places(nodes: Nodes) -> Iterator[Secret]:
    """Where nothing secret may be: logs, the database, the data folders, what /proc shows."""
    time.sleep(0.5)  # for the last line of a log
    for path in sorted(nodes.folder.rglob("*")):
        if path.is_file() and path.name != "passphrase":
            yield str(path.relative_to(nodes.folder)), _read(path)
    for number, process in enumerate(nodes.processes):
        for name in ("cmdline", "environ"):
            with open(f"/proc/{process.pid}/{name}", "rb") as file:  # noqa: PTH123 no real file
                yield f"{name} of node {number}", file.read()
    url = make_url(nodes.services.settings.database)
    conninfo = f"host={url.query['host']} user=postgres dbname={url.database}"
    with psycopg.connect(conninfo) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        for (table,) in tables:
            with connection.cursor().copy(f'COPY "{table}" TO STDOUT'.encode()) as rows:
                yield f"table {table}", b"".join(map(bytes, rows))


def found(secrets: Mapping[str, bytes], where: Mapping[str, bytes]) -> list[str]:
    """Which secret is where, in words."""
    return sorted(
        hit for name, secret in secrets.items() for hit in _hits(name, _shapes(secret), where)
    )


def _hits(name: str, shapes: set[bytes], where: Mapping[str, bytes]) -> list[str]:
    hits = [place for place, content in where.items() if any(shape in content for shape in shapes)]
    if name.startswith(MAILED):
        letters = [place for place in hits if _MAIL in place]
        if len(letters) != 1:  # none: then whoever looks is blind
            return [f"{name} in {len(letters)} messages"]
        hits.remove(letters[0])
    return [f"{name} in {place}" for place in hits]


def _read(path: Path) -> bytes:
    """What is in a file; of a message, also as a mail program shows it."""
    content = path.read_bytes()
    if path.suffix != ".eml":
        return content
    text: str = message_from_bytes(content, policy=policy.default).get_content()
    return content + text.encode()


def _shapes(secret: bytes) -> set[bytes]:
    """A secret as it is, and as a log, a URL or a dump would have it."""
    whole = base64.b64encode(secret).rstrip(b"=")
    # The last digit of base64 depends on what follows.
    cut = whole[: len(secret) * 8 // 6]
    return {
        secret,
        quote(secret).encode(),
        secret.hex().encode(),
        cut,
        json.dumps(secret.decode("latin-1")).encode()[1:-1],
    }
