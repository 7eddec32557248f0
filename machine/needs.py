"""What a private machine needs of this one."""

import os
import shlex
import shutil
import stat
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
READ = ("", "ca/__init__.py", ".venv", ".venv/pyvenv.cfg")  # as git and venv made them
NAME_SERVICE = "libnss_systemd.so.2"


class MachineError(Exception):
    """The private machine cannot be made or used; the message says what is missing."""


def check(checkout: Path) -> None:
    """See that the programs are here, and that the machine's people will be able to run ours.

    Raises:
        MachineError: they are not; the message says what to do.
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
    if any(not path.stat().st_mode & stat.S_IROTH for path in map(checkout.joinpath, READ)):
        raise MachineError(
            "Others than you may not read this checkout, and the private machine has other users."
            f" Run:\n    chmod -R go+rX {shlex.quote(str(checkout))}"
        )
