"""sshd is started by systemd's socket instead of at boot, as some operators have it.

On Debian 11 that is one sshd for each connection (`sshd -i`), later one that is given the socket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.hosts import wait_for
from tests.releases import renewal
from tests.releases.traffic import SOON

if TYPE_CHECKING:
    from tests.releases.life import Life


def go_through(life: Life) -> None:
    """Let in, refuse, end what is open, renew and mend as before."""
    _change(life, "ssh.service", "ssh.socket")
    life.be_healthy()  # while no sshd runs
    life.mend()
    assert life.lets_in()
    life.be_refused()
    life.end_sessions()
    renewal.renew(life)
    life.mend()
    life.be_healthy()
    _change(life, "ssh.socket", "ssh.service")
    wait_for(life.lets_in, SOON)


def _change(life: Life, old: str, new: str) -> None:
    for words in (("disable", "--now", old), ("stop", "ssh.service"), ("enable", "--now", new)):
        life.host.check("systemctl", *words)
    assert life.host.check("systemctl", "is-active", new) == "active\n"
