"""`python -m tests.releases.apparmor`: Debian 12 with AppArmor, under user-mode Linux.

The kernel is Debian's package of it. The bare system is that of the other parts, on a disk of its
own; the checkout and its .venv are shown inside, which has the same Python. Needs root, as they do.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import inside
from machine.needs import MachineError
from machine.private import CHECKOUT
from tests.releases import booted, pools, systems

RELEASE = "bookworm"
PACKAGES = ("apparmor", "apparmor-profiles")
KERNEL = "user-mode-linux"
KEPT = systems.KEPT / f"{RELEASE}-apparmor"
DISK = "1500M"
SECONDS = 1200.0
# Between the kernel's own lines.
OURS = re.compile(r"^(  ok|  FAILED|Traceback|  File|[\w.]*Error|confined:).*", re.MULTILINE)


def main() -> int:
    """Boot it and show the steps; 0 if all of them went as they must."""
    try:
        booted.check()
        base = systems.system(RELEASE)
        fetch(base)
    except MachineError as error:
        sys.exit(f"releases: {error}")
    with tempfile.TemporaryDirectory() as folder:
        _, package = systems.packages(Path(folder))
        for old in KEPT.glob("amrgate*.deb"):
            old.unlink()
        (KEPT / package.name).write_bytes(package.read_bytes())
        disk = Path(folder) / "disk"
        subprocess.run(("truncate", "-s", DISK, disk), check=True)
        subprocess.run(("mke2fs", "-q", "-t", "ext4", "-F", "-d", base, disk), check=True)
        said = boot(disk)
    print(f"{RELEASE}, AppArmor:")
    print("\n".join(match[0] for match in OURS.finditer(said)))
    return 0 if "confined: 0 failed" in said else 1


def fetch(base: Path) -> None:
    """Get the packages once, and the kernel out of its own.

    Raises:
        MachineError: apt cannot give them.
    """
    if not (KEPT / "made").exists():
        print(f"Fetching AppArmor and {KERNEL} to {KEPT}", file=sys.stderr)
        KEPT.mkdir(parents=True, exist_ok=True)
        apt = pools.apt_of(RELEASE, base, KEPT / "apt")
        apt.download(PACKAGES, KEPT)
        (KEPT / "kernel").mkdir(exist_ok=True)
        apt.download((KERNEL,), KEPT / "kernel")
        (package,) = (KEPT / "kernel").glob("*.deb")
        subprocess.run(("dpkg-deb", "-x", package, KEPT / "kernel"), check=True)
        (KEPT / "made").touch()


def boot(disk: Path) -> str:
    """Let the system run to its end; what its console showed."""
    place = inside.CHECKOUT
    start = (
        f"mkdir -p {place} && mount -r -t hostfs -o {CHECKOUT} none {place}"
        f" && exec sh {place}/tests/releases/guest.sh"
    )
    words = (
        *(KEPT / "kernel/usr/bin/linux.uml", "mem=900M", f"ubd0={disk}", "root=/dev/ubda", "rw"),
        *("security=apparmor", "con=null", "con0=null,fd:1", "init=/bin/sh", "--", "-c"),
        f'"{start}"',
    )
    ran = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
    )
    return ran.stdout.decode("utf-8", "replace").replace("\r", "")


if __name__ == "__main__":
    sys.exit(main())
