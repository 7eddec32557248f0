"""Whose the files and folders are, who else can change them, and what is above them."""

from __future__ import annotations

import glob
import os
import stat
from dataclasses import dataclass

from sshd_hook import hostfiles, install, paths, questions, userdb
from sshd_hook.agent import clock
from sshd_hook.agent import host as agent_host
from sshd_hook.doctor.findings import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sshd_hook.doctor.examined import Examined

ROOT = 0
OF_OTHERS = 0o022  # the bits of whoever is not the owner and may write
FILE, FOLDER, SOCKET = stat.S_IFREG, stat.S_IFDIR, stat.S_IFSOCK
KINDS = {FILE: "a file", FOLDER: "a folder", SOCKET: "a socket"}


@dataclass(frozen=True)
class Place:
    """What must be at a path: its kind, at least and at most these bits of mode, its owner."""

    path: str
    kind: int
    least: int
    most: int
    uid: int = ROOT
    gid: int | None = None  # any, where others than root have no bits that matter


def places(host: Examined) -> list[Place]:
    """Everything of ours that must be there, but for services' homes and what of us is Python.

    Policy and revocation list are not in it: another check says that they are missing.
    """
    found = [
        Place(paths.PROGRAMS, FOLDER, 0o555, 0o755),
        Place(paths.LIBRARY, FOLDER, 0o555, 0o755),
        *(Place(path, FILE, 0o555, 0o755) for path in (*install.LAUNCHERS, paths.ACCOUNT)),
        Place(paths.CONFIGURATION, FOLDER, 0o555, 0o755),
        Place(paths.NO_PRINCIPALS, FILE, 0o444, 0o644),
        Place(paths.STATE, FOLDER, 0o555, 0o755),
        Place(paths.AGENT, FOLDER, 0o500, 0o700),
        *(
            Place(path, FILE, 0o400, 0o600)
            for path in (agent_host.KEY, agent_host.BUNDLE_SIGNERS, agent_host.RECOVERY_SIGNERS)
        ),
        Place(paths.RUN, FOLDER, 0o555, 0o755),
        Place(paths.HOMES, FOLDER, 0o511, 0o711),
        Place(os.path.join(paths.HOMES, userdb.EMPTY_HOME), FOLDER, 0o555, 0o755),
    ]
    if paths.HOOK_USER in host.users:
        hook = host.users[paths.HOOK_USER]
        found += [
            Place(paths.POLICY, FOLDER, 0o550, 0o750, gid=hook.pw_gid),
            Place(paths.SHARED_UID, FILE, 0o440, 0o640, gid=hook.pw_gid),
            Place(paths.VERDICTS, FOLDER, 0o700, 0o700, hook.pw_uid, hook.pw_gid),
        ]
    return found


def places_elsewhere(host: Examined) -> list[Place]:
    """Files of which something else says that they are missing, or that need not be there."""
    found = [
        Place(paths.USER_CA, FILE, 0o400, 0o644),
        Place(paths.REVOKED, FILE, 0o400, 0o644),
        Place(paths.ENTRY, FILE, 0o444, 0o644),
        Place(clock.FILE, FILE, 0o400, 0o644),
        Place(agent_host.RECORD, FILE, 0o400, 0o600),
        Place(agent_host.FLOOR, FILE, 0o400, 0o600),
        Place(agent_host.CA_FILE, FILE, 0o400, 0o644),
        Place(paths.USERDB_SOCKET, SOCKET, 0o666, 0o666),
        Place(paths.USERDB_ROOT_SOCKET, SOCKET, 0o600, 0o600),
        Place(f"{agent_host.KEY}.pub", FILE, 0o400, 0o644),
        Place(paths.SSHD_DROP_IN, FILE, 0o400, 0o644),
        *(
            Place(path, FILE, 0o400, 0o644)
            for path in glob.glob(f"{paths.CONFIGURATION}/*-cert.pub")
        ),
        *(Place(path, FILE, 0o400, 0o644) for path in files_of_others()),
    ]
    if paths.HOOK_USER in host.users:
        gid = host.users[paths.HOOK_USER].pw_gid
        found += [Place(path, FILE, 0o440, 0o640, gid=gid) for path in (paths.BUNDLE, paths.FRESH)]
    if paths.USERDB_USER in host.users:
        gid = host.users[paths.USERDB_USER].pw_gid
        found.append(Place(paths.UIDS, FILE, 0o440, 0o640, gid=gid))
    return [place for place in found if os.path.lexists(place.path)]


def files_of_others() -> set[str]:
    """What the host's packages keep and logins rest on, at the end of the links that they make."""
    found = {hostfiles.PAM, hostfiles.NSSWITCH, *questions.files(questions.CONFIGURATION)}
    return {os.path.realpath(path) for path in found - {paths.SSHD_DROP_IN}}


def check_places(host: Examined) -> Iterator[Finding]:
    """Everything of ours, one by one."""
    for place in (*places(host), *places_elsewhere(host)):
        yield from check_place(place)


def check_library(_host: Examined) -> Iterator[Finding]:
    """All that sshd's child imports: sshd itself looks no further than the program."""
    for folder, folders, files in os.walk(paths.LIBRARY):
        for name in folders:
            yield from check_place(Place(os.path.join(folder, name), FOLDER, 0o555, 0o755))
        for name in files:
            yield from check_place(Place(os.path.join(folder, name), FILE, 0o444, 0o755))


def check_parents(host: Examined) -> Iterator[Finding]:
    """The folders above everything of ours: whoever can write there can exchange what is in it."""
    ours = {place.path for place in places(host)}
    others = {paths.SSHD_DROP_IN, paths.USERDB_SOCKET, *files_of_others()}
    above = with_parents({os.path.dirname(path) for path in ours | others})
    for folder in sorted(above - ours):
        why = _why_unsafe(folder)
        if why:
            yield Finding("parent-unsafe", f"{folder} {why}")


def check_principals(_host: Examined) -> Iterator[Finding]:
    """That the file of principals that takes the place of ~/none lets nobody in."""
    if os.path.isfile(paths.NO_PRINCIPALS) and os.path.getsize(paths.NO_PRINCIPALS):
        yield Finding("principals-file-filled", paths.NO_PRINCIPALS)


def check_homes(host: Examined) -> Iterator[Finding]:
    """Services' homes; the first that is not right stands for all."""
    missing, unsafe = [], []
    for name, uid in host.live_services.items():
        path = os.path.join(paths.HOMES, name)
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            missing.append(path)
            continue
        private = stat.S_ISDIR(status.st_mode) and not status.st_mode & OF_OTHERS
        if not private or status.st_uid != uid:
            unsafe.append(path)
    for code, found in (("home-missing", missing), ("home-unsafe", unsafe)):
        if found:
            yield Finding(code, found[0] + (f" and {len(found) - 1} more" if found[1:] else ""))


def check_place(place: Place) -> Iterator[Finding]:
    """One file or folder."""
    try:
        status = os.lstat(place.path)
    except FileNotFoundError:
        yield Finding("path-missing", place.path)
        return
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        yield Finding("path-link", f"{place.path} leads to {os.readlink(place.path)}")
    elif stat.S_IFMT(status.st_mode) != place.kind:
        yield Finding("path-kind", f"{place.path} is not {KINDS[place.kind]}")
    elif status.st_uid != place.uid or place.gid not in (None, status.st_gid):
        wanted = f"{place.uid}:{'any' if place.gid is None else place.gid}"
        yield Finding(
            "path-owner", f"{place.path} is {status.st_uid}:{status.st_gid}, not {wanted}"
        )
    elif mode & ~place.most or mode & place.least != place.least:
        yield Finding("path-mode", f"{place.path} is {mode:04o}, not {place.most:04o}")


def _why_unsafe(folder: str) -> str:
    """What lets others exchange what is in a folder, or nothing."""
    try:
        status = os.stat(folder)
    except FileNotFoundError:
        return ""  # so is what is in it, which is said elsewhere
    if status.st_uid != ROOT:
        return f"belongs to {status.st_uid}"
    if status.st_mode & OF_OTHERS and not status.st_mode & stat.S_ISVTX:
        return f"is {stat.S_IMODE(status.st_mode):04o}"
    # Nothing that decides is among the homes: they may be on another disk.
    is_strict = folder not in with_parents({paths.HOMES})
    return "is a link" if is_strict and os.path.islink(folder) else ""


def with_parents(folders: set[str]) -> set[str]:
    """The folders and all that are above them."""
    found: set[str] = set()
    for folder in folders:
        while folder not in found:
            found.add(folder)
            folder = os.path.dirname(folder)  # noqa: PLW2901 -- up to the root, which is above itself
    return found


CHECKS: tuple[Callable[[Examined], Iterator[Finding]], ...] = (
    check_places,
    check_library,
    check_parents,
    check_principals,
    check_homes,
)
