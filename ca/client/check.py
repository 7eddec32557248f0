"""What `ssh` waits for at each connection: is the certificate still good?

Run under `-IS` by a launcher, so nothing is imported that the answer does not need. There is no
network here: what has ended is renewed by the whole program, which takes this one's place.
"""

import posix
import time

from sshd_hook.certificate import MAX_BLOB, parse
from sshd_hook.wire import WireError, unb64

MARGIN = 120  # seconds that a certificate must still be good for
MAX_LINE = MAX_BLOB * 2  # bytes

TEXT = """#!{python} -IS
# ssh runs this at each connection to the hosts of {ca}. Written by `amrgate ssh-config install`.
import sys

sys.path.insert(0, {package!r})
try:
    from ca.client.check import main
except ImportError:
    sys.exit("amrgate is not where it was: run `amrgate ssh-config install` again.")
main({certificate!r}, {command!r}, {home!r})
"""


def main(certificate: str, command: "list[str]", home: str) -> None:
    """Return if the certificate file is good; else become `command`, which renews it.

    `home` is the folder above amrgate's own, which `command` finds by its environment.
    """
    if seconds_left(certificate, time.time()) <= MARGIN:
        environment = {**posix.environ, b"XDG_CONFIG_HOME": home.encode()}
        posix.execve(command[0], command, environment)


def seconds_left(path: str, now: float) -> float:
    """For how long the certificate in the file is still valid; 0 if there is none."""
    try:
        with open(path, "rb") as file:
            line = file.read(MAX_LINE)
        certificate, _, _ = parse(unb64(line.split()[1].decode()))
    except (OSError, IndexError, UnicodeDecodeError, WireError):
        return 0
    return certificate.valid_before - now
