"""Disks that are full, without inodes or read-only: every decision is the same as before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from machine.people import PASSWORD_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.host import Host

# A file system of its own with what a host needs of /var, as large as that.
SMALL_VAR = """
set -e
mount -t tmpfs -o mode=755,{limit} small /mnt
mkdir -p /mnt/lib /mnt/log /mnt/tmp
cp -a /var/lib/amrgate /mnt/lib/
ln -s /run /mnt/run
mount --move /mnt /var
{fill}
"""
FILL = "dd if=/dev/zero of={folder}/filling bs=512 2>&1 | grep 'No space'"
BREAKS = {
    "/var full": (
        SMALL_VAR.format(limit="size=1M", fill=FILL.format(folder="/var/tmp")),
        "umount -l /var",
    ),
    "/var without inodes": (
        SMALL_VAR.format(
            limit="nr_inodes=60",
            fill="i=0; while touch /var/log/$i; do i=$((i + 1)); done 2>/dev/null",
        ),
        "umount -l /var",
    ),
    "/tmp full": (
        "mount -t tmpfs -o size=64k small /tmp; " + FILL.format(folder="/tmp"),
        "umount -l /tmp",
    ),
    "all read-only": (
        "for one in /etc /usr/lib /srv /var /tmp /home; do mount -o remount,ro,bind $one; done",
        "for one in /etc /usr/lib /srv /var /tmp /home; do mount -o remount,rw,bind $one; done",
    ),
}


def decided(host: Host) -> tuple[str, tuple[int, str]]:
    """What alice, who shows enough, and carol, who does not, get to see."""
    refused = host.ssh("carol", "true")
    return host.ssh("alice", "echo in").out, (refused.status, refused.err)


@pytest.fixture(params=BREAKS)
def broken(host: Host, request: pytest.FixtureRequest) -> Iterator[tuple[str, tuple[int, str]]]:
    """What was decided before one of the disks broke."""
    host.require("mfa")
    host.certify("alice")
    host.certify("carol", PASSWORD_ONLY)
    before = decided(host)
    how, back = BREAKS[request.param]
    host.machine.check("sh", "-c", how)
    yield before
    host.machine.check("sh", "-c", back)
    assert decided(host) == before


@pytest.mark.attack(54)
def test_every_decision_is_the_same(host: Host, broken: tuple[str, tuple[int, str]]) -> None:
    assert broken[0] == "in\n"
    assert "Multi-factor authentication" in broken[1][1]
    assert host.machine.run("sh", "-c", "echo >/var/lib/amrgate/x && echo >/tmp/x").status

    assert decided(host) == broken

    assert host.admin_login() < 5
