"""Making this machine a host of a CA, or mending the host that it is.

`enroll` does everything or nothing: each step knows how to take itself back, and is told before it
is done. First comes all that needs nobody else; then the CA is asked, which spends the join token;
the file for sshd, which makes it matter, comes last. An administrator logs in before and after.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass, field

from sshd_hook import (
    accounts,
    atomic,
    hostfiles,
    install,
    paths,
    pin,
    preflight,
    prepare,
    statement,
    ways_in,
)
from sshd_hook.agent import apply, daemon, host, keys, poll
from sshd_hook.changes import ChangeError, Changes, alone, difference, undoable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sshd_hook.preflight import Ready
    from sshd_hook.ways_in import Administrator

OURS = (
    paths.SSHD_DROP_IN,
    paths.PROGRAMS,
    paths.CONFIGURATION,
    paths.POLICY,
    paths.AGENT,
    paths.RUN,
)

FAILURES = (
    ChangeError,
    install.InstallError,
    preflight.NotReady,
    ways_in.NoWayIn,
    *daemon.FAILURES,
)


class EnrollError(Exception):
    """It was not done, and nothing is changed; or, for unenroll, not all is. In one line."""


@dataclass(frozen=True)
class Invitation:
    """What the operator of the CA gave: its URL, the join token, this host's name.

    Who signs for the CA is in `ca_file`, or known by `ca_pin`.
    """

    ca: str
    token: str = field(repr=False)
    name: str
    ca_file: str | None = None
    ca_pin: str | None = None


@dataclass(frozen=True)
class Request:
    """What to do: join by this invitation, or mend what is here; and whose way in is tried.

    `admin` is None to ask for it at the terminal.
    """

    invitation: Invitation | None
    admin: str | None = None
    admin_key: str | None = None


def enroll(request: Request, *, dry_run: bool) -> None:
    """Make this machine a host of the CA, or mend it if it is one, or only say how.

    Raises:
        EnrollError: everything is as it was, but for the join token if it was spent.
    """
    with contextlib.ExitStack() as stack:
        try:
            ready = preflight.check()
            if not dry_run:
                stack.enter_context(alone())
            known = _known(request.invitation)
            joining = None if known else _joining(request.invitation, stack)
            if dry_run:
                _say(*_plan(request.invitation, ready, known))
                return
            administrator = _administrator(request)
            if administrator:
                ways_in.check(administrator, ready.port)
        except FAILURES as error:
            raise EnrollError(str(error)) from error
        changes = Changes(_say)
        with undoable():
            try:
                _do(changes, ready, joining)
                if administrator:
                    ways_in.check(administrator, ready.port)
            except BaseException as error:
                changes.undo()
                if isinstance(error, FAILURES):
                    raise EnrollError(f"{error}; everything is as it was before") from error
                raise
    _say_what_is_left(known)


@dataclass(frozen=True)
class Joining:
    """A CA that is about to be asked, and who signs for it, as PEM."""

    ca: poll.CA
    trust: bytes | None
    invitation: Invitation


def _known(invitation: Invitation | None) -> host.Host | None:
    """The host that this machine is, if it can go on as that.

    Raises:
        NotReady: it is another's, or none and nobody gave it a token.
    """
    files = (host.KEY, host.BUNDLE_SIGNERS, host.RECOVERY_SIGNERS)
    known = None
    with contextlib.suppress(host.HostError):
        known = host.load()
    if known is not None and all(map(os.path.exists, files)):
        if invitation is None:
            return known
        if (invitation.name, invitation.ca) != (known.name, known.ca):
            raise preflight.NotReady(
                f"this is the host {known.name!r} of {known.ca}: run `sshd-hook unenroll` first"
            )
        if not _was_removed(known):
            return known  # the line was pasted twice, or a configuration tool runs it each time
    if invitation is None:
        raise preflight.NotReady(
            "this machine is not enrolled: paste the line that `amrgate-ca host token` prints"
        )
    return None


def _was_removed(known: host.Host) -> bool:
    """Whether the CA says that it does not know this host: then it has to join again."""
    try:
        ca = poll.CA(known.ca, host.CA_FILE if os.path.exists(host.CA_FILE) else None)
        ca.policy(known, poll.Have(), host.load_floor().version, 0)
    except poll.UnknownHostError:
        return True
    except FAILURES:
        return False  # it may be away, which is no reason to join
    return False


def _joining(invitation: Invitation | None, stack: contextlib.ExitStack) -> Joining:
    assert invitation is not None  # noqa: S101 - `_known` saw to it
    if os.path.isdir(paths.AGENT) and not preflight.has_systemd():
        with daemon.lock():  # before the token is spent: an agent that runs obeys another CA
            pass
    trust, path = None, invitation.ca_file
    if path is not None:
        with open(path, "rb") as file:
            trust = file.read()
    elif invitation.ca_pin is not None:
        trust = pin.fetch(invitation.ca, invitation.ca_pin)
        path = stack.enter_context(pin.as_file(trust))
    return Joining(poll.CA(invitation.ca, path), trust, invitation)


def _administrator(request: Request) -> Administrator | None:
    said = ways_in.ask() if request.admin is None else request.admin
    return ways_in.parse(said, request.admin_key)


def _do(changes: Changes, ready: Ready, joining: Joining | None) -> None:
    if joining is not None and preflight.is_enabled(hostfiles.AGENT_UNIT):
        start = ("systemctl", "start", hostfiles.AGENT_UNIT)
        changes.run(("systemctl", "stop", hostfiles.AGENT_UNIT), undo=start)
    prepare.prepare(changes)
    changes.on_undo("make sshd read its configuration again", prepare.reload_sshd)
    if joining is None:
        _write_gate(changes, ready, _certificates())
    else:
        _write_gate(changes, ready, [])  # first without the CA: if sshd objects, no token is spent
        _write_gate(changes, ready, _join(changes, joining))
    changes.tell("make sshd read its configuration")
    prepare.reload_sshd()
    if preflight.has_systemd():
        enable = ("systemctl", "enable", "--now", hostfiles.AGENT_UNIT)
        disable = ("systemctl", "disable", "--now", hostfiles.AGENT_UNIT)
        changes.run(enable, undo=() if preflight.is_enabled(hostfiles.AGENT_UNIT) else disable)
    if joining is None:
        _refresh(changes)


def _join(changes: Changes, joining: Joining) -> list[str]:
    """Join the CA, fetch the first policy, and return the paths of this host's certificates."""
    invitation = joining.invitation
    changes.tell(f"ask {invitation.ca} to take this host as {invitation.name!r}")
    _renew_key(changes)
    with open(f"{host.KEY}.pub", encoding="ascii") as file:
        key = " ".join(file.read().split()[:2])
    joined = joining.ca.join(
        {
            "token": invitation.token,
            "name": invitation.name,
            "public_key": key,
            "host_keys": preflight.host_keys(),
        }
    )
    if joining.trust is not None:
        changes.write(host.CA_FILE, joining.trust, atomic.PRIVATE)
    floor = keys.Floor(joined.keys_number, joined.keys_recovery)
    changes.write(host.BUNDLE_SIGNERS, keys.render(joined.bundle_key, floor), atomic.PRIVATE)
    recovery = host.signers(joined.recovery_key, statement.NAMESPACE)
    changes.write(host.RECOVERY_SIGNERS, recovery, atomic.PRIVATE)
    for path in (host.FLOOR, paths.BUNDLE, paths.FRESH):
        changes.remove(path)  # an earlier enrolment's; it says nothing about this one
    _keep_policy(changes)
    record = host.Host(joined.id, joined.token, invitation.name, invitation.ca)
    changes.write(host.RECORD, host.render(record), atomic.PRIVATE)
    certificates = [_write_certificate(changes, line) for line in joined.host_certificates]
    changes.tell("fetch the first policy, and put it in place")
    daemon.once()
    return certificates


def _keep_policy(changes: Changes) -> None:
    """Let what logins go on by come back with the rest, should this be undone after the first policy."""
    for path in (paths.USER_CA, paths.REVOKED):
        changes.keep(path)
    live = apply.load_accounts().live
    changes.on_undo("give the services their accounts again", lambda: _settle_again(live))


def _settle_again(live: dict[str, int]) -> None:
    # Not the old map: a uid that was given meanwhile is nobody else's for ever.
    apply.save_accounts(accounts.settle(apply.load_accounts(), live))


def _renew_key(changes: Changes) -> None:
    """A host that joins again does so with a key that nobody had before."""
    if os.path.exists(host.RECORD):
        for path in (host.KEY, f"{host.KEY}.pub"):
            changes.remove(path)
        prepare.make_key(changes)


def _certificates() -> list[str]:
    """The host certificates that were given to this host before."""
    found = (f"{paths.CONFIGURATION}/{kind}-host-cert.pub" for kind in preflight.KEY_TYPES)
    return sorted(path for path in found if os.path.exists(path))


def _write_gate(changes: Changes, ready: Ready, certificates: list[str]) -> None:
    text = hostfiles.drop_in(ready.keywords, certificates, ready.excepted)
    changes.put(paths.SSHD_DROP_IN, text)
    preflight.check_gate()


def _write_certificate(changes: Changes, line: str) -> str:
    """Put a host certificate where sshd finds it; return its path."""
    kind = line.split("-cert-v01@", 1)[0]
    if kind not in preflight.KEY_TYPES:
        raise poll.CAError("the CA gave a certificate for a host key of an unknown type")
    path = f"{paths.CONFIGURATION}/{kind}-host-cert.pub"
    changes.write(path, line.strip().encode("ascii") + b"\n")
    return path


def _refresh(changes: Changes) -> None:
    """Fetch all of the policy again, so that what is damaged is replaced; the CA may be away."""
    if preflight.has_systemd():
        for unit in (hostfiles.USERDB_UNIT, hostfiles.AGENT_UNIT):
            changes.run(("systemctl", "restart", unit))
        return
    changes.tell("fetch the policy")
    try:
        daemon.once()
    except (poll.CAError, host.HostError, apply.Refused) as error:
        _say(f"The policy in place stays: {error}")


def _plan(invitation: Invitation | None, ready: Ready, known: host.Host | None) -> list[str]:
    with open(hostfiles.NSSWITCH, encoding="utf-8", errors="surrogateescape") as file:
        before = file.read()
    try:
        with open(paths.SSHD_DROP_IN, encoding="utf-8") as file:
            gate = file.read()
    except FileNotFoundError:
        gate = ""
    certificates = _certificates() if known else []
    units = hostfiles.UNITS if preflight.has_systemd() else ()
    after = hostfiles.drop_in(ready.keywords, certificates, ready.excepted)
    asked = (
        f"ask {invitation.ca} to take this host as {invitation.name!r}; and" if invitation else ""
    )
    return [
        f"Would make users {paths.HOOK_USER} and {paths.USERDB_USER}, and in",
        *(f"    {path}" for path in OURS),
        f"put programs, policy and keys; homes of services in {paths.HOMES};",
        f"in {hostfiles.NSSWITCH}:",
        *(f"    {line}" for line in difference(before, hostfiles.add_name_service(before))),
        f"first in {hostfiles.PAM}:",
        *(f"    {line}" for line in hostfiles.template("pam-account").splitlines()),
        *([] if known else [asked]),
        f"write {paths.SSHD_DROP_IN}:",
        *(f"    {line}" for line in difference(gate, after)),
        *(["and its host certificates;"] if known is None else []),
        "make sshd read its configuration;",
        *(["start, now and at each boot:", *(f"    {unit}" for unit in units)] if units else []),
    ]


def _say_what_is_left(known: host.Host | None) -> None:
    enrolled = host.load()
    done = f"This is the host {enrolled.name!r} of {enrolled.ca}"
    _say(f"{done} already: what was missing was mended." if known else f"{done} now.")
    if not preflight.has_systemd():
        _say(
            "There is no systemd here: keep these two running, as root:",
            f"    {paths.SSHD_HOOK} userdb --supervise",
            f"    {paths.SSHD_HOOK} agent",
        )


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
