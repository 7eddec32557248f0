"""Cures that help against several faults."""

from __future__ import annotations

AGENT = (
    "Restart the agent (`systemctl restart amrgate-agent`): it fetches everything, or logs why not."
)
AGAIN = "Run `sshd-hook unenroll`, then enroll this host again."
REINSTALL = "Install the hook again (its package, or unenroll and enroll)."
