"""What this host decides by: its enrolment, policy, freshness, revocation list and CA keys."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time

from sshd_hook import freshness, paths
from sshd_hook.agent import apply, clock, host, keygen, revoked
from sshd_hook.doctor.examined import Unknown
from sshd_hook.doctor.findings import Finding
from sshd_hook.wire import WireError, unb64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sshd_hook.doctor.examined import Examined

HEARD_LATELY = 1800  # seconds: three of the CA's words were missed
DAY = 86400
NEW = 900  # seconds: a word is at most ten minutes old when it comes


def check_enrolment(_examined: Examined) -> Iterator[Finding]:
    """That this host knows its CA, and what it must not fall behind."""
    try:
        host.load()
    except host.HostError as error:
        yield Finding("not-enrolled", str(error))
    try:
        host.load_floor()
    except host.HostError:
        yield Finding("floor-damaged", host.FLOOR)


def check_bundle(examined: Examined) -> Iterator[Finding]:
    """That the policy is there, whole, this host's, and no older than what was."""
    try:
        data = examined.bundle_bytes
    except Unknown:
        yield Finding("bundle-missing", paths.BUNDLE)
        return
    try:
        found = examined.bundle
    except Unknown as error:
        yield Finding("bundle-damaged", str(error.__cause__))
        return
    statement = examined.statement
    if found.host_id != examined.record.id:
        yield Finding("bundle-foreign", f"it is for {found.host_id}")
    elif found.version < examined.floor.version:
        yield Finding("bundle-rolled-back", f"{found.version} after {examined.floor.version}")
    elif found.version == statement.version and _digest(data) != statement.digest:
        yield Finding("bundle-damaged", "it is not the one that the CA's word is about")


def check_reporting(examined: Examined) -> Iterator[Finding]:
    """That all that is asked of a login is held against it, and nothing is only reported."""
    services = examined.live_services
    count = apply.count_reporting(examined.bundle, services)
    if count:
        yield Finding("report-only", f"on {count} of {len(services)} services")


def check_freshness(examined: Examined) -> Iterator[Finding]:
    """That the CA said so lately, by the clock of this host."""
    try:
        statement = examined.statement
    except Unknown as error:
        yield Finding("fresh-missing", str(error.__cause__))
        return
    age = examined.now - statement.issued_at
    is_good = freshness.is_fresh(statement, freshness.MAX_OFFLINE, examined.now)
    if not is_good and age >= -freshness.CLOCK_SKEW:
        yield Finding("fresh-expired", f"{age} s ago")
    elif age > HEARD_LATELY:
        yield Finding("fresh-old", f"for {age} s")
    foreign = statement.host_id != examined.record.id
    if foreign or statement.version != examined.bundle.version:
        about = f"version {statement.version} for {statement.host_id}"
        yield Finding("fresh-mismatch", about)


def check_clock(examined: Examined) -> Iterator[Finding]:
    """That this host's clock is the CA's, by the word that is here, and by what the agent saw."""
    seen = clock.read()
    behind, ahead = -seen.skew, seen.skew
    with contextlib.suppress(Unknown):
        issued_at = examined.statement.issued_at
        behind = max(behind, issued_at - examined.now - freshness.CLOCK_SKEW + clock.BEHIND)
        ahead = max(ahead, int(os.stat(paths.FRESH).st_mtime) - issued_at - NEW + clock.AHEAD)
    if behind > clock.BEHIND:
        yield Finding("clock-behind", f"by {behind} s at least")
    if ahead > clock.AHEAD:
        yield Finding("clock-ahead", f"by {ahead} s at least")
    if seen.set_by and abs(examined.now - seen.set_at) < DAY:
        moment = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seen.set_at))
        yield Finding("clock-set", f"by {seen.set_by:+} s, to {moment}")


def check_revocation_list(examined: Examined) -> Iterator[Finding]:
    """That sshd reads the list, and that it is the one that it should be."""
    try:
        with open(paths.REVOKED, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        yield Finding("krl-missing", paths.REVOKED)
        return
    if not data:
        yield Finding("krl-empty", paths.REVOKED)
        return
    try:
        keygen.check_revocation_list(paths.REVOKED)
        version = revoked.read_version(data)
    except (keygen.KeygenError, WireError) as error:
        yield Finding("krl-unreadable", str(error))
        return
    wanted = max(examined.floor.krl_version, examined.statement.krl_version)
    if version < wanted:
        yield Finding("krl-old", f"{version}, not {wanted}")
    elif version == wanted and _digest(data) != examined.statement.krl_digest:
        yield Finding("krl-differs", f"version {version}")


def check_authorities(examined: Examined) -> Iterator[Finding]:
    """That sshd reads each CA key, and that they are those of the policy."""
    try:
        with open(paths.USER_CA, encoding="utf-8", errors="replace") as file:
            lines = [line for line in file if line.strip() and not line.startswith("#")]
        if lines:
            keygen.check_keys(paths.USER_CA, len(lines))
    except (FileNotFoundError, keygen.KeygenError) as error:
        yield Finding("ca-keys-unreadable", str(error))
        return
    if {unb64(line.split()[1]) for line in lines} != set(examined.bundle.authorities):
        yield Finding("ca-keys-differ", f"{len(lines)} in {paths.USER_CA}")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


CHECKS: tuple[Callable[[Examined], Iterator[Finding]], ...] = (
    check_enrolment,
    check_bundle,
    check_reporting,
    check_freshness,
    check_clock,
    check_revocation_list,
    check_authorities,
)
