"""What a private machine needs of this one."""

import os
import shutil
from pathlib import Path

PROGRAMS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "sftp": "openssh-client",
    "rsync": "rsync",
    "script": "bsdutils",
}
WITHOUT_ROOT = {"pivot_root": "util-linux", "newuidmap": "uidmap", "newgidmap": "uidmap"}
NAME_SERVICE = "libnss_systemd.so.2"


class MachineError(Exception):
    """The private machine cannot be made or used; the message says what is missing."""


def check() -> None:
    """See that the programs are here.

    Raises:
        MachineError: some are not; the message names the Debian packages that have them.
    """
    programs = PROGRAMS if os.geteuid() == 0 else PROGRAMS | WITHOUT_ROOT
    search = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = {package for name, package in programs.items() if not shutil.which(name, path=search)}
    if not any(Path("/usr/lib").glob(f"*/{NAME_SERVICE}")):
        missing.add("libnss-systemd")
    if missing:
        words = " ".join(sorted(missing))
        raise MachineError(
            "These Debian packages are missing. As root, run:\n"
            f"    apt-get install --no-install-recommends {words}"
        )
