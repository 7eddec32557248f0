"""One connection by ssh, with our certificate, and what a host says that refuses it."""

import subprocess
import sys
from collections.abc import Sequence
from typing import IO, Any

from ca.client import stepup
from ca.client.place import Place
from ca.errors import InsufficientAuthentication, Misconfigured

FAILED = 255  # ssh's own status for a connection that failed or was refused
CHUNK = 4096  # bytes


def connect(
    place: Place, arguments: Sequence[str]
) -> tuple[int, InsufficientAuthentication | None]:
    """Run ssh. Returns its status, and what the host asks for if it refused for that.

    Its standard error is passed on as it comes, and read along.
    """
    command = ["ssh", *options(place), *arguments]
    try:
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
    except FileNotFoundError as error:
        raise Misconfigured("There is no ssh here. Install OpenSSH's client.") from error
    assert process.stderr is not None  # noqa: S101 a pipe was asked for
    with process:
        try:
            shown = _pass_on(process.stderr)
        except KeyboardInterrupt:
            # The terminal told ssh as well, which ends in its own way.
            process.wait()
            raise
    if process.returncode != FAILED:
        return _status(process.returncode), None
    return FAILED, stepup.of_refusal(shown.decode(errors="replace"))


def options(place: Place) -> list[str]:
    """What makes ssh show our certificate; the person's own configuration holds for the rest."""
    given = {
        "CertificateFile": f'"{place.certificate}"',
        "IdentityFile": f'"{place.key}"',
        "IdentitiesOnly": "yes",
    }
    return [word for name, value in given.items() for word in ("-o", f"{name}={value}")]


def _pass_on(stream: IO[Any]) -> bytes:
    """Copy ssh's standard error to ours until it ends; its beginning, where a refusal stands."""
    seen = b""
    while data := stream.read1(CHUNK):  # type: ignore[attr-defined] # a buffered reader
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()
        seen = (seen + data)[: stepup.MAX_REFUSAL]
    return seen


def _status(returncode: int) -> int:
    """As a shell tells it: 128 and the signal that ended the program."""
    return returncode if returncode >= 0 else 128 - returncode
