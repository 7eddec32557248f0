"""The agent's real unit renews the certificates by which clients know the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine.clients import HOST, SERVICE
from sshd_hook import paths
from sshd_hook.agent.host_certificates import ENDING
from tests.hosts import wait_for
from tests.releases.traffic import NOT_ANSWERED, SOON

if TYPE_CHECKING:
    from machine.private import Result
    from tests.releases.life import Life

CERTIFICATES = f"{paths.CONFIGURATION}/*{ENDING}"
# Alice's own ssh knows the host by the CA alone, and asks nobody.
BY_THE_CA = ("-o", "GlobalKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=yes")


def renew(life: Life) -> None:
    """Let them end while the agent is stopped; started, it has new ones before long."""
    host = life.host
    stayed = life.office.open("alice", "cat")
    assert knows(life)
    host.check("systemctl", "stop", "amrgate-agent")
    _let_them_end(life)
    assert "host-certificate-expired" in life.doctor()
    assert not knows(life)
    host.check("systemctl", "start", "amrgate-agent")
    wait_for(lambda: knows(life), SOON)
    assert "host-certificate-expired" not in life.doctor()
    assert stayed.communicate("still here\n")[0] == "still here\n"
    life.is_active()


def knows(life: Life) -> bool:
    """Whether alice gets in where nothing but a certificate says that the host is the right one."""
    words = ("ssh", "-o", "BatchMode=yes", *BY_THE_CA, f"{SERVICE}@{HOST}", "echo", "in")
    answers: list[Result] = []

    def is_answered() -> bool:
        """Or nobody listens: an sshd that reads its configuration again starts anew."""
        answers.append(life.office.machine.run(*words, user="alice"))
        return NOT_ANSWERED.search(answers[-1].err) is None

    wait_for(is_answered, SOON)
    ran = answers[-1]
    assert ran.out == "in\n" or "Host key verification failed" in ran.err, ran
    return ran.out == "in\n"


def _let_them_end(life: Life) -> None:
    host = life.host
    files = host.check("sh", "-c", f"ls {CERTIFICATES}").split()
    ended = life.office.expired([host.check("cat", file) for file in files])
    for file, line in zip(files, ended, strict=True):
        host.path(file).write_text(f"{line}\n")
    host.check("systemctl", "try-restart", "ssh")
