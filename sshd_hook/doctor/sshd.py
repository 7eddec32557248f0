"""sshd itself: its version, whether the one that runs is the one on the disk, its host certificates."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess

from sshd_hook import preflight, questions
from sshd_hook.certificate import HOST, is_valid_at, parse
from sshd_hook.changes import ENVIRONMENT
from sshd_hook.doctor.examined import PATIENCE, SshdError
from sshd_hook.doctor.findings import Finding
from sshd_hook.wire import b64, unb64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sshd_hook.doctor.examined import Examined

OLDEST = (8, 2)
VERSION = re.compile(r"OpenSSH_(\d+)\.(\d+)")
RENEWED_AT = 5 / 6  # of its life; the agent does it at two thirds


def check_configuration(host: Examined) -> Iterator[Finding]:
    """That sshd takes it."""
    try:
        host.sshd()
    except SshdError as error:
        yield Finding("sshd-config-invalid", str(error))


def check_version(_host: Examined) -> Iterator[Finding]:
    """That it is not too old. Versions without `-V` say it in their complaint about it."""
    words = (preflight.SSHD, "-V")
    done = subprocess.run(
        words, capture_output=True, env=ENVIRONMENT, text=True, timeout=PATIENCE, check=False
    )
    found = VERSION.search(done.stderr)
    if found and (int(found[1]), int(found[2])) < OLDEST:
        yield Finding("sshd-old", found[0])


def check_running(host: Examined) -> Iterator[Finding]:
    """That the sshd which runs, if one does, is the one on the disk, with what is there."""
    pid_file = host.sshd().get("pidfile")
    try:
        with open(pid_file, encoding="ascii") as file:
            pid = int(file.read())
        running = os.stat(f"/proc/{pid}/exe")
        started = os.stat(pid_file).st_mtime  # it writes that file again when it is reloaded
        program = os.readlink(f"/proc/{pid}/exe")
    except (OSError, ValueError):
        return  # none runs, or another program starts it for each connection
    if not program.startswith(preflight.SSHD):
        return  # the number is another process's by now
    if not os.path.samestat(running, os.stat(preflight.SSHD)):
        yield Finding("sshd-binary-old", f"process {pid}")
    for path in questions.files(questions.CONFIGURATION):
        if os.stat(path).st_mtime > started:
            yield Finding("sshd-config-old", path)
            return


def check_host_certificates(host: Examined) -> Iterator[Finding]:
    """That each is readable, valid for a while yet, and for a key that sshd has."""
    keys = set(_public_keys(host.sshd().all("hostkey")))
    for path in host.sshd().all("hostcertificate"):
        try:
            with open(path, encoding="ascii") as file:
                found = parse(unb64(file.read().split()[1]))[0]
        except (OSError, ValueError, IndexError) as error:
            yield Finding("host-certificate-missing", f"{path}: {error}")
            continue
        life = found.valid_before - found.valid_after
        if found.kind != HOST or not is_valid_at(found, host.now):
            yield Finding("host-certificate-expired", path)
        elif host.now > found.valid_after + life * RENEWED_AT:
            days = (found.valid_before - host.now) // 86400
            yield Finding("host-certificate-expiring", f"{path}, in {days} days")
        if b64(found.public_key) not in keys:
            yield Finding("host-certificate-key", path)


def _public_keys(paths: list[str]) -> Iterator[str]:
    """The public halves of sshd's keys, in base64."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError), open(f"{path}.pub", encoding="ascii") as file:
            yield file.read().split()[1]


CHECKS: tuple[Callable[[Examined], Iterator[Finding]], ...] = (
    check_configuration,
    check_version,
    check_running,
    check_host_certificates,
)
