"""Another version of openssh is installed while people log in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sshd_hook import hostfiles, paths
from tests.hosts import wait_for
from tests.releases.traffic import SOON, Traffic

if TYPE_CHECKING:
    from tests.releases.life import Life

KEEP = ("--force-confdef", "--force-confold")  # as unattended upgrades do


def upgrade(life: Life) -> None:
    """From the oldest version of the release's pools, which it has, to the newest."""
    host = life.host
    stayed = life.office.open("alice", "cat")
    before = version(life)
    with Traffic(life.office) as traffic:
        traffic.wait_for_more()
        host.check("dpkg", *KEEP, "--install", *life.newer_sshd)
        traffic.wait_for_more()
    assert not traffic.wrong, traffic.wrong
    lost = [login.name for login in traffic.shut_out]
    print(
        f"          from {before} to {version(life)}: {len(traffic.logins)} logins,"
        f" {len(lost)} not answered, {lost.count('admin')} of them the administrator's",
        flush=True,
    )
    assert stayed.communicate("still here\n")[0] == "still here\n"
    assert paths.ACCOUNT in host.path(hostfiles.PAM).read_text()
    assert host.path(paths.SSHD_DROP_IN).exists()
    wait_for(life.lets_in, SOON)
    life.be_healthy()


def version(life: Life) -> str:
    """The version that is installed."""
    return life.host.check("dpkg-query", "-W", "-f", "${Version}", "openssh-server")
