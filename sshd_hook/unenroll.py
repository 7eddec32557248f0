"""Undoing what enrolling did."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys

from sshd_hook import accounts, atomic, hostfiles, install, paths, preflight, prepare
from sshd_hook.agent import apply, daemon, host, supervise
from sshd_hook.changes import Changes, alone, run
from sshd_hook.enroll import FAILURES, OURS, EnrollError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

DAMAGED = f"{paths.UIDS}.damaged"


def unenroll(*, dry_run: bool) -> None:
    """Take all of it away but the services' files and the map of their uids.

    The way in for services is closed first; whoever is stopped in between can start again.

    Raises:
        EnrollError: some or all of it is still there; the message says what was in the way.
    """
    try:
        if dry_run:
            _see_that_something_is_left()
            _tell()
            return
        preflight.check_root()
        with alone():
            _see_that_something_is_left()
            _see_that_nothing_runs()
            _take_away()
    except FAILURES as error:
        raise EnrollError(str(error)) from error


def _tell() -> None:
    lines = (
        "Would take away:",
        *(f"    {path}" for path in _ours()),
        f"the users {paths.HOOK_USER} and {paths.USERDB_USER}; and what was written into",
        f"    {hostfiles.PAM}",
        f"    {hostfiles.NSSWITCH}",
        "Would keep:",
        *(f"    {path}" for path in (paths.HOMES, paths.UIDS, paths.ENTRY) if os.path.exists(path)),
    )
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _take_away() -> None:
    try:
        atomic.remove(paths.SSHD_DROP_IN)
        prepare.reload_sshd()
        changes = Changes()
        changes.edit(hostfiles.PAM, hostfiles.remove_pam)
        _stop_services()
        with _no_agent():
            changes.edit(hostfiles.NSSWITCH, hostfiles.remove_name_service)
            _keep_map()
            install.remove()
            for path in _ours():
                _remove(path)
        for user in _users():
            run(("userdel", user))
    except FAILURES as error:
        raise EnrollError(f"not done yet: {error}; mend that and run this again") from error


def _remove(folder: str) -> None:
    """Remove a folder of ours, but not what the operator configured: else, once this machine is a
    host again, sessions would be on it instead of in the container.
    """
    if not os.path.exists(paths.ENTRY) or os.path.dirname(paths.ENTRY) != folder:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for entry in os.scandir(folder):
        if entry.path != paths.ENTRY:
            os.unlink(entry.path)


def _ours() -> list[str]:
    """What is taken away; a package's programs are the package manager's to remove."""
    return [path for path in OURS if path != paths.PROGRAMS or not install.is_packaged()]


def _users() -> list[str]:
    return sorted({paths.HOOK_USER, paths.USERDB_USER} & set(preflight.all_names()))


def _see_that_something_is_left() -> None:
    """Whoever was stopped half way, or lost what makes this a host, has the rest to take away."""
    if not any(map(os.path.lexists, _ours())) and not _users():
        raise host.HostError("this host is not enrolled: there is nothing to undo")


@contextlib.contextmanager
def _no_agent() -> Iterator[None]:
    """See that no agent runs meanwhile; without its folder none can."""
    with daemon.lock() if os.path.isdir(paths.AGENT) else contextlib.nullcontext():
        yield


def _see_that_nothing_runs() -> None:
    """Where there is no systemd to stop them, whoever started our daemons must have done so."""
    if not preflight.has_systemd():
        with _no_agent():
            if supervise.answers(paths.USERDB_SOCKET, supervise.PATIENCE):
                raise host.HostError("the user database runs: stop its supervisor first")


def _stop_services() -> None:
    if preflight.has_systemd():
        for unit in reversed(hostfiles.UNITS):
            if install.is_packaged() or os.path.exists(f"{hostfiles.UNIT_FOLDER}/{unit}"):
                run(("systemctl", "disable", "--now", unit))
                atomic.remove(f"{hostfiles.UNIT_FOLDER}/{unit}")
        run(("systemctl", "daemon-reload"))
        atomic.remove(hostfiles.TMPFILES)
    # Neither systemd nor who is killed takes them away, and every look-up of a name would try them.
    for path in (paths.USERDB_SOCKET, paths.USERDB_ROOT_SOCKET):
        atomic.remove(path)


def _keep_map() -> None:
    """Leave the map of uids to root, with every service in it gone.

    One that cannot be read is put aside: the next enrolment goes by the owners of the homes.
    """
    try:
        known = accounts.settle(apply.load_accounts(), ())
        atomic.write(paths.UIDS, accounts.render(known), atomic.PRIVATE)
    except FileNotFoundError:
        pass
    except accounts.AccountsError as error:
        os.rename(paths.UIDS, DAMAGED)
        sys.stdout.write(f"{error}: it is {DAMAGED} now.\n")
    prepare.remove_empty_homes()
