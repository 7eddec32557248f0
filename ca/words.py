"""Words for people, most of them at a terminal."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from ca.errors import InvalidRequest

MAX_SECONDS = 9_999_999 * 86400  # what `seconds` can read

_UNITS = (("d", 86400, "day"), ("h", 3600, "hour"), ("m", 60, "minute"), ("s", 1, "second"))
_METHODS = {
    "pwd": "password",
    "otp": "authenticator code",
    "hwk": "security key",
    "swk": "passkey",
    "recovery": "recovery code",
}


# The first that is found: each of them also claims to be those below it.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome or Chromium"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def safe(text: str) -> str:
    r"""`text` with all that could move the cursor, forge a line or turn the text round as \x1b.

    For whatever a server, a file or a certificate says.
    """
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def methods(amr: Iterable[str]) -> str:
    """What a login proved: "password and authenticator code (multi-factor)"."""
    values = sorted(amr)
    words = [_METHODS[value] for value in _METHODS if value in values]
    words += [f"single sign-on ({_provider(value, values)})" for value in values if _is_sso(value)]
    known = {*_METHODS, "mfa"}
    words += [value for value in values if value not in known and not value.startswith("sso:")]
    listed = " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
    several = " (multi-factor)" if "mfa" in values else ""
    return safe(listed or "nothing") + several


def _is_sso(value: str) -> bool:
    return value.startswith("sso:") and value.count(":") == 1


def _provider(value: str, values: Iterable[str]) -> str:
    """The provider of a login there, and whether it told of more than one factor."""
    return f"{value[4:]}, with MFA" if f"{value}:mfa" in values else value[4:]


def device(user_agent: str) -> str:
    """What a program says that it is; in its own words where we do not know them."""
    if not user_agent.startswith("Mozilla/"):
        return user_agent or "unknown device"
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    return f"{browser} on {system}" if browser and system else user_agent


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
    """Read a length of time such as "90s", "5m", "1h" or "1d"; a bare number is of seconds.

    Raises:
        InvalidRequest: it is none.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,6})([smhd]?)", text, re.ASCII)
    if found is None:
        raise InvalidRequest("must be a number and s, m, h or d, such as 5m.")
    unit = found[2] or "s"
    return int(found[1]) * next(length for short, length, _ in _UNITS if short == unit)


def short(length: int) -> str:
    """A length of time as `seconds` reads it."""
    return next(f"{length // unit}{name}" for name, unit, _ in _UNITS if length % unit == 0)


def login_command(amr: Iterable[str], max_age: int | None) -> str:
    """The command of a login that proves all of `amr` within `max_age` seconds."""
    parts = ["amrgate", "login"]
    if asked := ",".join(amr):
        parts += ["--method", asked]
    if max_age is not None:
        parts += ["--max-age", short(max_age)]
    return " ".join(parts)
