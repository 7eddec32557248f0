"""Ending the open connections that would be refused by now.

sshd asks once, at the login. What changed since is for the agent to see: it decides again about
everybody whom the hook let in and whose connection is still open.
"""

from __future__ import annotations

import os
from functools import partial

from sshd_hook import paths, service, verdict
from sshd_hook.agent import apply, peers, processes, revoked
from sshd_hook.bundle import from_fd
from sshd_hook.names import parse_service
from sshd_hook.policy import ALLOWED, CONTRIBUTOR, Access, decide, lasting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sshd_hook.agent.processes import Table
    from sshd_hook.agent.revoked import Revoked
    from sshd_hook.bundle import Bundle
    from sshd_hook.verdict import Connection


def end_refused(now: int) -> int:
    """End each open connection that is refused by what is installed; return how many.

    Raises:
        OSError, ValueError: a part of what is installed cannot be read.
        verdict.VerdictError: the folder of verdicts cannot be trusted.
    """
    known = verdict.connections()
    if not known:
        return 0
    with open(paths.REVOKED, "rb") as file:
        listed = revoked.Revoked(file.read())
    with open(paths.BUNDLE, "rb") as file:
        bundle = from_fd(file.fileno(), os.fstat(file.fileno()).st_size)
        peer_of = peers.Peers().of
        refused = [
            (processes.Process(pid, start, 0), connection, why)
            for pid, start, connection in known
            if (why := reason(connection, bundle, listed, partial(peer_of, pid), now))
        ]
    if not refused:
        return 0
    table, owns = processes.Table(), apply.load_accounts().owns
    ending = [one for one in refused if is_open(one[0].pid, table, owns)]
    processes.end([leader for leader, _connection, _why in ending], table)
    for _leader, connection, why in ending:
        where = f"{connection.user} to {connection.service}"
        service.log(f"ended the connection of {where}, serial {connection.serial}: {why}")
    return len(ending)


def reason(
    connection: Connection,
    bundle: Bundle,
    listed: Revoked,
    peer: Callable[[], str | None],
    now: int,
) -> str:
    """Why a connection may not stay open, "" if it may.

    It may grow older than a requirement's `max_age`: a login is recent or not when somebody comes.
    `peer` finds the client's address. Where there is none, as of a pipe, the networks that are
    required end nothing: sshd let it in by them.
    """
    if listed.serial(connection.serial):
        return "its certificate was revoked"
    if listed.key(connection.key):
        return "its key was revoked"
    if listed.key(connection.authority):
        return "its certificate is of a CA that was revoked"
    name = parse_service(connection.service)
    record = bundle.service(name.record) if name else None
    if record is None:
        return "there is no such service any more"
    role, exempt = bundle.role(record.access_list, connection.user) or (0, False)
    asked = lasting(record.requirement)
    access = Access(role, CONTRIBUTOR, exempt=exempt)
    address = None if asked.networks is None else peer()
    decision = decide(asked, access, connection.claims, address, now)
    if decision.outcome == ALLOWED:
        return ""
    return f"its user has {decision.outcome}" + (f" from {address}" if address else "")


def is_open(pid: int, table: Table, owns: Callable[[int], bool]) -> bool:
    """Whether somebody is in by this process of sshd. A note is also left for who proved nothing,
    but only who is in has a process of the service's, whose uid is one that we gave (`owns`).
    """
    return any(owns(one.uid) for one in table.descendants(pid))
