"""What this host obeys, and until when, for whoever asks at its terminal."""

from __future__ import annotations

import os
import time

from sshd_hook import accounts, bundle, freshness, paths
from sshd_hook.agent import apply, host, host_certificates


class StatusError(Exception):
    """There is nothing to say; the message says why."""


def report(now: int) -> tuple[list[str], bool]:
    """The lines to show, and whether logins are decided at present.

    Raises:
        StatusError: this host is not enrolled.
    """
    try:
        known = host.load()
    except host.HostError as error:
        raise StatusError(str(error)) from error
    installed = apply.read_installed(known)
    lines = [
        f"host       {known.name} ({known.id})",
        f"CA         {known.ca}",
        f"version    {installed.version or 'none'}",
    ]
    try:
        with open(paths.FRESH, "rb") as file:
            statement = freshness.parse(file.read())
    except (OSError, freshness.FreshnessError) as error:
        return [*lines, f"current    no: {error}"], False
    heard = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(statement.issued_at))
    until = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(statement.not_after))
    good = freshness.is_fresh(statement, freshness.MAX_OFFLINE, now)
    lines.append(f"heard      {heard} UTC, {now - statement.issued_at} s ago")
    lines.append(f"current    {'yes' if good else 'NO'}, at most until {until} UTC")
    lines.append(f"reports    {reporting()}")
    lines.extend(certificates(now))
    lines.append(f"userdb     {'there' if os.path.exists(paths.USERDB_SOCKET) else 'MISSING'}")
    return lines, good and bool(installed.version)


def reporting() -> str:
    """How many services let in also who lacks some of what is asked for, which is reported."""
    try:
        every = apply.load_accounts().live
        with open(paths.BUNDLE, "rb") as file:
            count = apply.count_reporting(bundle.from_bytes(file.read()), every)
    except (OSError, ValueError, accounts.AccountsError) as error:
        return f"not known: {error}"
    return f"{count} of {len(every)} services" if count else "none: all is held that is asked for"


def certificates(now: int) -> list[str]:
    """A line for each host certificate, or for why they cannot be read."""
    try:
        found = host_certificates.installed()
    except (OSError, ValueError) as error:
        return [f"certified  no: {error}"]
    return [
        f"certified  {one.key_line.split()[0]}, {one.days_left(now)} days left" for one in found
    ]
