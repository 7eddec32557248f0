"""All of a host that needs no CA: users, folders, programs, accounts, name service, PAM.

Each step leaves alone what is there already, so that it also mends what is missing.
"""

from __future__ import annotations

import contextlib
import functools
import grp
import os
import shutil
import signal
import socket
import sys
import time

from sshd_hook import accounts, atomic, hostfiles, install, paths, preflight, userdb
from sshd_hook.agent import apply, daemon, host, keygen, supervise
from sshd_hook.changes import ChangeError, Changes, run

SSHD_PID = "/run/sshd.pid"
RELOADING = 10  # seconds for sshd to listen again

ROOT_ONLY = atomic.Placement(0o700)
FOR_ALL = atomic.Placement(0o755)
PASS_THROUGH = atomic.Placement(0o711)


def prepare(changes: Changes) -> None:
    """Make all of it that is not there.

    sshd asks none of it before its own file says so, and for other names than services' nothing
    changes.
    """
    for user in (paths.HOOK_USER, paths.USERDB_USER):
        _make_user(changes, user)
    hook = grp.getgrnam(paths.HOOK_USER).gr_gid
    changes.folder(paths.CONFIGURATION, FOR_ALL)
    changes.folder(paths.STATE, FOR_ALL)
    changes.folder(paths.POLICY, atomic.Placement(0o750, gid=hook))
    changes.folder(paths.AGENT, ROOT_ONLY)
    shared = _make_map(changes)
    changes.write(paths.SHARED_UID, f"{shared}\n".encode(), atomic.Placement(0o640, gid=hook))
    make_key(changes)
    changes.write(paths.NO_PRINCIPALS, b"")
    if not os.path.exists(paths.USER_CA):
        changes.write(paths.USER_CA, b"")
    if not os.path.exists(paths.REVOKED) or not os.path.getsize(paths.REVOKED):
        changes.write(paths.REVOKED, keygen.empty_revocation_list())
    _install_programs(changes)
    _make_run_folders(changes)
    changes.edit(hostfiles.NSSWITCH, hostfiles.add_name_service)
    has_shadow = _start_user_database(changes, shared)
    changes.edit(hostfiles.PAM, lambda text: hostfiles.add_pam(text, shared, has_shadow=has_shadow))


def make_key(changes: Changes) -> None:
    """Make the agent's own key, if it has none."""
    if os.path.exists(host.KEY) and os.path.exists(f"{host.KEY}.pub"):
        return
    changes.tell(f"make the key {host.KEY}")
    for path in (host.KEY, f"{host.KEY}.pub"):
        atomic.remove(path)
        changes.on_undo(f"remove {path}", functools.partial(atomic.remove, path))
    keygen.generate(host.KEY, f"amrgate agent of {socket.gethostname()}")


def reload_sshd() -> None:
    """Make a running sshd read its configuration again, and wait until it has.

    Each connection's process keeps the old one.

    Raises:
        ChangeError: its configuration is not valid, or it does not come back.
    """
    try:
        with open(SSHD_PID, encoding="ascii") as file:
            pid = int(file.read())
            written = os.fstat(file.fileno()).st_mtime_ns
        if os.readlink(f"/proc/{pid}/exe") != preflight.SSHD:
            return
        run((preflight.SSHD, "-t"))
        unit = _unit_with_socket(pid)
        if unit is not None:
            run(("systemctl", "restart", unit))  # a socket that it was given it loses by SIGHUP
            return
        os.kill(pid, signal.SIGHUP)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return  # none runs: the next one will read it
    deadline = time.monotonic() + RELOADING
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):  # it writes the file again once it listens
            if os.stat(SSHD_PID).st_mtime_ns != written:
                return
        time.sleep(0.02)
    raise ChangeError(f"sshd did not come back within {RELOADING} s of being told to read again")


def _unit_with_socket(pid: int) -> str | None:
    """The service that a process is of, if systemd listens for it and starts it when somebody comes.

    Raises:
        ChangeError: systemd does not say.
        FileNotFoundError, ProcessLookupError: it ended.
    """
    if not preflight.has_systemd():
        return None
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
        groups = {line.rstrip().rpartition("/")[2] for line in file}
    for unit in sorted(group for group in groups if group.endswith(".service")):
        show = ("systemctl", "show", "--value", "--property")
        for trigger in run((*show, "TriggeredBy", unit)).split():
            if trigger.endswith(".socket") and run((*show, "ActiveState", trigger)) == "active\n":
                return unit
    return None


def remove_empty_homes() -> None:
    """Remove the services' homes that nobody left anything in."""
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(paths.HOMES):
            with contextlib.suppress(OSError):  # not empty: it is somebody's
                os.rmdir(entry.path)


def _make_user(changes: Changes, name: str) -> None:
    if name in preflight.all_names():
        return
    home = ("--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin")
    changes.run(("useradd", "--system", "--user-group", *home, name), undo=("userdel", name))


def _make_map(changes: Changes) -> int:
    """Make the folder of homes and the map of uids, or go on with those that are there."""
    changes.folder(paths.HOMES, PASS_THROUGH)
    changes.folder(os.path.join(paths.HOMES, userdb.EMPTY_HOME), FOR_ALL)
    if not os.path.exists(host.RECORD):  # else they are those of a host at work
        changes.on_undo("remove empty homes", remove_empty_homes)
    placement = atomic.Placement(0o640, gid=grp.getgrnam(paths.USERDB_USER).gr_gid)
    if os.path.exists(paths.UIDS):
        found = apply.load_accounts()
        known = accounts.recover(found, paths.HOMES)
        if known.gone == found.gone:
            # Not written: an agent that runs may be giving uids now, and must not give them twice.
            changes.place(paths.UIDS, placement)
            return found.shared
    else:
        known = accounts.Accounts(accounts.choose_range(preflight.taken_ids()))
        known = accounts.recover(known, paths.HOMES)
    changes.write(paths.UIDS, accounts.render(known), placement)
    return known.shared


def _install_programs(changes: Changes) -> None:
    changes.tell(f"install the programs in {paths.PROGRAMS}")
    if not os.path.exists(paths.PROGRAMS):
        changes.on_undo(f"remove {paths.PROGRAMS}", install.remove)
    install.install()


def _make_run_folders(changes: Changes) -> None:
    if not os.path.exists(paths.RUN):
        changes.tell(f"make the folder {paths.VERDICTS}")
        changes.on_undo(f"remove {paths.RUN}", functools.partial(shutil.rmtree, paths.RUN))
    daemon.make_run_folders()
    if preflight.has_systemd():
        changes.write(hostfiles.TMPFILES, hostfiles.template("amrgate.tmpfiles").encode())
    if preflight.proc_is_hidden():
        sys.stdout.write(
            "Warning: /proc is mounted with hidepid, so the hook will refuse everybody."
            f" Mount it with gid={grp.getgrnam(paths.HOOK_USER).gr_gid} ({paths.HOOK_USER})"
            " as well.\n"
        )


def _start_user_database(changes: Changes, shared: int) -> bool:
    """Start the user database and see that it is asked; return whether for shadow entries too.

    Without systemd it is only tried: whoever runs this machine's daemons is to start it.
    """
    if preflight.has_systemd():
        if not install.is_packaged():
            for unit in hostfiles.UNITS:
                changes.write(f"{hostfiles.UNIT_FOLDER}/{unit}", hostfiles.template(unit).encode())
            changes.run(("systemctl", "daemon-reload"))
        for unit in hostfiles.USERDB_UNITS:
            disable = ("systemctl", "disable", "--now", unit)
            undo = () if preflight.is_enabled(unit) else disable
            changes.run(("systemctl", "enable", "--now", unit), undo)
        return preflight.check_name_service(shared)
    if supervise.answers(paths.USERDB_SOCKET, supervise.PATIENCE):
        return preflight.check_name_service(shared)
    supervisor = supervise.of_this_host()
    supervisor.start()
    try:
        return preflight.check_name_service(shared)
    finally:
        supervisor.stop()
