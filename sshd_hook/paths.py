"""Where everything on a host is, and how the hook opens what it is going to trust.

The paths are fixed: whoever could move them could move the decision.
"""

import posix

PROGRAMS = "/usr/lib/amrgate"  # root 0755, launchers: real files, never links
LIBRARY = f"{PROGRAMS}/lib"  # holds the package sshd_hook and its compiled files
PRINCIPALS = f"{PROGRAMS}/principals"  # sshd's AuthorizedPrincipalsCommand
ACCOUNT = f"{PROGRAMS}/account"  # what pam_exec runs
REFUSED = f"{PROGRAMS}/refused"  # what the account program asks for the text
REFUSE = f"{PROGRAMS}/refuse"  # the forced command of a refusing line
ENTER = f"{PROGRAMS}/enter"  # the forced command of a service with an entry
SSHD_HOOK = f"{PROGRAMS}/sshd-hook"  # enroll, agent, userdb, status

CONFIGURATION = "/etc/amrgate"  # root 0755, its files root 0644
USER_CA = f"{CONFIGURATION}/user_ca.pub"
REVOKED = f"{CONFIGURATION}/revoked.krl"
NO_PRINCIPALS = f"{CONFIGURATION}/no-principals"  # always empty
ENTRY = f"{CONFIGURATION}/entry"  # the operator's, if there is one: see `sshd_hook.entry`
SSHD_DROP_IN = "/etc/ssh/sshd_config.d/00-amrgate.conf"

STATE = "/var/lib/amrgate"  # root 0755
POLICY = f"{STATE}/policy"  # root:amrgate-hook 0750, its files root:amrgate-hook 0640
BUNDLE = f"{POLICY}/bundle"
FRESH = f"{POLICY}/fresh"
SHARED_UID = f"{POLICY}/shared-uid"  # decimal: the uid of every name without a service
UIDS = f"{STATE}/uids"  # root:amrgate-userdb 0640
AGENT = f"{STATE}/agent"  # root 0700

RUN = "/run/amrgate"  # root 0755, on tmpfs
VERDICTS = f"{RUN}/verdict"  # amrgate-hook 0700
USERDB_SOCKET = "/run/systemd/userdb/io.amrgate"
USERDB_ROOT_SOCKET = f"{USERDB_SOCKET}.root"  # the same for root alone: no user can fill its queue
HOMES = "/srv/amrgate"  # root 0711

HOOK_USER = "amrgate-hook"
USERDB_USER = "amrgate-userdb"

ROOT = 0
WRITABLE_BY_OTHERS = 0o022
_TYPE, _REGULAR, _FOLDER = 0o170000, 0o100000, 0o040000  # of st_mode; `stat` is slow to import


class UntrustedError(Exception):
    """Somebody else than root could have made or changed this file."""


def open_trusted(path: str) -> "tuple[int, int]":
    """Open a file for reading that only root can have written; return its descriptor and size.

    What was opened is what is looked at, and it is not behind a link. The folders above it are for
    `check_folders`, once for all files in one.

    Raises:
        UntrustedError: others can write it, or it is not a regular file.
        OSError: it is not there, is a link, or cannot be read.
    """
    fd = posix.open(path, posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC)
    try:
        status = posix.fstat(fd)
        _check(status, _REGULAR)
    except BaseException:
        posix.close(fd)
        raise
    return fd, status.st_size


def read_trusted(path: str, limit: int) -> bytes:
    """The whole of a small file, opened as `open_trusted` does.

    Raises:
        UntrustedError: as there, or the file is longer than `limit` bytes.
        OSError: as there.
    """
    fd, size = open_trusted(path)
    try:
        data = posix.read(fd, limit + 1)
    finally:
        posix.close(fd)
    if len(data) > limit or len(data) != size:
        raise UntrustedError(f"{path} is longer than {limit} bytes, or changing")
    return data


def check_folders(folder: str) -> None:
    """Check that nobody but root can exchange what is in a folder, given by an absolute path.

    Raises:
        UntrustedError: it or one above it is another's, a link, or writable by others.
        OSError: it is not there.
    """
    end = len(folder)
    while end >= 0:
        _check(posix.lstat(folder[:end] or "/"), _FOLDER)
        end = folder.rfind("/", 0, end)


def is_regular(status: posix.stat_result) -> bool:
    """Whether it is a file, not a folder, link, pipe or device."""
    return status.st_mode & _TYPE == _REGULAR


def _check(status: posix.stat_result, kind: int) -> None:
    if status.st_mode & _TYPE != kind:
        raise UntrustedError("a file on the way is not of the right type")
    if status.st_uid != ROOT:
        raise UntrustedError("a file on the way is not root's")
    if status.st_mode & WRITABLE_BY_OTHERS:
        raise UntrustedError("others can write a file on the way")
