"""What a check finds, and how bad that is."""

from __future__ import annotations

from dataclasses import dataclass

# As monitoring reads an exit status (Nagios plugin guidelines): nobody could look is 3.
HEALTHY, WARNING, FAULT, UNKNOWN = range(4)
SEVERITIES = {WARNING: "warning", FAULT: "fault"}


@dataclass(frozen=True)
class Code:
    """A kind of finding: its severity, what is wrong, and what to do, in one line each."""

    severity: int
    wrong: str
    cure: str


@dataclass(frozen=True)
class Finding:
    """Something that is wrong here; `about` says where, or is empty."""

    code: str
    about: str = ""
