"""Checking what the CA sent, then putting it in place in an order that is safe to stop anywhere.

Nothing is written before everything was verified, over the very bytes that are then written. Each
file is replaced whole, and in this order: the revocation list and the CA keys, which sshd reads
itself; the uids and homes that a new service needs; the bundle; and last the word that all of it
is current. Whoever is stopped in between leaves a host that obeys either the old or the new of
each, and that asks again.
"""

from __future__ import annotations

import contextlib
import functools
import grp
import hashlib
import os
from dataclasses import dataclass

from sshd_hook import accounts, atomic, bundle, freshness, paths, service
from sshd_hook.agent import host, keygen, revoked
from sshd_hook.names import parse_service
from sshd_hook.wire import Reader, WireError, b64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sshd_hook.agent.poll import Update

NO_DIGEST = ""
HELD = f"{paths.FRESH}.held"


class Refused(Exception):
    """What the CA sent, or somebody in its name, is not to be obeyed. The message is for a log."""


class NotCurrent(Refused):
    """It is signed, but not of now: it is old, or this clock is `skew` seconds ahead of the CA's."""

    def __init__(self, message: str, skew: int) -> None:
        super().__init__(message)
        self.skew = skew


@dataclass(frozen=True)
class Installed:
    """The bundle in place: its version and the SHA-256 of it, in hex. 0 and "" for none."""

    version: int = 0
    digest: str = NO_DIGEST


@dataclass(frozen=True)
class Verified:
    """An update that may be installed."""

    update: Update
    freshness: freshness.Freshness
    bundle: bundle.Bundle | None

    @property
    def installed(self) -> Installed:
        """What is in place after it."""
        return Installed(self.freshness.version, self.freshness.digest)


def read_installed(known: host.Host) -> Installed:
    """Look at the bundle in place. One that is damaged or another host's counts as none."""
    try:
        with open(paths.BUNDLE, "rb") as file:
            data = file.read()
        found = bundle.from_bytes(data)
    except (OSError, ValueError):
        return Installed()
    if found.host_id != known.id:
        return Installed()
    return Installed(found.version, hashlib.sha256(data).hexdigest())


def verify(
    update: Update, known: host.Host, floor: host.Floor, installed: Installed, now: int
) -> Verified:
    """Check that `update` is this host's, whole, signed, current and no older than what was.

    Raises:
        Refused: it is not.
    """
    statement = _verify_freshness(update, known, floor, now)
    if statement.version < installed.version:
        raise Refused(f"version {statement.version} is older than {installed.version}, in place")
    found = _verify_bundle(update, known, statement, installed)
    _verify_revocation_list(update.krl, statement)
    return Verified(update, statement, found)


def install(verified: Verified) -> None:
    """Put a verified update in place.

    Raises:
        Refused: ssh-keygen does not take the revocation list or a CA key as sshd would.
        OSError: the disk is full, read-only or fails. What was in place still is, or is replaced
            whole; trying again is safe.
    """
    statement = verified.freshness
    floor = host.load_floor()
    raised = floor.raised(statement.version, statement.krl_version)
    # Before anything lands: whatever happens now, this host never goes back behind it.
    if raised != floor:
        host.save_floor(raised)
    hook = atomic.Placement(0o640, gid=grp.getgrnam(paths.HOOK_USER).gr_gid)
    try:
        install_revocation_list(verified.update.krl)
        if verified.bundle is not None and verified.update.bundle is not None:
            install_authorities(verified.bundle.authorities)
            install_accounts(verified.bundle, verified.update.services)
            atomic.write(paths.BUNDLE, verified.update.bundle, hook)
    except keygen.KeygenError as error:
        raise Refused(str(error)) from error
    atomic.write(paths.FRESH, verified.update.fresh, hook)


def hold() -> None:
    """Take back the CA's word until `release`: by this clock it could seem current for ever."""
    with contextlib.suppress(FileNotFoundError):
        os.rename(paths.FRESH, HELD)
        atomic.sync(paths.POLICY)
        service.log("the clock was set back: nobody gets in until it is right or the CA is heard")


def release() -> None:
    """Put back what `hold` took, unless there is a newer one."""
    if os.path.exists(paths.FRESH):
        atomic.remove(HELD)
    elif os.path.exists(HELD):
        os.rename(HELD, paths.FRESH)
        atomic.sync(paths.POLICY)
        service.log("the clock is right: logins are decided again")


def install_revocation_list(krl: bytes) -> None:
    """Put the revocation list in place, if it is another one.

    Raises:
        KeygenError: sshd would not read it.
    """
    if _content(paths.REVOKED) != krl:
        atomic.write(paths.REVOKED, krl, atomic.PUBLIC, keygen.check_revocation_list)


def install_authorities(blobs: tuple[bytes, ...]) -> None:
    """Put the trusted CA keys in place, if they are others.

    Raises:
        KeygenError: sshd would not read each of them.
    """
    data = "".join(f"{Reader(blob).text()} {b64(blob)}\n" for blob in blobs).encode()
    if _content(paths.USER_CA) != data:
        atomic.write(
            paths.USER_CA, data, atomic.PUBLIC, lambda path: keygen.check_keys(path, len(blobs))
        )


def install_accounts(found: bundle.Bundle, services: tuple[str, ...]) -> None:
    """Give each service that the bundle knows its uid and its home.

    A uid is on the disk as given before anything is its own, and a home is there before the name
    leads to it.
    """
    known = load_accounts()
    if known.live.keys() == set(services):
        return  # as after most changes; to take ten thousand names apart takes a while
    # A map that came back from a backup does not know all who have files here.
    known = accounts.recover(known, paths.HOMES)
    # The list of names is not signed: a name in it that the bundle does not know gets nothing.
    names = {name for name in services if name in known.live or _is_known(found, name)}
    reserved = accounts.reserve(known, names)
    if reserved.gone != known.gone:
        save_accounts(reserved)
    settled = accounts.settle(reserved, names)
    if settled.live != known.live:
        make_homes({name: uid for name, uid in settled.live.items() if name not in known.live})
        save_accounts(settled)
    if len(settled.live) < len(names):
        left = len(names) - len(settled.live)
        service.log(f"no uid is left for {left} services: nobody can log in to them")


def count_reporting(found: bundle.Bundle, services: Iterable[str]) -> int:
    """How many of these services only report some of what is asked for.

    Raises:
        ValueError: the bundle is damaged.
    """
    records = (found.service(name) for name in services)
    return sum(one is not None and one.reported is not None for one in records)


def load_accounts() -> accounts.Accounts:
    """Read the map of uids.

    Raises:
        AccountsError: it is damaged. It is not made anew: uids would be given a second time.
        OSError: it is not there, for which the same holds.
    """
    with open(paths.UIDS, "rb") as file:
        return _parsed(file.read(accounts.MAX_MAP))


_parsed = functools.lru_cache(maxsize=1)(accounts.parse)  # of ten thousand lines: read once


def save_accounts(known: accounts.Accounts) -> None:
    """Put a map of uids in place."""
    group = grp.getgrnam(paths.USERDB_USER).gr_gid
    atomic.write(paths.UIDS, accounts.render(known), atomic.Placement(0o640, gid=group))


def make_homes(live: dict[str, int]) -> None:
    """Make the homes of these services; one whose place is taken is left out, and named."""
    for name, uid in live.items():
        _make_home(name, uid)
    atomic.sync(paths.HOMES)


def _make_home(name: str, uid: int) -> None:
    try:
        accounts.make_home(paths.HOMES, name, uid)
    except accounts.AccountsError as error:
        service.log(str(error))


def _verify_freshness(
    update: Update, known: host.Host, floor: host.Floor, now: int
) -> freshness.Freshness:
    _verify_signature(update.fresh, update.fresh_signature, freshness.NAMESPACE)
    try:
        statement = freshness.parse(update.fresh)
    except freshness.FreshnessError as error:
        raise Refused(f"the freshness statement: {error}") from error
    if statement.host_id != known.id:
        raise Refused("the freshness statement is another host's")
    if not freshness.is_fresh(statement, freshness.MAX_OFFLINE, now):
        raise NotCurrent(
            f"the freshness statement is of {statement.issued_at}, good until"
            f" {statement.not_after}, and it is {now}: one of the clocks is wrong, or it is old",
            now - statement.issued_at,
        )
    for what, new, old in (
        ("policy", statement.version, floor.version),
        ("revocation list", statement.krl_version, floor.krl_version),
    ):
        if new < old:
            raise Refused(f"the {what} is older ({new}) than what was here before ({old})")
    return statement


def _verify_bundle(
    update: Update, known: host.Host, statement: freshness.Freshness, installed: Installed
) -> bundle.Bundle | None:
    """The bundle in the update, or None where the one in place is the current one."""
    if update.bundle is None:
        if Installed(statement.version, statement.digest) != installed:
            raise Refused("no bundle was sent, and the one in place is not the current one")
        return None
    _verify_signature(update.bundle, update.bundle_signature, bundle.NAMESPACE)
    if hashlib.sha256(update.bundle).hexdigest() != statement.digest:
        raise Refused("the bundle is not the one that the freshness statement names")
    try:
        found = bundle.from_bytes(update.bundle)
    except ValueError as error:
        raise Refused(f"the bundle: {error}") from error
    if found.host_id != known.id:
        raise Refused("the bundle is another host's")
    if found.version != statement.version:
        raise Refused("the bundle's version is not the one that the freshness statement names")
    return found


def _verify_revocation_list(krl: bytes, statement: freshness.Freshness) -> None:
    """Check what sshd does not: that the list is the one that was signed for.

    Otherwise whoever answers in the CA's name could leave entries out of it.
    """
    if hashlib.sha256(krl).hexdigest() != statement.krl_digest:
        raise Refused("the revocation list is not the one that the freshness statement names")
    try:
        found = revoked.read_version(krl)
    except WireError as error:
        raise Refused(f"the revocation list: {error}") from error
    if found != statement.krl_version:
        raise Refused(
            "the revocation list's version is not the one that the freshness statement names"
        )


def _verify_signature(data: bytes, signature: str, namespace: str) -> None:
    try:
        keygen.verify(data, signature, namespace, host.BUNDLE_SIGNERS)
    except keygen.KeygenError as error:
        raise Refused(f"{namespace}: the signature is not by the key of our CA: {error}") from error


def _is_known(found: bundle.Bundle, name: str) -> bool:
    try:
        parsed = parse_service(name)
        return parsed is not None and parsed.record == name and found.service(name) is not None
    except ValueError:
        return False


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
