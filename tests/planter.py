"""Changing a host for a test, and changing it back to the letter."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from sshd_hook import bundle as bundles
from sshd_hook import paths
from tests.hosts import keygen, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.hosts import Host

FIRST = "/etc/ssh/sshd_config.d/00-a.conf"  # what sshd reads before our file, and after it
LAST = "/etc/ssh/sshd_config.d/zz.conf"
HOST_CERTIFICATE = f"{paths.CONFIGURATION}/ssh-ed25519-host-cert.pub"
SSHD_LOG = "/var/log/sshd.log"


@contextmanager
def planting(host: Host) -> Iterator[Planter]:
    """Whatever is changed in here is undone at the end, the last first."""
    with ExitStack() as undo:
        yield Planter(host, undo)


class Planter:
    """Changes to a host, which `planting` undoes."""

    def __init__(self, host: Host, undo: ExitStack) -> None:
        self.host = host
        self._undo = undo

    def undo(self, action: Callable[..., object], *arguments: object) -> None:
        self._undo.callback(action, *arguments)

    def path(self, inside: str) -> Path:
        return self.host.machine.path(inside)

    def run(self, *command: str) -> str:
        return self.host.machine.check(*command)

    def write(self, inside: str, data: str | bytes) -> None:
        """Replace what is in a file, or make it."""
        path = self.path(inside)
        if path.exists():
            self.undo(path.write_bytes, path.read_bytes())
        else:
            self.undo(path.unlink)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())

    def edit(self, inside: str, change: Callable[[str], str]) -> None:
        before = self.path(inside).read_text()
        after = change(before)
        assert after != before
        self.write(inside, after)

    def replace(self, inside: str, old: str, new: str) -> None:
        self.edit(inside, lambda text: text.replace(old, new))

    def away(self, inside: str) -> Path:
        """Move a file aside; return where it is now."""
        path = self.path(inside)
        aside = path.with_name(f"{path.name}.aside")
        path.rename(aside)
        self.undo(aside.rename, path)
        return aside

    def mode(self, inside: str, mode: int) -> None:
        path = self.path(inside)
        self.undo(path.chmod, path.stat().st_mode & 0o7777)
        path.chmod(mode)

    def owner(self, inside: str, uid: int) -> None:
        path = self.path(inside)
        self.undo(os.chown, path, path.stat().st_uid, -1)
        os.chown(path, uid, -1)

    def mount(self, inside: str, *arguments: str) -> None:
        self.run("mount", *arguments, inside)
        self.undo(self.run, "umount", "-l", inside)

    def cover(self, inside: str, data: bytes) -> None:
        """Put another program over one that is on a read-only disk."""
        self.write("/run/cover", data)
        self.mode("/run/cover", 0o755)
        self.mount(inside, "--bind", "/run/cover")

    def sshd(self, text: str, *, last: bool = False) -> None:
        """Let sshd read this before our file, or also after it."""
        self.write(FIRST, text)
        if last:
            self.write(LAST, text)

    def for_services(self, *settings: str, match: str = "User *") -> None:
        """Let a block before ours, and one after it, set something for services."""
        lines = "".join(f"    {setting}\n" for setting in settings)
        self.sshd(f"Match {match}\n{lines}", last=True)

    def start_sshd(self) -> None:
        pid = self.host.machine.spawn("/usr/sbin/sshd", "-D", log=SSHD_LOG)
        self.undo(wait_for, lambda: not self.path("/run/sshd.pid").exists())
        self.undo(self.run, "kill", str(pid))
        wait_for(self.path("/run/sshd.pid").exists)

    def state(self, **changes: Any) -> None:
        """Let the CA's word about the policy in place be another one."""
        data = self.host.read(paths.BUNDLE)
        fields = {"version": bundles.from_bytes(data).version} | changes
        self.write(paths.FRESH, self.host.ca.statement(data, **fields))
        came = fields.get("issued_at", time.time())
        os.utime(self.path(paths.FRESH), (came, came))

    def certify_host(self, validity: str, key: bytes | None = None) -> None:
        self.write(HOST_CERTIFICATE, host_certificate(self.host, validity, key))


def host_certificate(host: Host, validity: str = "-1h:+30d", key: bytes | None = None) -> str:
    """A certificate for the host's key, or another's, by a CA of its own."""
    folder = host.ca.directory
    public = host.read("/etc/ssh/ssh_host_ed25519_key.pub") if key is None else key
    (folder / "host.pub").write_bytes(public)
    words = ("-q", "-s", folder / "other", "-h", "-I", "ssh1", "-n", "ssh.acme.example")
    keygen(*words, "-V", validity, folder / "host.pub")
    return (folder / "host-cert.pub").read_text()
