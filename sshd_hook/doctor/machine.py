"""The machine under it all: the agent's process, /proc, disks, denials, and the next boot."""

from __future__ import annotations

import contextlib
import glob
import os
import re

from sshd_hook import hostfiles, paths, preflight
from sshd_hook.doctor.findings import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sshd_hook.doctor.examined import Examined

DAY = 86400
ROOM = 1024 * 1024  # bytes that must be free for the next policy
VERDICT_ROOM = 64 * 1024  # bytes
ON_DISK = (paths.POLICY, paths.STATE, paths.AGENT, paths.CONFIGURATION)
TMPFS = ("tmpfs", "ramfs")

LOGS = ("/var/log/audit/audit.log", "/var/log/kern.log", "/var/log/syslog")
KERNEL_LOG = "/dev/kmsg"
LOG_TAIL = 256 * 1024  # bytes
RECORD = 8192  # bytes: the longest of the kernel's
DENIALS = ("avc:  denied", 'apparmor="DENIED"')
PROFILE = re.compile(r'profile="([^"]*)"')
# One whose rules changed: of one that is the same as before, `info` says so in between.
CHANGED = re.compile(r'operation="profile_replace" profile="[^"]*" name="([^"]*)"')
WHEN = re.compile(r"audit\((\d+)\.")
CONCERNED = (
    paths.PROGRAMS,
    paths.CONFIGURATION,
    paths.STATE,
    paths.RUN,
    'comm="sshd',
    'comm="principals"',
)


def check_agent(_host: Examined) -> Iterator[Finding]:
    """That somebody holds the agent's lock."""
    if os.path.isdir(paths.AGENT) and not any(map(_has_open, _lock_holders())):
        yield Finding("agent-down")


def check_proc(host: Examined) -> Iterator[Finding]:
    """That the hook sees when its parent started."""
    host.user(paths.HOOK_USER)
    if preflight.proc_is_hidden():
        yield Finding("proc-hidden")


def check_verdicts(_host: Examined) -> Iterator[Finding]:
    """That verdicts are kept in memory, and that there is room for them."""
    if not os.path.isdir(paths.VERDICTS):
        return
    kind = _file_system(paths.VERDICTS)
    if kind not in TMPFS:
        yield Finding("verdicts-on-disk", f"{paths.VERDICTS} is on {kind}")
    if _is_full(paths.VERDICTS, VERDICT_ROOM):
        yield Finding("run-full", paths.VERDICTS)


def check_disks(_host: Examined) -> Iterator[Finding]:
    """That the next policy can be put in place."""
    found: dict[str, Finding] = {}
    for folder in filter(os.path.isdir, ON_DISK):
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            found.setdefault("disk-read-only", Finding("disk-read-only", folder))
        elif _is_full(folder, ROOM):
            found.setdefault("disk-full", Finding("disk-full", folder))
    yield from found.values()


def check_denials(host: Examined) -> Iterator[Finding]:
    """What SELinux or AppArmor denied to sshd's children, where the logs show it.

    What a profile of AppArmor's denied before its rules changed is not told: that may be the cure.
    """
    denied: dict[str, str] = {}
    for line in _log_lines():
        changed = CHANGED.search(line)
        if changed:
            denied.pop(changed[1], None)
        if any(word in line for word in DENIALS) and any(word in line for word in CONCERNED):
            when = WHEN.search(line)
            if when is None or host.now - int(when[1]) < DAY:
                profile = PROFILE.search(line)
                denied.setdefault(profile[1] if profile else "", line.strip())
    if denied:
        yield Finding("security-denial", next(iter(denied.values())))


def check_boot(_host: Examined) -> Iterator[Finding]:
    """That systemd, where it runs, starts our units at the next boot."""
    if preflight.has_systemd():
        for unit in hostfiles.UNITS:
            if not preflight.is_enabled(unit):
                yield Finding("not-started-at-boot", unit)
                return


def _lock_holders() -> Iterator[int]:
    """Who holds a lock (flock) on an inode of the agent's folder's number (proc(5), locks)."""
    inode = os.stat(paths.AGENT).st_ino
    with open("/proc/locks", encoding="ascii") as file:
        for line in file:
            words = line.split()
            if words[1] == "FLOCK" and words[5].endswith(f":{inode}"):
                yield int(words[4])


def _has_open(pid: int) -> bool:
    """Whether a process has the agent's folder open: elsewhere, too, inodes have that number."""
    for path in glob.glob(f"/proc/{pid}/fd/*"):
        with contextlib.suppress(OSError):  # it was closed meanwhile
            if os.path.samefile(path, paths.AGENT):
                return True
    return False


def _file_system(folder: str) -> str:
    """The type of the file system that a folder is on."""
    device = os.stat(folder).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            words = line.split()
            if words[2] == wanted:
                return words[words.index("-") + 1]
    return "an unknown file system"


def _is_full(folder: str, room: int) -> bool:
    status = os.statvfs(folder)
    no_inode = status.f_files > 0 and status.f_favail == 0
    return no_inode or status.f_bavail * status.f_frsize < room


def _log_lines() -> Iterator[str]:
    """The last lines of the logs in which denials stand, and the kernel's own."""
    for path in LOGS:
        if os.path.isfile(path):
            with open(path, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_TAIL))
                yield from file.read(LOG_TAIL).decode("utf-8", "replace").splitlines()
    yield from _kernel_lines()


def _kernel_lines() -> Iterator[str]:
    try:
        fd = os.open(KERNEL_LOG, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return  # a container has none
    try:
        while True:
            with contextlib.suppress(BrokenPipeError):  # those that were next were written over
                yield os.read(fd, RECORD).decode("utf-8", "replace").partition(";")[2]
    except OSError:
        return  # that was the last
    finally:
        os.close(fd)


CHECKS: tuple[Callable[[Examined], Iterator[Finding]], ...] = (
    check_agent,
    check_proc,
    check_verdicts,
    check_disks,
    check_denials,
    check_boot,
)
