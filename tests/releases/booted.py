"""A Debian system with its own systemd, in namespaces, beside a private machine's network."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from machine.needs import MachineError
from machine.private import Machine

if TYPE_CHECKING:
    from machine.private import PrivateMachine

BOOT = Path(__file__).with_name("boot.py")
GROUPS = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))  # a hybrid machine's, a new one's
MEMORY = "/dev/shm"
PATIENCE = 120.0  # seconds for booting
UP = ("running", "degraded")


class Booted(Machine):
    """The system in `base`, booted; it stays as it is, and what is written is gone at the end."""

    def __init__(self, base: Path, beside: PrivateMachine) -> None:
        self._base = base
        self._network = next(word for word in beside.prefix if word.startswith("--net="))
        self._layer = Path(tempfile.mkdtemp(prefix="amrgate-release.", dir=MEMORY))
        self._group = _groups() / self._layer.name
        self.boot()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()  # unshare's --kill-child takes the system with it
        self._process.wait()
        for _ in range(50):
            with contextlib.suppress(OSError):
                for path in sorted(self._group.rglob("*"), reverse=True):
                    if path.is_dir():
                        path.rmdir()
                self._group.rmdir()
                break
            time.sleep(0.1)
        shutil.rmtree(self._layer)

    @property
    def prefix(self) -> tuple[str, ...]:
        """Into its namespaces."""
        space = f"/proc/{self._process.pid}/ns"
        names = ("mnt:mount", "net:net", "uts:uts", "ipc:ipc", "cgroup:cgroup")
        words = [f"--{option}={space}/{file}" for file, option in (n.split(":") for n in names)]
        return ("nsenter", *words, f"--pid={space}/pid_for_children")

    def path(self, inside: str) -> Path:
        """Its place in the system."""
        return Path(f"/proc/{self._process.pid}/root{inside}")

    def boot(self) -> None:
        """Start systemd and wait until it has started everything.

        Raises:
            MachineError: it does not.
        """
        self._group.mkdir(exist_ok=True)
        spaces = ("--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child")
        program = ("/usr/bin/python3", "-IS", str(BOOT), str(self._base), str(self._layer))
        enter = f'echo $$ > {self._group}/cgroup.procs; exec "$@"'
        words = ("sh", "-c", enter, "sh", "nsenter", self._network, "unshare", *spaces, *program)
        with (self._layer / "console").open("ab") as console:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=console, stderr=console, umask=0o022
            )
        deadline = time.monotonic() + PATIENCE
        while self.run("systemctl", "is-system-running").out.strip() not in UP:
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise MachineError(f"it does not boot: {(self._layer / 'console').read_text()}")
            time.sleep(0.2)

    def reboot(self) -> None:
        """What `reboot` does: all processes and /run are gone, the disk is as it was."""
        self.run("systemctl", "reboot", "--no-block")
        self._process.wait(PATIENCE)
        self.boot()

    def put(self, file: Path) -> str:
        """Copy a file there; its path inside."""
        inside = f"/root/{file.name}"
        shutil.copy(file, self.path(inside))
        return inside


def _groups() -> Path:
    """Where control groups of version 2 are."""
    for folder in GROUPS:
        if (folder / "cgroup.controllers").exists():
            return folder
    sys.exit("control groups of version 2 are not mounted")


def check() -> None:
    """See that this machine can do it.

    Raises:
        MachineError: it cannot; the message says what is missing.
    """
    if os.geteuid() != 0:
        raise MachineError("this needs root")
    for name in ("debootstrap", "dpkg-deb", "unshare", "nsenter", "setpriv"):
        if not shutil.which(name):
            raise MachineError(f"{name} is missing: apt-get install --no-install-recommends {name}")
