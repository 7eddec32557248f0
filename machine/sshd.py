"""Debian's sshd in the private machine, on port 22 there, and its people's keys."""

import time

from machine.clients import CONFIG, HOST
from machine.needs import MachineError
from machine.people import IDS
from machine.private import Machine
from sshd_hook.wire import unb64

LOG = "/var/log/sshd.log"
PATIENCE = 10  # seconds
KEY_EXCHANGE = "curve25519-sha256,curve25519-sha256@libssh.org"
"""What is agreed on is no matter here, and OpenSSH 9.2's first choice (sntrup761) takes five times as
much of a processor as all the rest of a login."""
USUAL = ("LogLevel=VERBOSE", f"KexAlgorithms={KEY_EXCHANGE}")


def start_sshd(machine: Machine, *settings: str) -> None:
    """Start the stock sshd, with further settings such as "MaxStartups=300"."""
    machine.check("/usr/sbin/sshd", "-t")
    options = [word for one in (*USUAL, *settings) for word in ("-o", one)]
    machine.spawn("/usr/sbin/sshd", "-D", "-e", *options, log=LOG)
    deadline = time.monotonic() + PATIENCE
    while machine.run("ssh-keyscan", "-t", "ed25519", "127.0.0.1").out == "":
        if time.monotonic() > deadline:
            raise MachineError(f"sshd does not answer: {machine.path(LOG).read_text()}")
        time.sleep(0.02)


def restart_sshd(machine: Machine, *settings: str) -> None:
    """Make sshd read its configuration again; open connections stay."""
    machine.check("sh", "-c", "kill $(cat /run/sshd.pid); while [ -e /run/sshd.pid ]; do :; done")
    start_sshd(machine, *settings)


def make_keys(machine: Machine) -> dict[str, bytes]:
    """Give everybody a key and a configuration; return the public keys."""
    key = machine.path("/etc/ssh/ssh_host_ed25519_key.pub").read_text()
    machine.path("/etc/ssh/ssh_known_hosts").write_text(f"{HOST} {key}")
    keys = {}
    for person in (*IDS, "admin"):
        home = f"/home/{person}"
        generate = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{home}/.ssh/id_ed25519")
        machine.check(*generate, user=person)
        keys[person] = unb64(machine.path(f"{home}/.ssh/id_ed25519.pub").read_text().split()[1])
        machine.path(f"{home}/note").write_text(f"a note of {person}\n")
        if person == "admin":
            machine.check(
                "cp", f"{home}/.ssh/id_ed25519.pub", f"{home}/.ssh/authorized_keys", user=person
            )
        else:
            machine.path(f"{home}/.ssh/config").write_text(CONFIG)
    return keys
