"""Lay out a Debian system and become its systemd: runs as pid 1 of fresh namespaces.

`boot.py BASE LAYER`: the system is the folder BASE, which stays as it is; what is written goes to
LAYER/upper, and is there again at the next boot. Under `/usr/bin/python3 -IS`.
"""

import os
import subprocess
import sys
from pathlib import Path

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
# Of the kernel's, which is everybody's: to be looked at, not to be set.
READ_ONLY = "proc/sys"
RUN_SIZE = "size=48M"  # small, for one test fills it
BOUNDS = "-sys_module,-sys_time,-sys_rawio,-syslog,-mac_admin,-mac_override"


def main(base: str, layer: str) -> None:
    """Mount everything, make it the root, and start what boots it."""
    root = Path(layer) / "root"
    for name in ("root", "upper", "work"):
        (Path(layer) / name).mkdir(exist_ok=True)
    mount("--make-rprivate", "/")
    layers = f"lowerdir={base},upperdir={layer}/upper,workdir={layer}/work"
    mount("-t", "overlay", "-o", layers, "release", str(root))
    mount("-t", "proc", "proc", str(root / "proc"))
    mount("-t", "sysfs", "-o", "ro", "sys", str(root / "sys"))
    mount("-t", "cgroup2", "cgroup2", str(root / "sys/fs/cgroup"))
    mount("-t", "tmpfs", "-o", f"mode=0755,{RUN_SIZE}", "run", str(root / "run"))
    devices(root / "dev")
    mount("--bind", str(root / READ_ONLY), str(root / READ_ONLY))
    mount("-o", "remount,bind,ro", str(root / READ_ONLY))
    (root / "old").mkdir(exist_ok=True)
    subprocess.run(("pivot_root", str(root), str(root / "old")), check=True)
    os.chdir("/")
    subprocess.run(("umount", "-l", "/old"), check=True)
    words = ("setpriv", f"--bounding-set={BOUNDS}", f"--inh-caps={BOUNDS}", "/sbin/init")
    os.execve(
        "/usr/bin/setpriv",
        words,
        {"container": "amrgate-releases", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )


def devices(place: Path) -> None:
    """A /dev with terminals of its own."""
    mount("-t", "tmpfs", "-o", "mode=0755", "dev", str(place))
    for name in DEVICES:
        (place / name).touch()
        mount("--bind", f"/dev/{name}", str(place / name))
    for name in ("pts", "shm"):
        (place / name).mkdir()
    options = "newinstance,ptmxmode=0666,mode=0620,gid=5"
    mount("-t", "devpts", "-o", options, "pts", str(place / "pts"))
    mount("-t", "tmpfs", "-o", "mode=1777", "shm", str(place / "shm"))
    for name, target in LINKS.items():
        (place / name).symlink_to(target)


def mount(*arguments: str) -> None:
    """Run the mount command, or fail."""
    subprocess.run(("mount", *arguments), check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
