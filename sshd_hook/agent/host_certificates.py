"""Renewing this host's certificates, by which clients know it, long before they end.

One that is refused, or that sshd does not take, changes nothing: the old one stays in place.
"""

from __future__ import annotations

import contextlib
import glob
import subprocess
import time
from dataclasses import dataclass

from sshd_hook import atomic, paths, service
from sshd_hook.agent import keygen, poll
from sshd_hook.certificate import HOST, Certificate, is_valid_at, parse
from sshd_hook.changes import ChangeError
from sshd_hook.wire import Reader, b64, unb64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sshd_hook.agent.host import Host

EVERY = 3600.0  # seconds between two looks; the CA may be away for days
DAY = 86400
ENDING = "-host-cert.pub"
FAILURES = (
    poll.CAError,
    keygen.KeygenError,
    ChangeError,
    subprocess.SubprocessError,
    OSError,
    ValueError,
)


@dataclass(frozen=True)
class Installed:
    """A certificate in place, where sshd finds it, and its line."""

    path: str
    line: str
    certificate: Certificate

    @property
    def key_line(self) -> str:
        """The public key that it is for, as `ssh-keygen` writes keys."""
        key = self.certificate.public_key
        return f"{Reader(key).text()} {b64(key)}"

    def is_due(self, now: int) -> bool:
        """Whether two thirds of its life are over."""
        begin, end = self.certificate.valid_after, self.certificate.valid_before
        return now >= begin + (end - begin) * 2 // 3

    def days_left(self, now: int) -> int:
        """Whole days until it ends, 0 if it has."""
        return max(0, (self.certificate.valid_before - now) // DAY)


def follow(known: Host, ca: poll.CA) -> None:
    """Renew for ever."""
    while True:
        try:
            renew(known, ca, int(time.time()))
        except FAILURES as error:
            service.log(f"the host certificates are not renewed: {error}")
        time.sleep(EVERY)


def installed() -> list[Installed]:
    """The certificates that `enroll` or `renew` put in place.

    Raises:
        OSError, ValueError: one cannot be read.
    """
    found = []
    for path in sorted(glob.glob(f"{glob.escape(paths.CONFIGURATION)}/*{ENDING}")):
        with open(path, encoding="ascii") as file:
            line = file.read().strip()
        found.append(Installed(path, line, read(line)))
    return found


def read(line: str) -> Certificate:
    """The certificate in a line. Its signature is for ssh-keygen to check.

    Raises:
        ValueError: there is none.
    """
    return parse(unb64(line.split(" ")[1] if " " in line else ""))[0]


def renew(known: Host, ca: poll.CA, now: int) -> int:
    """Renew those of our certificates that are due; return how many there were.

    Raises:
        poll.CAError: the CA is away, or what it gave is not to be taken.
        keygen.KeygenError, ChangeError: ssh-keygen or sshd does not take it.
        OSError, ValueError: a file cannot be read or written.
    """
    due = [one for one in installed() if one.is_due(now)]
    if not due:
        return 0
    lines = ca.certify(known, [one.key_line for one in due])
    if len(lines) != len(due):
        raise poll.CAError(f"{len(lines)} certificates came for {len(due)} keys")
    for old, line in zip(due, lines):
        check(read(line), old.certificate, now)
    _replace(due, lines)
    service.log(f"renewed {len(due)} host certificates")
    return len(due)


def check(new: Certificate, old: Certificate, now: int) -> None:
    """Check that clients would take `new` for what they took `old` for.

    Raises:
        poll.CAError: they would not, or not for longer.
    """
    same = ("public_key", "principals", "key_id", "signature_key", "critical_options")
    for name in ("kind", *same):
        if getattr(new, name) != getattr(old, name):
            raise poll.CAError(f"the CA gave a certificate of another {name.replace('_', ' ')}")
    if new.kind != HOST:
        raise poll.CAError("the CA gave a certificate that is no host's")
    if not is_valid_at(new, now) or new.valid_before <= old.valid_before:
        raise poll.CAError("the CA gave a certificate that is not valid for longer")


def _replace(due: list[Installed], lines: tuple[str, ...]) -> None:
    from sshd_hook.prepare import reload_sshd  # which starts agents, too

    try:
        for old, line in zip(due, lines):
            atomic.write(old.path, f"{line}\n".encode(), atomic.PUBLIC, keygen.check_certificate)
        reload_sshd()
    except BaseException:
        for old in due:
            with contextlib.suppress(OSError):
                atomic.write(old.path, f"{old.line}\n".encode(), atomic.PUBLIC)
        raise
