"""The forced command of a service with an entry: it runs as the service's account.

`enter SERVICE` is on the line that the hook printed, so the name is a checked one. It becomes the
entry's command, with a shell inside for what the client asked for; nothing of the host's is run
after that. Without an entry, which may have been removed meanwhile, nobody gets in.
"""

import os
import sys

from sshd_hook import entry, paths
from sshd_hook.names import parse_service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

ASKED = "SSH_ORIGINAL_COMMAND"
CANNOT_RUN = 126  # as a shell ends


def main() -> "NoReturn":
    """Become the entry's command, or end with a line that says why not."""
    try:
        (name,) = sys.argv[1:]
        words = command(name, os.environ.get(ASKED))
        os.execv(words[0], words)  # noqa: S606 - a shell is what must not be in between
    except (OSError, ValueError, paths.UntrustedError) as error:
        sys.stderr.write(f"amrgate: there is no way into this service now: {error}\n")
    sys.exit(CANNOT_RUN)


def command(name: str, asked: "str | None") -> "tuple[str, ...]":
    """The words of the command for a service, by the host's configuration.

    Raises:
        ValueError: it has no entry, or the file is not written as it must be.
        OSError, paths.UntrustedError: the file is not there, or not root's.
    """
    service = parse_service(name)
    if service is None:
        raise ValueError("not the name of a service")
    paths.check_folders(paths.CONFIGURATION)
    text = paths.read_trusted(paths.ENTRY, entry.MAX_SIZE).decode("utf-8", "replace")
    words = entry.find(text, service.record)
    if words is None:
        raise ValueError("it has no entry")
    return (*words, *entry.inside(asked))
