"""How long it takes from a change at the CA until a connected host decides by it.

All of it is real and in a private machine: the service with two workers, an enrolled host of 10,000
services and its agent. `benchmarks.changes` runs beside them and watches what the hook would do.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, Yardstick, spread
from machine.private import PYTHON, PrivateMachine

if TYPE_CHECKING:
    from collections.abc import Callable

SERVICES = 10_000
IN_A_PROJECT = 20
PEOPLE = 100
IN_AN_ACCESS_LIST = 10
CHANGES = 200

PROGRAMS = "/opt/amrgate/.venv/bin"
HOST = "ssh.acme.example"
URL = "http://127.0.0.1:8022"
SETTINGS = ("--data", "/srv/ca")
PASSPHRASE = ("--passphrase-file", "/root/passphrase")
START = 60  # seconds


def measure() -> list[Figure]:
    """`obey_p99_s`."""
    with PrivateMachine() as machine:
        _start(machine)
        words = ("-m", "benchmarks.changes", "/srv/ca", str(CHANGES))
        result = machine.run(*PYTHON, *words, seconds=10 * START)
        if result.status:
            raise RuntimeError(result.err)
        commits, obeyed = json.loads(result.out)
    return [
        Figure(
            "obey_p99_s",
            round(statistics.quantiles(obeyed, n=100)[98], 3),
            "s",
            Yardstick("the commit of the change alone, s", round(statistics.median(commits), 4)),
            len(obeyed),
            round(spread(obeyed), 3),
        )
    ]


def _start(machine: PrivateMachine) -> None:
    passphrase = machine.path("/root/passphrase")
    passphrase.write_text("correct horse battery staple\n")
    passphrase.chmod(0o600)
    machine.path("/root/acme.toml").write_text(directory())
    operate = f"{PROGRAMS}/amrgate-ca"
    machine.check(operate, "init", *SETTINGS, *PASSPHRASE, "--issuer", URL)
    machine.check(operate, "apply", *SETTINGS, "/root/acme.toml")
    serve = (operate, "serve", *SETTINGS, *PASSPHRASE, "--workers", "2")
    machine.spawn(*serve, log="/var/log/ca.log")
    _wait_for(lambda: machine.listens(8022))
    line = machine.check(operate, "host", "token", *SETTINGS, HOST).split()
    machine.check(*PYTHON, "-m", "sshd_hook.main", *line[1:], "--admin", "none")
    machine.spawn("/usr/lib/amrgate/sshd-hook", "agent", log="/var/log/agent.log")


def directory() -> str:
    """A file with an organization of 10,000 services, which a hundred people share."""
    lines = [f'[hosts."{HOST}"]', "[organizations.acme]", 'members = { u0 = "admin" }']
    for person in range(PEOPLE):
        fields = f'name = "U {person}"', f'email = "u{person}@acme.example"'
        lines += [f"[users.u{person}]", *fields]
    for number in range(SERVICES // IN_A_PROJECT):
        project = f"p{number:012}"
        people = ((number + place) % PEOPLE for place in range(IN_AN_ACCESS_LIST))
        lines += [
            f"[projects.{project}]",
            'organization = "acme"',
            f"[projects.{project}.environments]",
            'main = { type = "production" }',
            f"[projects.{project}.access]",
            *(f'u{person} = {{ production = "contributor" }}' for person in people),
        ]
        for app in range(IN_A_PROJECT):
            lines += [f"[services.{project}-main--app{app}]", f'host = "{HOST}"']
    return "\n".join(lines)


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the service does not answer")
        time.sleep(0.1)
