"""Bringing the hook's decisions home: from its file to the CA, kept on the disk while that is away.

Whoever is stopped anywhere in between sends some of them twice, and the CA keeps each once: by
host, connection, and what was decided. docs/decisions/0085 says why it is a file.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time

from sshd_hook import atomic, paths, service, verdict
from sshd_hook.agent import duty, poll
from sshd_hook.log import DECISIONS, LOST, MAX_DECISIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sshd_hook.agent.host import Host

    Decision = dict[str, "int | str"]

EVERY = 2.0  # seconds
BATCH = 500  # decisions in one request
FIRST_PAUSE = 5.0  # seconds after a failure, doubled with each further one
LONGEST_PAUSE = 60.0

SPOOL = os.path.join(paths.AGENT, "decisions")  # JSON, one a line
MAX_SPOOL = 4 * 1024 * 1024  # bytes; about 15,000 decisions
KEPT_SPOOL = MAX_SPOOL * 3 // 4  # of the newest, once there are too many
BOOT_ID = "/proc/sys/kernel/random/boot_id"  # connections are numbered anew after each boot

TAKEN = ".taken"  # what the hook wrote until the round before
NAMES = ("service", "user", "serial", "session")
DETAILS = ("missing", "error", "reason")  # of which a line has one at most
MAX_DETAIL = 200  # characters
LOST_CODE = "lost"  # stands for as many decisions as its detail says


class Courier:
    """Takes the decisions of this host to its CA, every few seconds."""

    def __init__(self, known: Host, ca: poll.CA) -> None:
        self._host = known
        self._ca = ca
        self._pause = 0.0
        self._next = 0.0  # not before this monotonic time
        with open(BOOT_ID, encoding="ascii") as file:
            self._boot = file.read(8)

    def run(self) -> None:
        """Do so for ever."""
        duty.repeat(
            lambda: time.sleep(EVERY),
            lambda: self.round(time.monotonic()),
            (OSError, ValueError, poll.CAError, verdict.VerdictError),
            "decisions stay here for now",
        )

    def round(self, now: float) -> object:
        """Take what the hook left, and send it, or keep it where the CA was away just now.

        Returns `duty.WAITING` where it kept it.

        Raises:
            poll.CAError: the CA is away; all is kept.
            OSError: the disk is full or fails; what cannot be kept stays where the hook left it.
            verdict.VerdictError: others could have written there.
        """
        new = take(self._boot, int(time.time()))
        if now < self._next:
            append_spool(new)
            advance()
            return duty.WAITING
        self._pause = min(2 * self._pause or FIRST_PAUSE, LONGEST_PAUSE)
        self._next = now + self._pause  # unless all goes well
        self._send(read_spool() + new)
        self._pause = self._next = 0.0
        advance()
        return None

    def _send(self, left: list[Decision]) -> None:
        try:
            while left:
                self._send_some(left[:BATCH])
                del left[:BATCH]
        except poll.CAError:
            write_spool(left)
            advance()
            raise
        atomic.remove(SPOOL)

    def _send_some(self, decisions: list[Decision]) -> None:
        try:
            self._ca.report(self._host, decisions)
        except poll.RejectedError as error:  # and would reject them for ever
            service.log(f"{len(decisions)} decisions are in the system log alone: {error}")


# --- from the hook --------------------------------------------------------------------------


def take(boot: str, now: int) -> list[Decision]:
    """What the hook had left when `advance` was called last, each decision about a connection once.

    Raises:
        verdict.VerdictError: others could have written there.
    """
    lines = _read(DECISIONS).decode("ascii", "replace").splitlines()
    decisions = [parse(line, boot) for line in lines]
    found = {json.dumps({**one, "at": 0}): one for one in reversed(decisions) if one}
    if lost := len(_read(LOST)) + decisions.count(None):
        service.log(f"there was no room for {lost} decisions: they are in the system log alone")
    return [*reversed(found.values()), *([_lost(lost, now)] if lost else [])]


def advance() -> None:
    """Forget what `take` returned, which is sent or kept by now, and put the next in its place.

    That is read a round later: whoever has it open has written by then.
    """
    for name in (DECISIONS, LOST):
        path = f"{paths.VERDICTS}/{name}"
        try:
            os.rename(path, path + TAKEN)
        except FileNotFoundError:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + TAKEN)


def parse(line: str, boot: str) -> Decision | None:
    """A decision as the CA is told it; None if the line is only a part of one.

    `boot` tells the connections of one boot from another's.
    """
    words, _, reason = line.partition(' reason="')
    pairs = [word.partition("=") for word in words.split(" ")]
    fields = {name: value for name, _, value in pairs}
    if len(fields) != len(pairs) or not {"at", "connection", "code"} <= fields.keys():
        return None
    if not fields["at"].isdecimal():
        return None
    fields["reason"] = reason.removesuffix('"')
    detail = "".join(fields.get(name, "") for name in DETAILS)[:MAX_DETAIL]
    decision: Decision = {
        "at": int(fields["at"]),
        "connection": f"{boot}.{fields['connection']}",
        "code": fields["code"],
        "detail": "".join(letter if " " <= letter <= "~" else "?" for letter in detail),
    }
    return decision | {name: fields[name] for name in NAMES if name in fields}


def _read(name: str) -> bytes:
    folder, owner = verdict.find_folder()
    try:
        fd = os.open(name + TAKEN, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        with open(fd, "rb") as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != owner:
                raise verdict.VerdictError("the file of decisions is not the hook's")
            return file.read(MAX_DECISIONS)
    except FileNotFoundError:
        return b""
    finally:
        os.close(folder)


# --- while the CA is away -------------------------------------------------------------------


def append_spool(decisions: list[Decision]) -> None:
    """Put these decisions behind those that wait.

    Raises:
        OSError: there is no room. What waited still does.
    """
    if not decisions:
        return
    data = _in_lines(decisions)
    with open(SPOOL, "ab") as file:
        if file.tell() + len(data) <= MAX_SPOOL:
            file.write(data)
            return
    write_spool(read_spool() + decisions)


def read_spool() -> list[Decision]:
    """The decisions that wait; of a line whose writing was cut short there is none."""
    found = []
    try:
        with open(SPOOL, "rb") as file:
            lines = file.read(MAX_SPOOL).splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def write_spool(decisions: list[Decision]) -> None:
    """Keep these decisions alone, or, if they are too many, the newest of them.

    Raises:
        OSError: as `append_spool`.
    """
    lost, first = 0, decisions[0]
    while len(_in_lines(decisions)) > (KEPT_SPOOL if lost else MAX_SPOOL):
        oldest = max(1, len(decisions) // 16)
        lost += sum(map(_count, decisions[:oldest]))
        decisions = decisions[oldest:]
    if lost:
        decisions = [_lost(lost, int(first["at"])), *decisions]
        service.log(f"{lost} decisions were dropped: they are in the system log alone")
    atomic.write(SPOOL, _in_lines(decisions), atomic.PRIVATE)


def _in_lines(decisions: Iterable[Decision]) -> bytes:
    return "".join(f"{json.dumps(one)}\n" for one in decisions).encode()


def _count(decision: Decision) -> int:
    return int(decision["detail"]) if decision["code"] == LOST_CODE else 1


def _lost(count: int, at: int) -> Decision:
    return {"at": at, "connection": "", "code": LOST_CODE, "detail": str(count)}
