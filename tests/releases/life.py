"""The life of the package on one host, step by step; after each the administrator logs in."""

from __future__ import annotations

import json
import re
import time
from functools import partial
from typing import TYPE_CHECKING

from machine.clients import HOST, SERVICE
from sshd_hook import accounts, hostfiles, paths
from tests.hosts import wait_for
from tests.releases import by_socket, crowd, key_kinds, openssh, renewal
from tests.releases.office import REQUIREMENT
from tests.releases.traffic import NO_ACCESS, SOON, Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.releases.booted import Booted
    from tests.releases.office import Office
    from tests.releases.pools import Pool

PACKAGE = "amrgate-sshd-hook"
ADMIN_KEY = "/root/admin-key"
HANGS = 45.0  # seconds for each login, if nobody replaced a user database that does not answer
# What comes and goes, or that others write: dpkg's and apt's own lists, logs, /etc/ld.so.cache.
NOT_OURS = r"^/(proc|sys|dev|run|tmp|root|home|var/(tmp|log|cache|lib/(dpkg|apt|systemd)))(/|$)"
ASKED = (
    "Error: Access denied\n"
    f"Service: {SERVICE}\n"
    "User: Alice Archer (%s)\n"
    'Parameters: {"amr":["mfa"]}\n'
    "Detail: Additional authentication is required:\n"
    "\t - Multi-factor authentication (MFA)\n"
)
# As when an upgrade of openssh has another file for PAM, and the administrator takes it.
REINSTALL = f"echo '# edited' >> {hostfiles.PAM} && dpkg --force-confask,confnew --install %s && rm {hostfiles.PAM}.dpkg-old"


class Life:
    """A host, its office, and the package in two versions."""

    def __init__(self, host: Booted, office: Office, pool: Pool, older: Path, newer: Path) -> None:
        self.host = host
        self.office = office
        office.log_in()
        self.older = host.put(older)
        self.newer = host.put(newer)
        self._package = newer
        self.uid = 0
        older_sshd, self.newer_sshd = (
            [host.put(file) for file in sorted(folder.iterdir())]
            for folder in (pool.older, pool.newer)
        )
        host.check("dpkg", "--install", *older_sshd)
        _hire_an_administrator(host, office)
        self._replace_sshd(older_sshd)  # for what of openssh that leaves is not ours
        self.before = files(host)

    def steps(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Each step's name, and what does it."""
        yield "install the package: nothing else changes", self.install
        yield "enroll with a real CA", self.enroll
        yield "log in", self.log_in
        yield "be refused, with the text", self.be_refused
        yield "doctor and status", self.be_healthy
        yield "upgrade while people log in", self.upgrade
        yield "upgrade openssh while people log in", partial(openssh.upgrade, self)
        yield "fifty log in at once, half without a factor", partial(crowd.crowd, self)
        yield "log in with keys of each kind", partial(key_kinds.log_in_with_each, self)
        yield "renew the host's certificates", partial(renewal.renew, self)
        yield "the same with sshd by its socket", partial(by_socket.go_through, self)
        yield "kill -STOP the user database", self.hang
        yield "log out by logind what is refused by now", self.end_sessions
        yield "fill /run", self.fill
        yield "reinstall openssh over our PAM lines", self.reinstall_sshd
        yield "reboot", self.reboot
        yield "remove: unenrolled first", self.remove
        yield "install and enroll again: same uid", self.come_back
        yield "unenroll", self.unenroll
        yield "purge: nothing is left", self.purge
        yield "Ansible's role, twice", self.play

    def install(self) -> None:
        self.host.check("dpkg", "--install", self.older)
        made = {path for path in files(self.host) - self.before if "amrgate" not in path}
        assert made <= {"/usr/bin/sshd-hook", "/usr/share/man/man8/sshd-hook.8.gz"}, made
        assert self.host.run("sshd-hook", "doctor").status != 0
        assert self.host.run("systemctl", "is-active", "amrgate-agent").status != 0

    def enroll(self) -> None:
        admin = ("--admin", f"admin@{HOST}", "--admin-key", ADMIN_KEY)
        self.host.check("sshd-hook", *self.office.invite(), *admin)
        self.is_active()
        assert not self.host.path("/etc/systemd/system/amrgate-agent.service").exists()

    def mend(self) -> None:
        self.host.check("sshd-hook", "enroll", "--admin", f"admin@{HOST}", "--admin-key", ADMIN_KEY)

    def log_in(self) -> None:
        wait_for(self.lets_in, SOON)
        self.uid = int(self.office.ssh("alice", "id", "-u").out)
        live = accounts.parse(self.host.path(paths.UIDS).read_bytes()).live
        assert live[SERVICE] == self.uid

    def be_refused(self) -> None:
        refused = self.office.ssh("mallory", "id")
        assert (refused.status, refused.out) == (255, ""), refused
        assert NO_ACCESS in refused.err, refused.err
        self.office.require(REQUIREMENT)
        wait_for(lambda: not self.lets_in(), SOON)
        refused = self.office.ssh("alice", "id")
        user = re.findall(r"User: Alice Archer \((.*)\)", refused.err)[0]
        assert ASKED % user in refused.err, refused.err
        self.office.require("")
        wait_for(self.lets_in, SOON)

    def be_healthy(self) -> None:
        found = json.loads(self.host.run("sshd-hook", "doctor", "--json").out)
        faults = [one for one in found["findings"] if one["severity"] == "fault"]
        assert not faults, faults
        assert "current    yes" in self.host.check("sshd-hook", "status")

    def upgrade(self) -> None:
        before = self.started()
        stayed = self.office.open("alice", "cat")
        with Traffic(self.office) as traffic:
            traffic.wait_for_more()
            self.host.check("dpkg", "--install", self.newer)
            traffic.wait_for_more()
        assert not traffic.wrong, traffic.wrong
        assert not traffic.shut_out, traffic.shut_out
        assert not self.host.path(f"{paths.LIBRARY}/sshd_hook/journal.py").exists()
        assert not list(self.host.path(f"{paths.LIBRARY}/sshd_hook").rglob("journal.*"))
        assert all(new != old for new, old in zip(self.started(), before, strict=True))
        assert stayed.communicate("still here\n")[0] == "still here\n"
        self.is_active()
        self.be_healthy()

    def hang(self) -> None:
        pid = self.main_pid("amrgate-userdb")
        self.host.check("kill", "-STOP", pid)
        begun = time.monotonic()
        assert self.office.admin("true").status == 0
        assert self.lets_in()
        assert time.monotonic() - begun < HANGS
        assert self.main_pid("amrgate-userdb") != pid

    def end_sessions(self) -> None:
        detach = "setsid sleep 4321 > /dev/null 2>&1 < /dev/null & echo there; cat"
        stayed = self.office.open("alice", detach)
        assert stayed.stdout is not None
        assert stayed.stdout.readline() == "there\n"
        assert "session-" in self.cgroup_of("sleep 4321")
        self.office.require(REQUIREMENT)
        assert stayed.wait(SOON) == 255
        wait_for(lambda: self.host.run("pgrep", "-f", "^sleep 4321").status != 0, SOON)
        self.office.require("")
        wait_for(self.lets_in, SOON)

    def fill(self) -> None:
        # Again and again, for the journal makes room for itself and so for others.
        again = "while :; do cat /dev/zero >> /run/filling; sleep 0.02; done"
        filler = self.host.spawn("sh", "-c", again, log="/dev/null")
        wait_for(lambda: not self.lets_in(), SOON)
        refused = self.office.ssh("mallory", "id")
        assert refused.out == "", refused
        assert self.office.admin("true").status == 0
        self.host.check("kill", str(filler))
        self.host.check("rm", "/run/filling")
        wait_for(self.lets_in, SOON)

    def reinstall_sshd(self) -> None:
        stayed = self.office.open("alice", "cat")
        self._replace_sshd(self.newer_sshd)
        assert paths.ACCOUNT not in self.host.path(hostfiles.PAM).read_text()
        codes = self.doctor()
        assert "pam-line-missing" in codes, codes
        refused = self.office.ssh("mallory", "id")
        assert refused.out == ""
        # By the forced command alone. Debian 11 has no shadow entries for services, so there PAM's
        # own modules refuse whom our line does not excuse from them.
        has_shadow = self.host.run("getent", "shadow", SERVICE).status == 0
        assert (NO_ACCESS in refused.err) == has_shadow, refused
        assert stayed.communicate("still here\n")[0] == "still here\n"
        self.mend()
        assert "pam-line-missing" not in self.doctor()
        assert self.lets_in()

    def reboot(self) -> None:
        self.host.reboot()
        wait_for(self.lets_in, SOON)
        assert int(self.office.ssh("alice", "id", "-u").out) == self.uid
        self.is_active()
        folder = self.host.check("stat", "-c", "%U %a", paths.VERDICTS)
        assert folder == f"{paths.HOOK_USER} 700\n", folder
        self.be_healthy()

    def remove(self) -> None:
        assert self.lets_in("echo keep > kept && echo in")
        self.host.check("dpkg", "--remove", PACKAGE)
        assert self.office.ssh("alice", "id").out == ""
        assert self.host.run("getent", "passwd", SERVICE).status != 0
        gone = (paths.PROGRAMS, paths.CONFIGURATION, paths.SSHD_DROP_IN, paths.RUN)
        assert not [path for path in gone if self.host.path(path).exists()]
        assert self.host.path(paths.UIDS).exists()

    def come_back(self) -> None:
        self.host.check("dpkg", "--install", self.newer)
        self.enroll()
        wait_for(self.lets_in, SOON)
        assert self.office.ssh("alice", "cat", "kept").out == "keep\n"
        assert int(self.office.ssh("alice", "id", "-u").out) == self.uid

    def unenroll(self) -> None:
        assert self.lets_in("rm kept; echo in")
        self.host.check("sshd-hook", "unenroll")
        assert self.office.ssh("alice", "id").out == ""
        assert self.host.path(paths.ACCOUNT).exists()

    def purge(self) -> None:
        self.host.check("dpkg", "--purge", PACKAGE)
        after = files(self.host)
        assert after == self.before, after ^ self.before
        assert self.host.run("dpkg-query", "-W", PACKAGE).status != 0

    def play(self) -> None:
        first = self.office.play(self._package)
        assert "failed=0" in first
        wait_for(self.lets_in, SOON)
        again = self.office.play(self._package)
        assert "changed=0 " in again, again

    def _replace_sshd(self, packages: list[str]) -> None:
        server = next(path for path in packages if "openssh-server_" in path)
        self.host.check("sh", "-c", REINSTALL % server)

    # --- looking -------------------------------------------------------------------------

    def lets_in(self, command: str = "echo in") -> bool:
        return self.office.ssh("alice", command).out == "in\n"

    def is_active(self) -> None:
        for unit in ("amrgate-userdb.socket", "amrgate-userdb-root.socket", "amrgate-agent"):
            assert self.host.check("systemctl", "is-active", unit) == "active\n"
            assert self.host.check("systemctl", "is-enabled", unit) == "enabled\n"
        failed = self.host.check("systemctl", "--failed", "--no-legend", "--plain")
        assert "amrgate" not in failed, failed

    def main_pid(self, unit: str) -> str:
        return self.host.check("systemctl", "show", "-p", "MainPID", "--value", unit).strip()

    def started(self) -> list[str]:
        """The processes of our two units."""
        return [self.main_pid(unit) for unit in ("amrgate-userdb", "amrgate-agent")]

    def cgroup_of(self, command: str) -> str:
        find = ("pgrep", "-n", "-f", f"^{command}")
        wait_for(lambda: self.host.run(*find).status == 0, SOON)
        return self.host.path(f"/proc/{self.host.check(*find).strip()}/cgroup").read_text()

    def doctor(self) -> set[str]:
        found = json.loads(self.host.run("sshd-hook", "doctor", "--json").out)
        return {one["code"] for one in found["findings"]}


def files(host: Booted) -> set[str]:
    """Every file of the system with its content's hash, but for what others keep rewriting."""
    script = (
        f"find / -xdev \\( -type f -o -type d -o -type l \\) | grep -vE '{NOT_OURS}' | sort;"
        " md5sum /etc/passwd /etc/group /etc/shadow /etc/gshadow /etc/nsswitch.conf"
        " /etc/pam.d/sshd /etc/ssh/sshd_config"
    )
    return set(host.check("sh", "-c", script).splitlines())


def _hire_an_administrator(host: Booted, office: Office) -> None:
    make = (
        "useradd --create-home --shell /bin/bash admin && passwd -q -d admin;"
        " usermod -p '*' admin; install -d -m 700 -o admin -g admin /home/admin/.ssh;"
        f" ssh-keygen -q -t ed25519 -N '' -f {ADMIN_KEY};"
        " echo 'admin ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/admin;"
        f" install -m 600 -o admin -g admin {ADMIN_KEY}.pub /home/admin/.ssh/authorized_keys"
    )
    host.check("sh", "-c", make)
    host.path("/etc/hosts").write_text(f"127.0.0.1 localhost {HOST}\n")
    office.welcome(
        host.path("/etc/ssh/ssh_host_ed25519_key.pub").read_text(),
        host.path(ADMIN_KEY).read_text(),
    )
    assert office.admin("true").status == 0
