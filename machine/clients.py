"""Every way in which an engineer's programs reach a service, and what each of them answers."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict

from machine.needs import MachineError
from machine.private import PYTHON, Machine, Result

HOST = "ssh.acme.example"
SERVICE = "abcdefg123456-main-bvxea6i--app"
PROBING = 300  # seconds: some probes ask a thousand times
TUNNEL = "127.0.0.1:8001:127.0.0.1:9001"
CONFIG = f"""\
Host {HOST}
    IdentityFile ~/.ssh/id_ed25519
    CertificateFile ~/.ssh/id_ed25519-cert.pub
    IdentitiesOnly yes
    BatchMode yes
"""


@dataclass(frozen=True)
class Form:
    """One client program, how it is called, and how it ends when sshd closes the connection."""

    name: str
    command: Callable[[str], tuple[str, ...]]  # its argument is `service@host`
    stdin: str = ""
    refused: tuple[int, ...] = (255,)


FORMS = (
    Form("ssh command", lambda there: ("ssh", there, "id", "-un")),
    Form("ssh shell", lambda there: ("ssh", "-T", there), stdin="id -un; exit\n"),
    Form("ssh -t", lambda there: ("ssh", "-tt", there, "id", "-un")),
    Form("ssh -N -L", lambda there: ("ssh", "-N", "-L", TUNNEL, there)),
    Form("scp", lambda there: ("scp", "note", f"{there}:note-scp")),
    Form("scp -O", lambda there: ("scp", "-O", "note", f"{there}:note-rcp"), refused=(1,)),
    Form("sftp", lambda there: ("sftp", "-b", "-", there), stdin="put note note-sftp\n"),
    # rsync asks how ssh ended without waiting for it, so it may miss the 255 (cleanup.c, WNOHANG).
    Form("rsync", lambda there: ("rsync", "note", f"{there}:note-rsync"), refused=(255, 12)),
)
NAMES = [form.name for form in FORMS]


def use(machine: Machine, person: str, form: Form, service: str = SERVICE) -> Result:
    """Let one of the people reach a service in one of the ways, to its end."""
    return machine.run(*form.command(f"{service}@{HOST}"), user=person, stdin=form.stdin)


def ssh(
    machine: Machine,
    person: str,
    *command: str,
    service: str = SERVICE,
    options: tuple[str, ...] = (),
) -> Result:
    """`ssh service@host command`."""
    return machine.run("ssh", *options, f"{service}@{HOST}", *command, user=person)


class Answers(TypedDict):
    """What a probe saw: an answer to each step, the banners, and the seconds it took."""

    answers: list[str]
    banners: list[str]
    seconds: float


Step = tuple[str, str, str, int | str]


def probe(
    machine: Machine, *connections: Sequence[Step], server: tuple[str, ...] = ()
) -> list[Answers]:
    """Talk to sshd, or to `server` as a program, as `machine.probe` says."""
    words = (*PYTHON, "-m", "machine.probe", *server)
    ran = machine.run(*words, stdin=json.dumps(connections), seconds=PROBING)
    if ran.status:
        raise MachineError(f"the probe ended with {ran.status}: {ran.err}")
    answers: list[Answers] = json.loads(ran.out)
    return answers
