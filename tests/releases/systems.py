"""Bare Debian systems, made once, and packages of ours to put on them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from machine.private import CHECKOUT

KEPT = CHECKOUT / "build" / "releases"
RELEASES = ("bullseye", "bookworm", "trixie")
PACKAGES = (
    *("openssh-server", "openssh-client", "libnss-systemd", "systemd", "systemd-sysv", "dbus"),
    *(
        "libpam-systemd",
        "python3",
        "python3-apt",
        "iproute2",
        "procps",
        "rsync",
        "sudo",
        "ca-certificates",
    ),
)
ANSIBLE = KEPT / "ansible"  # of PyPI: Debian 12's own cannot work on Debian 13
LOCK = Path(__file__).with_name("ansible.lock")
RENAMED = ("log", "journal")  # a module, and what it was called in the version before
SOURCES = ("scripts", "debian", "sshd_hook", "pyproject.toml")


def system(release: str) -> Path:
    """A folder with that release, as debootstrap makes it, and the .deb files that it is made of."""
    folder = KEPT / release
    made = KEPT / f"{release}.made"
    if not made.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print(f"Making a bare {release} in {folder}", file=sys.stderr)
        words = ("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}")
        with (KEPT / f"{release}.log").open("wb") as log:
            subprocess.run((*words, release, folder), check=True, stdout=log, stderr=log)
        made.touch()
    return folder


def ansible() -> None:
    """Install Ansible into an environment of its own, if it is not there."""
    if not (ANSIBLE / "made").exists():
        print(f"Installing Ansible in {ANSIBLE}", file=sys.stderr)
        subprocess.run((sys.executable, "-m", "venv", "--clear", ANSIBLE), check=True)
        install = ("-m", "pip", "install", "-q", "--require-hashes", "-r", LOCK)
        subprocess.run((ANSIBLE / "bin" / "python", *install), check=True)
        (ANSIBLE / "made").touch()


def packages(folder: Path) -> tuple[Path, Path]:
    """Our package in two versions: the older one has a module by another name."""
    older = folder / "older"
    for name in SOURCES:
        source = CHECKOUT / name
        older.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, older / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, older / name)
    new, old = RENAMED
    (older / "sshd_hook" / f"{new}.py").rename(older / "sshd_hook" / f"{old}.py")
    for path in (older / "sshd_hook").rglob("*.py"):
        text = path.read_text()
        text = text.replace(f"sshd_hook.{new} ", f"sshd_hook.{old} ")
        path.write_text(text.replace(f'".{new}"', f'".{old}"'))
    return _build(older, folder, "0.0.1"), _build(CHECKOUT, folder, "0.0.2")


def _build(checkout: Path, folder: Path, version: str) -> Path:
    words = ("/usr/bin/python3", checkout / "scripts" / "deb.py", folder, "--version", version)
    environment = {"PATH": "/usr/bin:/bin", "SOURCE_DATE_EPOCH": "1700000000"}
    ran = subprocess.run(words, check=True, capture_output=True, text=True, env=environment)
    return Path(ran.stdout.strip())
