"""Times as operators read them."""

from datetime import UTC, datetime

_UNITS = {"day": 86400, "hour": 3600, "minute": 60}  # in seconds


def ago(seconds: int) -> str:
    """How long ago something was: "3 minutes ago"; "in 2 hours" for what is to come."""
    for unit, length in _UNITS.items():
        count = abs(seconds) // length
        if count:
            words = f"{count} {unit}{'' if count == 1 else 's'}"
            return f"{words} ago" if seconds > 0 else f"in {words}"
    return "just now"


def moment(seconds: int | None) -> str | None:
    """A time in UTC, for programs and logs: "2026-11-24 09:40:00Z"."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
