"""All checks, and what they found: for people, for programs, and as an exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from sshd_hook import paths
from sshd_hook.doctor import gate, machine, names, pam, placement, policy, programs, sshd
from sshd_hook.doctor.codes import CODES
from sshd_hook.doctor.examined import Examined, Unknown
from sshd_hook.doctor.findings import FAULT, HEALTHY, SEVERITIES, UNKNOWN, WARNING, Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CHECKS = (
    *policy.CHECKS,
    *sshd.CHECKS,
    *gate.CHECKS,
    *pam.CHECKS,
    *placement.CHECKS,
    *programs.CHECKS,
    *names.CHECKS,
    *machine.CHECKS,
)
MAX_ABOUT = 300  # characters


def run(*, as_json: bool) -> int:
    """Examine this host, say what is wrong with it, and return the exit status."""
    if os.geteuid() != 0:
        sys.stderr.write("sshd-hook: this needs root: run it with sudo\n")
        return UNKNOWN
    found = findings(int(time.time()))
    sys.stdout.write(as_object(found) if as_json else as_text(found))
    return status(found)


def findings(now: int) -> list[Finding]:
    """What is wrong, the worst first. On a machine that never was a host, only that."""
    host = Examined(now)
    if not os.path.exists(paths.CONFIGURATION) and not os.path.exists(paths.SSHD_DROP_IN):
        return list(policy.check_enrolment(host))
    found = [finding for check in CHECKS for finding in _make(check, host)]
    return sorted(dict.fromkeys(found), key=lambda finding: -CODES[finding.code].severity)


def status(found: Sequence[Finding]) -> int:
    """The exit status: the worst severity."""
    return max((CODES[finding.code].severity for finding in found), default=HEALTHY)


def as_text(found: Sequence[Finding]) -> str:
    """Two lines for each: what is wrong, and the cure; and one to end with."""
    lines = []
    for finding in found:
        code = CODES[finding.code]
        lines.append(f"{SEVERITIES[code.severity]} {finding.code}: {_wrong(finding)}\n")
        lines.append(f"    {code.cure}\n")
    counts = {kind: sum(CODES[one.code].severity == kind for one in found) for kind in SEVERITIES}
    if not found:
        return "healthy\n"
    return "".join(lines) + f"faults: {counts[FAULT]}, warnings: {counts[WARNING]}\n"


def as_object(found: Sequence[Finding]) -> str:
    """The same as a JSON object on one line."""
    listed = [
        {
            "code": finding.code,
            "severity": SEVERITIES[CODES[finding.code].severity],
            "wrong": CODES[finding.code].wrong,
            "about": _one_line(finding.about),
            "cure": CODES[finding.code].cure,
        }
        for finding in found
    ]
    return json.dumps({"status": status(found), "findings": listed}) + "\n"


def _make(check: Callable[[Examined], Iterator[Finding]], host: Examined) -> list[Finding]:
    """What one check finds; one that fails finds that."""
    found: list[Finding] = []
    try:
        found.extend(check(host))
    except Unknown:
        pass  # another check says why
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        found.append(Finding("check-failed", f"{check.__name__}: {error}"))
    return found


def _wrong(finding: Finding) -> str:
    wrong = CODES[finding.code].wrong
    return f"{wrong}: {_one_line(finding.about)}" if finding.about else wrong


def _one_line(text: str) -> str:
    """Text of others' as it can stand in one line of a terminal."""
    words = "; ".join(text.split("\n"))
    return "".join(letter if letter.isprintable() else "?" for letter in words)[:MAX_ABOUT]
