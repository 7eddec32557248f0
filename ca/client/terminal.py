"""Words for people at a terminal."""

import re
from datetime import UTC, datetime

from ca.errors import InvalidRequest

_UNITS = (("d", 86400, "day"), ("h", 3600, "hour"), ("m", 60, "minute"), ("s", 1, "second"))


def safe(text: str) -> str:
    r"""`text` with all that could move the cursor, forge a line or turn the text round as \x1b.

    For whatever a server, a file or a certificate says.
    """
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def roughly(seconds: int) -> str:
    """A length of time in its largest unit: "59 minutes", "1 day"."""
    for _, length, unit in _UNITS:
        if seconds >= length:
            count = seconds // length
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return "0 seconds"


def moment(at: int) -> str:
    """A time, such as "2026-11-24 09:40:00 UTC"; a certificate may name one beyond all years."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return "a time beyond all years"


def seconds(text: str) -> int:
    """Read a length of time such as "90s", "5m", "1h" or "1d".

    Raises:
        InvalidRequest: it is none.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,6})([smhd])", text, re.ASCII)
    if found is None:
        raise InvalidRequest("must be a number and s, m, h or d, such as 5m.")
    return int(found[1]) * next(length for short, length, _ in _UNITS if short == found[2])


def requirement(amr: tuple[str, ...], max_age: int | None) -> str:
    """What a step-up asks for, in a sentence."""
    if len(amr) == 1 and max_age is None:
        if amr[0] == "mfa":
            return "Multi-factor authentication (MFA) is required."
        return f"Single sign-on (SSO) is required, provider: {amr[0].removeprefix('sso:')}."
    if not amr and max_age is not None:
        return "More recent authentication is required."
    return "Re-authentication is required."


def login_command(amr: tuple[str, ...], max_age: int | None) -> str:
    """The command that logs in as a step-up asks."""
    words = ["amrgate", "login"]
    if amr:
        words += ["--method", ",".join(amr)]
    if max_age is not None:
        words += ["--max-age", short(max_age)]
    return " ".join(words)


def short(length: int) -> str:
    """A length of time as `seconds` reads it."""
    return next(f"{length // unit}{name}" for name, unit, _ in _UNITS if length % unit == 0)
