"""A host under AppArmor's profile of sshd, step by step; runs in a system under user-mode Linux.

`python -m tests.releases.confined PACKAGES`: a folder with AppArmor's packages and ours. The CA is
on the same system, and nothing of it is confined.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from machine import inside
from machine.clients import HOST, SERVICE
from machine.private import Machine
from sshd_hook import paths
from sshd_hook.doctor.codes import CODES
from tests.hosts import wait_for
from tests.releases import steps
from tests.releases.office import REQUIREMENT, Office
from tests.releases.traffic import NO_ACCESS, SOON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from machine.private import Result

PROFILE = "/etc/apparmor.d/usr.sbin.sshd"
EXTRA = "/usr/share/apparmor/extra-profiles/usr.sbin.sshd"
ADMIN_KEY = "/root/admin-key"
ENROLLING = 300.0  # seconds
DENIED = 'apparmor="DENIED" operation="exec" profile="/usr/sbin/sshd" name="%s"'
RESTART = "kill $(cat /run/sshd.pid) && sleep 1 && /usr/sbin/sshd"
MFA = "\t - Multi-factor authentication (MFA)\n"


class Confined:
    """The host, its office, and a key and certificate of each of the two."""

    def __init__(self, packages: Path) -> None:
        self.machine = Machine()
        files = [str(path) for path in packages.absolute().glob("*.deb")]
        self.machine.check("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--install", *files)
        self.machine.check("ip", "link", "set", "lo", "up")
        for person in ("alice", "mallory", "admin"):
            self._add(person)
        Path("/etc/hosts").write_text(inside.NAMES)
        inside.private_commands()
        Path("/usr/local/bin/sshd-hook").unlink()  # the package has its own
        self.office = Office(self.machine)
        self.keys = {
            one: self.office.make_key(one, "ed25519", "256") for one in ("alice", "mallory")
        }

    def steps(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Each step's name, and what does it."""
        yield "enroll, without a profile", self.enroll
        yield "log in and be refused", self.be_answered
        yield "put sshd under its profile: services are refused, doctor says why", self.confine
        yield "load the same profile again: doctor says it still", self.load_again
        yield "run the cure of the doctor: all as before, nothing is denied", self.cure

    def enroll(self) -> None:
        self.machine.check("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", ADMIN_KEY)
        keys = Path("/home/admin/.ssh/authorized_keys")
        self.machine.check("install", "-o", "admin", "-m", "600", f"{ADMIN_KEY}.pub", str(keys))
        host_key = Path("/etc/ssh/ssh_host_ed25519_key.pub").read_text()
        self.office.welcome(host_key, Path(ADMIN_KEY).read_text())
        self.machine.check("/usr/sbin/sshd")
        admin = ("--admin", f"admin@{HOST}", "--admin-key", ADMIN_KEY)
        words = ("sshd-hook", *self.office.invite(), *admin)
        enrolled = self.machine.run(*words, seconds=ENROLLING)
        assert enrolled.status == 0, enrolled
        self.machine.spawn(paths.SSHD_HOOK, "userdb", "--supervise", log="/var/log/userdb.log")
        self.machine.spawn(paths.SSHD_HOOK, "agent", log="/var/log/agent.log")
        wait_for(lambda: self.machine.run("getent", "passwd", SERVICE).status == 0, SOON)
        for person, key in self.keys.items():
            self.office.certify(person, [f"{key}.pub"], "pwd")

    def be_answered(self) -> None:
        wait_for(lambda: self.come("alice").out == "in\n", SOON)
        refused = self.come("mallory")
        assert NO_ACCESS in refused.err, refused
        self.office.require(REQUIREMENT)
        wait_for(lambda: self.come("alice").out == "", SOON)
        refused = self.come("alice")
        assert MFA in refused.err, refused
        self.office.require("")
        wait_for(lambda: self.come("alice").out == "in\n", SOON)
        healthy = self.machine.run("sshd-hook", "doctor")
        assert healthy.out == "healthy\n", healthy

    def confine(self) -> None:
        self.machine.check("cp", EXTRA, PROFILE)
        self.machine.check("apparmor_parser", "-r", PROFILE)
        self.machine.check("sh", "-c", RESTART)
        assert self.profile() == "/usr/sbin/sshd (enforce)\n"
        for person in self.keys:
            refused = self.come(person)
            assert "Permission denied" in refused.err, refused
        self.is_said()

    def load_again(self) -> None:
        self.machine.check("apparmor_parser", "-r", PROFILE)
        self.is_said()

    def cure(self) -> None:
        line = re.findall("`(.*?)`", CODES["security-denial"].cure)[0]
        self.machine.check("dmesg", "--read-clear")  # for `dmesg`; what the doctor reads stays
        self.machine.check("sh", "-c", line)
        assert self.profile() == "/usr/sbin/sshd (enforce)\n"
        self.be_answered()
        seen = self.machine.check("dmesg")
        assert 'operation="profile_replace"' in seen, seen
        assert 'apparmor="DENIED"' not in seen, seen

    # --- looking -------------------------------------------------------------------------

    def come(self, person: str) -> Result:
        return self.office.come(person, self.keys[person])

    def profile(self) -> str:
        return self.machine.check("sh", "-c", "cat /proc/$(cat /run/sshd.pid)/attr/current")

    def is_said(self) -> None:
        """The doctor shows the kernel's line, and finds nothing else."""
        found = json.loads(self.machine.run("sshd-hook", "doctor", "--json").out)["findings"]
        assert [one["code"] for one in found] == ["security-denial"], found
        assert DENIED % paths.PRINCIPALS in found[0]["about"], found

    def _add(self, person: str) -> None:
        uid = str(inside.PERSONS[person])
        words = ("useradd", "-m", "-s", "/bin/bash", "-p", "*", "-u", uid, person)
        self.machine.check(*words)
        self.machine.check("install", "-d", "-m", "700", f"/home/{person}/.ssh", "-o", person)


def main(packages: Path) -> int:
    """Do the steps; 0 if all went as they must."""
    confined = Confined(packages)
    failed = steps.go_through(confined.steps(), confined.office)
    print(f"confined: {failed} failed", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
