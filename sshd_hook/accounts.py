"""The Unix accounts of the services on this host: a map of uids that never gives one twice.

The map is a text file. Its first line is `shared <uid>`, the account of every name that is not a
service here, and at once the first uid of the range that is ours. Then `<service> <uid>` for each
service, and `<service> <uid> gone` for one that went away: files and processes of it may be left,
so its uid is kept for it, should it return, and for nobody else.
"""

from __future__ import annotations

import os
import stat

from sshd_hook.names import parse_service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RANGE = 100_000  # uids; a multiple of it is the first one
# From 524288 on, uids belong to systemd's containers and to useradd's subordinate ranges.
CANDIDATES = (400_000, 300_000, 200_000, 100_000)
UID_DIGITS = 6
MAX_MAP = 64 * 1024 * 1024  # bytes
SHARED = "shared"
GONE = "gone"


class AccountsError(ValueError):
    """The map of uids cannot be used, or no uid can be given."""


class Accounts:
    """Who has which uid: `live` and `gone` services by name, and the shared account."""

    __slots__ = ("gone", "live", "shared")

    def __init__(
        self,
        shared: int,
        live: "Mapping[str, int] | None" = None,
        gone: "Mapping[str, int] | None" = None,
    ) -> None:
        self.shared = shared
        self.live = dict(live or {})
        self.gone = dict(gone or {})

    def owns(self, uid: int) -> bool:
        """Whether `uid` is of our range."""
        return self.shared <= uid < self.shared + RANGE


def parse(data: bytes) -> Accounts:
    """Read a map.

    A line that is not one of a service with a uid of the range is left out, and so are all lines
    of a uid that stands twice: whoever had it would be somebody else's account as well.

    Raises:
        AccountsError: the first line does not name a range, so nothing can be answered.
    """
    lines = data.decode("ascii", "replace").split("\n")
    name, shared, mark = _split(lines[0])
    if name != SHARED or shared not in CANDIDATES or mark:
        raise AccountsError("the map of uids does not begin with the shared account")
    accounts = Accounts(shared)
    owners: dict[int, str] = {}
    twice = set()
    for name, uid, mark in map(_split, lines[1:]):
        if not _is_record(name) or not accounts.owns(uid) or mark not in ("", GONE):
            continue
        if uid == accounts.shared or owners.setdefault(uid, name) != name:
            twice.add(uid)
        (accounts.gone if mark else accounts.live)[name] = uid
    for kind in (accounts.live, accounts.gone):
        for name in [name for name, uid in kind.items() if uid in twice]:
            del kind[name]
    return accounts


def render(accounts: Accounts) -> bytes:
    """The map as `parse` reads it."""
    lines = [f"{SHARED} {accounts.shared}"]
    lines += [f"{name} {uid}" for name, uid in sorted(accounts.live.items())]
    lines += [f"{name} {uid} {GONE}" for name, uid in sorted(accounts.gone.items())]
    return "".join(f"{line}\n" for line in lines).encode()


def reserve(accounts: Accounts, names: "Iterable[str]") -> Accounts:
    """Give a uid to each service of `names` that never had one; it is `gone` until `settle`.

    What is not a service's name gets none, nor does any when the range is used up.
    """
    known = {**accounts.gone, **accounts.live}
    gone = dict(accounts.gone)
    uid = max([accounts.shared, *known.values()])
    for name in sorted(filter(_is_record, set(names) - set(known))):
        uid += 1
        if accounts.owns(uid):
            gone[name] = uid
    return Accounts(accounts.shared, accounts.live, gone)


def settle(accounts: Accounts, names: "Iterable[str]") -> Accounts:
    """Make those of `names` that have a uid the services that resolve, and no others."""
    known = {**accounts.gone, **accounts.live}
    live = {name: known.pop(name) for name in set(names) & set(known)}
    return Accounts(accounts.shared, live, known)


def recover(accounts: Accounts, homes: str) -> Accounts:
    """Add the owners of the homes under `homes` that the map does not know: it may be lost.

    What they left must not become the next service's, so their uids stay theirs.
    """
    gone = dict(accounts.gone)
    used = {*accounts.gone.values(), *accounts.live.values()}
    for entry in os.scandir(homes):
        uid = entry.stat(follow_symlinks=False).st_uid
        known = uid in used or uid == accounts.shared or entry.name in accounts.live
        if not known and accounts.owns(uid) and _is_record(entry.name):
            gone.setdefault(entry.name, uid)
            used.add(uid)
    return Accounts(accounts.shared, accounts.live, gone)


def choose_range(taken: "Iterable[tuple[int, int]]") -> int:
    """The first uid of a range that is free of `taken`, pairs of a first id and a count.

    Raises:
        AccountsError: none is free.
    """
    blocks = list(taken)
    for base in CANDIDATES:
        if not any(first < base + RANGE and base < first + count for first, count in blocks):
            return base
    raise AccountsError(
        f"no range of {RANGE} uids below {max(CANDIDATES) + RANGE} is free: users, groups or"
        " subordinate ids (/etc/subuid, /etc/subgid) are in each of them"
    )


def make_home(homes: str, name: str, uid: int) -> None:
    """Make the home of a service, 0700 and its own, if it is not there.

    Raises:
        AccountsError: something else has its place. It is left as it is, for it may hold files.
    """
    path = os.path.join(homes, name)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        found = os.lstat(path)
        if stat.S_ISDIR(found.st_mode) and found.st_uid == uid:
            return
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or os.listdir(path):
            raise AccountsError(f"{path} is not a folder of uid {uid}") from None
    # Only root makes entries in `homes`, so this is still the folder that was looked at.
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchmod(fd, 0o700)
        os.fchown(fd, uid, uid)
    finally:
        os.close(fd)


def _split(line: str) -> "tuple[str, int, str]":
    name, _, rest = line.partition(" ")
    uid, _, mark = rest.partition(" ")
    return name, _number(uid), mark


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= UID_DIGITS else -1


def _is_record(name: str) -> bool:
    parsed = parse_service(name)
    return parsed is not None and parsed.record == name
