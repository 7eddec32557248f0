"""Making this machine a host of a CA, and undoing it.

`enroll` does everything or nothing: each step knows how to take itself back. First comes all that
needs nobody else; then the CA is asked, which spends the join token; the file for sshd, which makes
it matter, comes last.
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
from dataclasses import dataclass, field

from sshd_hook import (
    accounts,
    atomic,
    bundle,
    freshness,
    hostfiles,
    install,
    paths,
    preflight,
    userdb,
)
from sshd_hook.agent import apply, daemon, host, keygen, poll, supervise
from sshd_hook.changes import ChangeError, Changes, run

PAM = "/etc/pam.d/sshd"
NSSWITCH = "/etc/nsswitch.conf"
UNIT_FOLDER = "/etc/systemd/system"
AGENT_UNIT = "amrgate-agent.service"
USERDB_UNITS = ("amrgate-userdb.socket", "amrgate-userdb-root.socket", "amrgate-userdb.service")
UNITS = (*USERDB_UNITS, AGENT_UNIT)
TMPFILES = "/etc/tmpfiles.d/amrgate.conf"
SSHD_PID = "/run/sshd.pid"

BUNDLE_NAMESPACES = f"{bundle.NAMESPACE},{freshness.NAMESPACE}"
RECOVERY_NAMESPACES = "amrgate-keys"

ROOT_ONLY = atomic.Placement(0o700)
FOR_ALL = atomic.Placement(0o755)
PASS_THROUGH = atomic.Placement(0o711)

OURS = (
    paths.SSHD_DROP_IN,
    paths.PROGRAMS,
    paths.CONFIGURATION,
    paths.POLICY,
    paths.AGENT,
    paths.RUN,
)

FAILURES = (ChangeError, install.InstallError, preflight.NotReady, *daemon.FAILURES)


class EnrollError(Exception):
    """It was not done, and nothing is changed; or, for unenroll, not all is. In one line."""


@dataclass(frozen=True)
class Request:
    """What the operator gave: the CA's URL, the join token, this host's name, who signs for the CA."""

    ca: str
    token: str = field(repr=False)
    name: str
    ca_file: str | None = None


def enroll(request: Request, *, dry_run: bool) -> None:
    """Make this machine a host of the CA, or only say how.

    Raises:
        EnrollError: it is not one; everything is as it was, but for the join token if it was spent.
    """
    try:
        known = preflight.check()
        ca = poll.CA(request.ca, request.ca_file)
        if os.path.exists(host.RECORD):
            raise preflight.NotReady("this host is enrolled already: see `sshd-hook status`")
    except FAILURES as error:
        raise EnrollError(str(error)) from error
    if dry_run:
        _say(*_plan(request, known))
        return
    changes = Changes()
    try:
        prepare(changes)
        changes.on_undo("make sshd read its configuration again", _reload_sshd)
        _write_gate(changes, known, [])  # first without the CA: if sshd objects, no token is spent
        _write_gate(changes, known, join(changes, ca, request))
        _start(changes)
    except BaseException as error:
        changes.undo()
        if isinstance(error, FAILURES):
            raise EnrollError(f"{error}; everything is as it was before") from error
        raise
    _say_what_is_left(request)


def unenroll(*, dry_run: bool) -> None:
    """Take all of it away but the services' files and the map of their uids.

    The way in for services is closed first; whoever is stopped in between can start again.

    Raises:
        EnrollError: some or all of it is still there; the message says what was in the way.
    """
    if dry_run:
        _say("Would take away:", *(f"    {path}" for path in OURS), f"Would keep {paths.HOMES}.")
        return
    try:
        preflight.check_root()
        _see_that_nothing_runs()
    except FAILURES as error:
        raise EnrollError(str(error)) from error
    try:
        atomic.remove(paths.SSHD_DROP_IN)
        _reload_sshd()
        changes = Changes()
        changes.edit(PAM, hostfiles.remove_pam)
        _stop_services()
        with daemon.lock():
            changes.edit(NSSWITCH, hostfiles.remove_name_service)
            _keep_map()
            install.remove()
            for path in OURS:
                shutil.rmtree(path, ignore_errors=True)
        for user in {paths.HOOK_USER, paths.USERDB_USER} & set(preflight.all_names()):
            run(("userdel", user))
    except FAILURES as error:
        raise EnrollError(f"not done yet: {error}; mend that and run this again") from error


def prepare(changes: Changes) -> None:
    """Everything that needs no CA: users, folders, programs, accounts, name service, PAM.

    sshd asks none of it yet, and for other names than services' nothing changes.
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
    _make_key(changes)
    changes.write(paths.NO_PRINCIPALS, b"")
    changes.write(paths.USER_CA, b"")
    changes.write(paths.REVOKED, keygen.empty_revocation_list())
    changes.on_undo(f"remove {paths.PROGRAMS}", install.remove)
    install.install()
    _make_run_folders(changes)
    changes.edit(NSSWITCH, hostfiles.add_name_service)
    has_shadow = _start_user_database(changes, shared)
    changes.edit(PAM, lambda text: hostfiles.add_pam(text, shared, has_shadow=has_shadow))


def join(changes: Changes, ca: poll.CA, request: Request) -> list[str]:
    """Join the CA, fetch the first policy, and return the paths of this host's certificates."""
    with open(f"{host.KEY}.pub", encoding="ascii") as file:
        key = " ".join(file.read().split()[:2])
    joined = ca.join(
        {
            "token": request.token,
            "name": request.name,
            "public_key": key,
            "host_keys": preflight.host_keys(),
        }
    )
    if request.ca_file is not None:
        with open(request.ca_file, "rb") as trusted:
            changes.write(host.CA_FILE, trusted.read(), atomic.PRIVATE)
    for path, signer, namespaces in (
        (host.BUNDLE_SIGNERS, joined.bundle_key, BUNDLE_NAMESPACES),
        (host.RECOVERY_SIGNERS, joined.recovery_key, RECOVERY_NAMESPACES),
    ):
        changes.write(path, host.signers(signer, namespaces), atomic.PRIVATE)
    for path in (host.FLOOR, paths.BUNDLE, paths.FRESH):
        atomic.remove(path)  # an earlier enrolment's; it says nothing about this one
        changes.on_undo(f"remove {path}", functools.partial(atomic.remove, path))
    record = host.Host(joined.id, joined.token, request.name, request.ca)
    changes.write(host.RECORD, host.render(record), atomic.PRIVATE)
    certificates = [_write_certificate(changes, line) for line in joined.host_certificates]
    daemon.once()
    return certificates


def _make_user(changes: Changes, name: str) -> None:
    if name in preflight.all_names():
        return
    home = ("--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin")
    changes.run(("useradd", "--system", "--user-group", *home, name), undo=("userdel", name))


def _make_map(changes: Changes) -> int:
    """Make the folder of homes and the map of uids, or go on with those of an earlier enrolment."""
    changes.folder(paths.HOMES, PASS_THROUGH)
    changes.folder(os.path.join(paths.HOMES, userdb.EMPTY_HOME), FOR_ALL)
    changes.on_undo("remove empty homes", _remove_empty_homes)
    if os.path.exists(paths.UIDS):
        known = apply.load_accounts()
    else:
        known = accounts.Accounts(accounts.choose_range(preflight.taken_ids()))
    known = accounts.recover(known, paths.HOMES)
    group = grp.getgrnam(paths.USERDB_USER).gr_gid
    changes.write(paths.UIDS, accounts.render(known), atomic.Placement(0o640, gid=group))
    return known.shared


def _make_key(changes: Changes) -> None:
    for path in (host.KEY, f"{host.KEY}.pub"):
        atomic.remove(path)
        changes.on_undo(f"remove {path}", functools.partial(atomic.remove, path))
    keygen.generate(host.KEY, f"amrgate agent of {socket.gethostname()}")


def _make_run_folders(changes: Changes) -> None:
    changes.on_undo(f"remove {paths.RUN}", functools.partial(shutil.rmtree, paths.RUN))
    daemon.make_run_folders()
    if preflight.has_systemd():
        changes.write(TMPFILES, hostfiles.template("amrgate.tmpfiles").encode())
    if preflight.proc_is_hidden():
        _say(
            "Warning: /proc is mounted with hidepid, so the hook will refuse everybody."
            f" Mount it with gid={grp.getgrnam(paths.HOOK_USER).gr_gid} ({paths.HOOK_USER}) as well."
        )


def _start_user_database(changes: Changes, shared: int) -> bool:
    """Start the user database and see that it is asked; return whether for shadow entries too.

    Without systemd it is only tried: whoever runs this machine's daemons is to start it.
    """
    if preflight.has_systemd():
        for unit in UNITS:
            changes.write(f"{UNIT_FOLDER}/{unit}", hostfiles.template(unit).encode())
        changes.run(("systemctl", "daemon-reload"))
        for unit in USERDB_UNITS:
            enable = ("systemctl", "enable", "--now", unit)
            changes.run(enable, undo=("systemctl", "disable", "--now", unit))
        return preflight.check_name_service(shared)
    supervisor = supervise.of_this_host()
    supervisor.start()
    try:
        return preflight.check_name_service(shared)
    finally:
        supervisor.stop()


def _write_gate(changes: Changes, known: frozenset[str], certificates: list[str]) -> None:
    changes.write(paths.SSHD_DROP_IN, hostfiles.drop_in(known, certificates).encode())
    preflight.check_gate()


def _write_certificate(changes: Changes, line: str) -> str:
    """Put a host certificate where sshd finds it; return its path."""
    kind = line.split("-cert-v01@", 1)[0]
    if kind not in preflight.KEY_TYPES:
        raise poll.CAError("the CA gave a certificate for a host key of an unknown type")
    path = f"{paths.CONFIGURATION}/{kind}-host-cert.pub"
    changes.write(path, line.strip().encode("ascii") + b"\n")
    return path


def _start(changes: Changes) -> None:
    _reload_sshd()
    if preflight.has_systemd():
        enable = ("systemctl", "enable", "--now", AGENT_UNIT)
        changes.run(enable, undo=("systemctl", "disable", "--now", AGENT_UNIT))


def _reload_sshd() -> None:
    """Make a running sshd read its configuration; each connection's process keeps the old one."""
    run((preflight.SSHD, "-t"))
    try:
        with open(SSHD_PID, encoding="ascii") as file:
            pid = int(file.read())
        if os.readlink(f"/proc/{pid}/exe") == preflight.SSHD:
            os.kill(pid, signal.SIGHUP)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return  # none runs: the next one will read it


def _see_that_nothing_runs() -> None:
    """Where there is no systemd to stop them, whoever started our daemons must have done so."""
    if not preflight.has_systemd():
        with daemon.lock():
            if supervise.answers(paths.USERDB_SOCKET, supervise.PATIENCE):
                raise host.HostError("the user database runs: stop its supervisor first")


def _stop_services() -> None:
    if preflight.has_systemd():
        for unit in reversed(UNITS):
            if os.path.exists(f"{UNIT_FOLDER}/{unit}"):
                run(("systemctl", "disable", "--now", unit))
                atomic.remove(f"{UNIT_FOLDER}/{unit}")
        run(("systemctl", "daemon-reload"))
        atomic.remove(TMPFILES)


def _keep_map() -> None:
    """Leave the map of uids to root, with every service in it gone."""
    if os.path.exists(paths.UIDS):
        known = accounts.settle(apply.load_accounts(), ())
        atomic.write(paths.UIDS, accounts.render(known), atomic.PRIVATE)
    _remove_empty_homes()


def _remove_empty_homes() -> None:
    for entry in os.scandir(paths.HOMES):
        with contextlib.suppress(OSError):  # not empty: it is somebody's
            os.rmdir(entry.path)


def _plan(request: Request, known: frozenset[str]) -> list[str]:
    with open(NSSWITCH, encoding="utf-8", errors="surrogateescape") as file:
        before = file.read()
    after = hostfiles.add_name_service(before).splitlines()
    return [
        f"Would make users {paths.HOOK_USER} and {paths.USERDB_USER}, and in",
        *(f"    {path}" for path in OURS),
        f"put programs, policy and keys; homes of services in {paths.HOMES};",
        f"in {NSSWITCH}:",
        *(f"    {line}" for line in after if line not in before.splitlines()),
        f"first in {PAM}:",
        *(f"    {line}" for line in hostfiles.template("pam-account").splitlines()),
        f"ask {request.ca} to take this host as {request.name!r}; and write",
        f"{paths.SSHD_DROP_IN}:",
        *(f"    {line}" for line in hostfiles.drop_in(known).splitlines()),
    ]


def _say_what_is_left(request: Request) -> None:
    _say(f"This is the host {request.name!r} of {request.ca} now.")
    if not preflight.has_systemd():
        _say(
            "There is no systemd here: keep these two running, as root:",
            f"    {paths.SSHD_HOOK} userdb --supervise",
            f"    {paths.SSHD_HOOK} agent",
        )


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
