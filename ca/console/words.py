"""What pages say in words: devices, methods, ages. Pure."""

from collections.abc import Iterable

from ca.identity.proofs import LOGIN, Proof

METHODS = {
    "pwd": "password",
    "otp": "code of an app",
    "recovery": "recovery code",
    "hwk": "security key",
    "swk": "passkey",
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


def device(user_agent: str) -> str:
    """What a program says that it is; in its own words where we do not know them."""
    if not user_agent.startswith("Mozilla/"):
        return user_agent or "unknown device"
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    return f"{browser} on {system}" if browser and system else user_agent


def methods(proofs: Iterable[Proof]) -> str:
    """How somebody logged in."""
    named = [
        f"single sign-on {proof.amr[len(LOGIN) :]}"
        if proof.amr.startswith(LOGIN)
        else METHODS.get(proof.amr, proof.amr)
        for proof in proofs
    ]
    return " and ".join(named) or "nothing of a person's"


def age(seconds: int) -> str:
    """How long ago something was, in the largest unit."""
    for length, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length:
            count = seconds // length
            return f"{count} {unit}{'s' * (count > 1)} ago"
    return "just now"
