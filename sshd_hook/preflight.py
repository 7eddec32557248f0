"""What a machine must have, and must not have, to become a host; and what its sshd knows."""

from __future__ import annotations

import fnmatch
import glob
import grp
import os
import pwd
import shutil
from dataclasses import dataclass

from sshd_hook import hostfiles, paths, questions
from sshd_hook.changes import ENVIRONMENT, ChangeError, run
from sshd_hook.names import parse_service
from sshd_hook.questions import PROBE, Question

SSHD = "/usr/sbin/sshd"
PROGRAMS = (SSHD, "ssh-keygen", "useradd", "userdel", "getent")
LIBRARIES = ("/lib/*", "/usr/lib/*", "/lib64", "/usr/lib64")
PAM_MODULES = ("pam_exec.so", "pam_succeed_if.so")
NAME_SERVICE = "libnss_systemd.so.2"
SSHD_RUN = "/run/sshd"

# What sshd must say of a service's name, or something came before our file and won.
DEMANDED = {
    "pamservicename": "sshd",
    "authenticationmethods": "publickey",
    "trustedusercakeys": paths.USER_CA,
    "revokedkeys": paths.REVOKED,
    "authorizedprincipalscommand": f"{paths.PRINCIPALS} %u %U %i %s %t %K %k",
    "authorizedprincipalscommanduser": paths.HOOK_USER,
    "authorizedprincipalsfile": paths.NO_PRINCIPALS,
    "authorizedkeysfile": "none",
    "authorizedkeyscommand": "none",
    "passwordauthentication": "no",
    "kbdinteractiveauthentication": "no",
    "hostbasedauthentication": "no",
    "permittunnel": "no",
    "permituserrc": "no",
    "allowtcpforwarding": "local",
    "allowstreamlocalforwarding": "no",
    "forcecommand": "none",
    "chrootdirectory": "none",
    "allowusers": "*",
    "allowgroups": "*",
}
STRICTER = {
    "allowtcpforwarding": ("no",),  # what an administrator may want instead
    "pamservicename": ("none",),  # older versions know no other
}
KEY_TYPES = frozenset(
    {
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
    }
)
HIDDEN = ("hidepid=1", "hidepid=2", "hidepid=4", "hidepid=noaccess", "hidepid=invisible")


class NotReady(Exception):
    """The machine cannot be a host as it is; the message says what to change."""


@dataclass(frozen=True)
class Ready:
    """What was seen of a machine that can be a host."""

    keywords: frozenset[str]
    """Those that its sshd knows, in lower case."""
    excepted: tuple[str, ...]
    """Users whose names fit the Match block's glob, but are no service's."""
    port: int
    """Where sshd listens."""


def check() -> Ready:
    """Check this machine before anything is changed.

    Raises:
        NotReady: something is missing or in the way.
    """
    check_root()
    missing = [name for name in PROGRAMS if not shutil.which(name, path=ENVIRONMENT["PATH"])]
    missing += [name for name in PAM_MODULES if not _library(f"security/{name}")]
    if missing:
        raise NotReady(f"missing on this machine: {', '.join(missing)}")
    if not _library(NAME_SERVICE):
        raise NotReady(f"{NAME_SERVICE} is missing: install the package libnss-systemd")
    excepted = _excepted_names()
    found = sshd_settings()
    if found.get("usepam") != "yes":
        raise NotReady("sshd must be set to `UsePAM yes`: PAM is what shows a refusal's reason")
    return Ready(frozenset(found), excepted, int(found["port"]))


def make_sshd_answer() -> None:
    """Make the folder that sshd wants for `-t` and `-T`, though they do not use it.

    sshd's unit makes it, and takes it away when sshd ends: where systemd starts sshd when somebody
    comes, it may be gone at any moment.

    Raises:
        OSError: it cannot be made.
    """
    os.makedirs(SSHD_RUN, 0o755, exist_ok=True)


def check_root() -> None:
    """Check that this process may change the machine.

    Raises:
        NotReady: it may not.
    """
    if os.geteuid() != 0:
        raise NotReady("this needs root: run it with sudo")


def sshd_settings(question: Question = questions.PLAIN) -> dict[str, str]:
    """What sshd is configured to do at a login; keywords in lower case.

    Raises:
        NotReady: its configuration is not valid.
    """
    try:
        answer = _ask(question)
    except ChangeError as error:
        raise NotReady(f"sshd's configuration is not valid: {error}") from error
    settings: dict[str, str] = {}
    for line in answer.splitlines():
        keyword, _, value = line.partition(" ")
        settings.setdefault(keyword, value)
    return settings


def check_gate() -> None:
    """Check that sshd would do for services' names what our file says, whichever block speaks.

    Raises:
        NotReady: it would not, because the file is not read or something before it wins.
    """
    for question in questions.about_services(()):
        found = sshd_settings(question)
        for keyword, value in DEMANDED.items():
            if found.get(keyword, "none") not in (value, *STRICTER.get(keyword, ())):
                raise NotReady(
                    f"sshd says `{keyword} {found.get(keyword)}` for services instead of `{value}`"
                    f" (asked about {question}): see that /etc/ssh/sshd_config includes"
                    f" {os.path.dirname(paths.SSHD_DROP_IN)} first, and that nothing else sets it"
                    " before"
                )


def host_keys() -> list[str]:
    """The public host keys that sshd offers, each as `<type> <base64>`."""
    found = []
    for line in _ask(questions.PLAIN).splitlines():
        keyword, _, path = line.partition(" ")
        if keyword == "hostkey" and os.path.exists(f"{path}.pub"):
            with open(f"{path}.pub", encoding="ascii") as file:
                found.append(" ".join(file.read().split()[:2]))
    return found


def taken_ids() -> list[tuple[int, int]]:
    """The uids and gids in use: of users, groups, and the ranges set aside for containers."""
    taken = [(user.pw_uid, 1) for user in pwd.getpwall()]
    taken += [(group.gr_gid, 1) for group in grp.getgrall()]
    for path in ("/etc/subuid", "/etc/subgid"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                rows = [line.strip().split(":") for line in file]
        except FileNotFoundError:
            continue
        taken += [(int(row[1]), int(row[2])) for row in rows if "".join(row[1:3]).isdecimal()]
    return taken


def proc_is_hidden() -> bool:
    """Whether the hook could not see when its parent started, and so would refuse everybody."""
    with open("/proc/mounts", encoding="utf-8", errors="replace") as file:
        options = [line.split()[3].split(",") for line in file if line.split()[1] == "/proc"]
    hook = f"gid={grp.getgrnam(paths.HOOK_USER).gr_gid}"
    return bool(options) and any(one in HIDDEN for one in options[-1]) and hook not in options[-1]


def has_systemd() -> bool:
    """Whether systemd runs this machine (sd_booted(3))."""
    return os.path.isdir("/run/systemd/system")


def is_enabled(unit: str) -> bool:
    """Whether systemd starts a unit when this machine boots."""
    return bool(glob.glob(f"{hostfiles.UNIT_FOLDER}/*.wants/{unit}"))


def check_name_service(shared: int) -> bool:
    """Check that services' names lead to our accounts; return whether their shadow entries do too.

    Raises:
        NotReady: they do not.
    """
    try:
        entry = run(("getent", "passwd", PROBE)).split(":")
    except ChangeError:
        entry = []
    if entry[2:3] != [str(shared)]:
        raise NotReady(
            "names of services do not resolve: does something answer before `systemd`"
            " in /etc/nsswitch.conf, or does nscd remember?"
        )
    try:
        run(("getent", "shadow", PROBE))
    except ChangeError:
        return False
    return True


def _excepted_names() -> tuple[str, ...]:
    """Those of this machine's users who would lose their keys to the Match block for services.

    Raises:
        NotReady: somebody's name is one that a service can have.
    """
    lost = {name for name in all_names() if fnmatch.fnmatchcase(name, hostfiles.SERVICES)}
    taken = sorted(name for name in lost if parse_service(name) is not None)
    if taken:
        raise NotReady(
            f"these users could not log in any more, for services have such names:"
            f" {', '.join(taken)}"
        )
    return tuple(sorted(lost))


def _ask(question: Question) -> str:
    make_sshd_answer()
    return run((SSHD, "-T", "-C", question.specification()))


def all_names() -> list[str]:
    """Every user that the name service lists."""
    return [user.pw_name for user in pwd.getpwall()]


def _library(name: str) -> bool:
    return any(glob.glob(f"{folder}/{name}") for folder in LIBRARIES)
