"""The CA and the people, in a machine of their own or the host's; the host is on its network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from demo.company import EXAMPLE, PASSPHRASE
from machine import inside
from machine.clients import HOST, SERVICE
from machine.private import PYTHON
from tests.hosts import wait_for

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from machine.private import Machine, Result

CA = "http://127.0.0.1:8022"
DATA = "/var/lib/amrgate-ca"
PASSWORD = "correct horse battery staple"
REQUIREMENT = '\n[organizations.acme.requirement]\namr = ["mfa"]\n'
START = 60.0  # seconds
PATIENCE = 300.0  # seconds for one program, on a busy machine
QUIET = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=30")


class Office:
    """The company of examples/acme.toml: its CA, alice who may come in, mallory who may not."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        for path, text in ((PASSPHRASE, "a passphrase of a test"), ("/root/password", PASSWORD)):
            machine.check("sh", "-c", f"umask 077; echo '{text}' > {path}")
        where = ("--issuer", CA, "--ssh-host", HOST)
        machine.check("amrgate-ca", "init", "--passphrase-file", PASSPHRASE, *where)
        self.require("")
        words = ("amrgate-ca", "serve", "--passphrase-file", PASSPHRASE, "--workers", "1")
        machine.spawn(*words, log="/var/log/ca")
        wait_for(lambda: machine.listens(8022), START)

    def log_in(self) -> None:
        """Let the two log in at the CA, in a browser, and set up their ssh."""
        for person in ("alice", "mallory"):
            words = ("user", "password", person, "--from-file", "password")
            self.machine.check("amrgate-ca", *words)
            self._log_in(person)

    def require(self, requirement: str) -> None:
        """Make the directory that of the example and a requirement."""
        text = self.machine.path(EXAMPLE).read_text()
        self.machine.path("/root/acme.toml").write_text(text + requirement)
        self.machine.check("amrgate-ca", "apply", "acme.toml")

    def invite(self) -> list[str]:
        """The arguments of `sshd-hook` with which the host joins."""
        token = self.machine.check("amrgate-ca", "host", "token", HOST).splitlines()[-1]
        return token.split()[1:]

    def welcome(self, host_key: str, admin_key: str) -> None:
        """Let everybody know the host, and the administrator have a key for it."""
        self.machine.path("/etc/ssh/ssh_known_hosts").write_text(f"{HOST} {host_key}")
        self.machine.path("/home/admin/.ssh/id_ed25519").write_text(admin_key)
        words = "cd /home/admin/.ssh && chown admin id_ed25519 && chmod 600 id_ed25519"
        self.machine.check("sh", "-c", words)

    def ssh(self, person: str, *command: str) -> Result:
        """A login to the service."""
        return self.machine.run("ssh", *QUIET, f"{SERVICE}@{HOST}", *command, user=person)

    def open(self, person: str, command: str) -> subprocess.Popen[str]:
        """A login that stays."""
        return self.machine.popen(("ssh", *QUIET, f"{SERVICE}@{HOST}", command), user=person)

    def admin(self, *command: str) -> Result:
        """The administrator's own way in."""
        return self.machine.run("ssh", *QUIET, f"admin@{HOST}", *command, user="admin")

    def make_key(self, person: str, kind: str, bits: str) -> str:
        """A key in a file of theirs; its path."""
        path = f"/home/{person}/key-{kind}-{bits}"
        words = ("ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-f", path)
        self.machine.check(*words, user=person)
        return path

    def certify(self, person: str, keys: list[str], *factors: str) -> None:
        """Put beside each public key a certificate of a session that showed these factors."""
        asked = [(person, self.machine.path(key).read_text(), factors) for key in keys]
        answers = json.loads(self._as_ca("tests.issue_inside", json.dumps(asked)))
        for key, (_handle, lines) in zip(keys, answers, strict=True):
            self.machine.path(certificate_of(key)).write_text(f"{lines[0]}\n")

    def expired(self, certificates: list[str]) -> list[str]:
        """A certificate that ended, for each of a host's."""
        given = "".join(certificates)
        return self._as_ca("tests.releases.expired_inside", given).splitlines()

    def come(self, person: str, identity: str, *options: str) -> Result:
        """A login to the service with this key and its certificate alone."""
        certificate = f"CertificateFile={certificate_of(identity)}"
        chosen = ("-F", "none", *QUIET, "-o", "IdentitiesOnly=yes", "-o", certificate)
        words = ("ssh", *chosen, "-i", identity, *options, f"{SERVICE}@{HOST}", "echo", "in")
        return self.machine.run(*words, user=person, seconds=PATIENCE)

    def play(self, package: Path) -> str:
        """Run the example's playbook as the operator, who logs in as the administrator."""
        self.machine.path(f"/root/{package.name}").write_bytes(package.read_bytes())
        settings = {
            "amrgate_deb": f"/root/{package.name}",
            "amrgate_ca": CA,
            "amrgate_ca_file": "",
            "ansible_user": "admin",
            "ansible_ssh_private_key_file": "/home/admin/.ssh/id_ed25519",
        }
        python = f"{inside.CHECKOUT}/build/releases/ansible/bin/python"
        where = f"{inside.CHECKOUT}/examples/ansible"
        words = (python, "-m", "ansible", "playbook", "-i", f"{where}/inventory")
        given = ("--extra-vars", json.dumps(settings), f"{where}/site.yml")
        ran = self.machine.run(
            *words, *given, environment={"ANSIBLE_NOCOLOR": "1"}, seconds=PATIENCE
        )
        assert ran.status == 0, ran.out + ran.err
        return ran.out

    def _as_ca(self, module: str, given: str) -> str:
        """Run a program with the CA's own code, keys and database."""
        words = (*PYTHON, "-m", module, DATA, PASSPHRASE)
        ran = self.machine.run(*words, stdin=given, seconds=PATIENCE)
        assert ran.status == 0, ran.err
        return ran.out

    def _log_in(self, person: str) -> None:
        words = ("timeout", "60", "amrgate", "login", "--no-browser", "--ca", CA)
        process = self.machine.popen(words, user=person)
        assert process.stderr is not None
        for line in process.stderr:
            if line.strip().startswith("http://"):
                self._browse(person, line.strip())
                break
        _, said = process.communicate()
        assert process.returncode == 0, said
        self.machine.check("amrgate", "ssh-config", "install", user=person)

    def _browse(self, person: str, url: str) -> None:
        wish = {"page": "login", "url": url, "username": person, "password": PASSWORD}
        given = json.dumps(wish | {"app": None, "cookies": []})
        self.machine.check(*PYTHON, "-m", "demo.browser", stdin=given)


def certificate_of(key: str) -> str:
    """Where the certificate for a private or public key is kept."""
    return f"{key.removesuffix('.pub')}-cert.pub"
