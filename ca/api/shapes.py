"""How existing clients expect things to look. What makes no sense here is null, empty or false."""

from datetime import UTC, datetime


def moment(seconds: int) -> str:
    """A time as text (RFC 3339)."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
