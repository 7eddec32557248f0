"""A host and its CA, as operators run them in one private machine, and people who want in."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ca.settings import DATABASE_FILE
from machine.clients import HOST, SERVICE, ssh
from machine.inside import CHECKOUT
from machine.private import PYTHON, PrivateMachine
from machine.sshd import make_keys, start_sshd
from sshd_hook import bundle, paths
from sshd_hook.certificate import parse
from sshd_hook.wire import b64, unb64
from tests import warm
from tests.hosts import wait_for

if TYPE_CHECKING:
    from subprocess import Popen

WARM = "/run/warm"
DATA = "/var/lib/amrgate-ca"
PASSPHRASE = "/root/passphrase"
EXAMPLE = (Path(__file__).parent.parent / "examples" / "acme.toml").read_text()
PORT = 8080

MAKE_TOKEN = """
import sys, time
from pathlib import Path
from ca import settings
from ca.directory import people
from ca.identity import api_tokens
from ca.store.engine import open_engine, writing

with writing(open_engine(settings.read(Path(sys.argv[1])).database)) as connection:
    user, wish = people.find(connection, "deploy"), api_tokens.Wish("pipeline")
    print(api_tokens.make_for(connection, user, "operator test", wish, int(time.time())).secret)
"""


CERTIFY_LONG_AGO = """
import sys, time
from pathlib import Path
from ca import settings
from ca.issuance import host as issuance
from ca.issuance.sign import Host, Issuer
from ca.issuance.subject_key import parse_subject_key
from ca.keys import keyring
from ca.store import hosts
from ca.store.engine import open_engine, reading

data = Path(sys.argv[1])
engine = open_engine(settings.read(data).database)
issuer = Issuer(engine, keyring.unlock(data, Path(sys.argv[2]).read_bytes().strip()))
with reading(engine) as connection:
    found = hosts.find_host(connection, sys.argv[3])
key = parse_subject_key(Path("/etc/ssh/ssh_host_ed25519_key.pub").read_text().strip())
print(issuance.issue(issuer, Host(found.id, found.names), key, int(time.time()) - 25 * 86400))
issuer.close()
"""


COUNT_OPEN = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
print(*database.execute("SELECT coalesce(sum(connections), 0) FROM open_connections").fetchone())
"""


@dataclass
class Session:
    """Somebody's, with its two certificates as their ssh takes them."""

    person: str
    handle: str
    certificates: list[str]

    @property
    def serials(self) -> list[str]:
        return [str(parse(unb64(line.split()[1]))[0].serial) for line in self.certificates]


class World:
    """A host and its CA, as operators run them, and people who want in."""

    def __init__(self, machine: PrivateMachine) -> None:
        self.machine = machine
        self.keys = make_keys(machine)
        machine.check("sh", "-c", f"umask 077; echo a passphrase of a test > {PASSPHRASE}")
        url = f"http://127.0.0.1:{PORT}"
        where = ("--issuer", url, "--listen", url.removeprefix("http://"), "--ssh-host", HOST)
        words = ("init", "--passphrase-file", PASSPHRASE, *where)
        machine.check(*PYTHON, "-m", "tests.quick_ca", *words)
        machine.spawn(*PYTHON, "-m", "tests.warm.server", WARM, log="/var/log/warm")
        wait_for(machine.path(WARM).exists, 60)
        machine.path("/root/acme.toml").write_text(EXAMPLE)
        self.operate("apply", "/root/acme.toml")
        self.serve()
        line = self.operate("host", "token", HOST).split()
        machine.check(*PYTHON, "-m", "sshd_hook.main", *line[1:], "--admin", "none")
        machine.spawn(paths.SSHD_HOOK, "userdb", "--supervise", log="/var/log/userdb")
        self.agent = machine.spawn(paths.SSHD_HOOK, "agent", log="/var/log/agent")
        wait_for(lambda: "obeying" in self.log(), 60)
        start_sshd(machine)
        self.sessions = self.log_in("alice", "alice", "alice", "bob", "carol", *5 * ["alice"])

    def operate(self, *arguments: str) -> str:
        return self.machine.check(*self._words(*arguments))

    def _words(self, *arguments: str) -> list[str]:
        return warm.words_at(WARM, "amrgate-ca", *arguments, checkout=CHECKOUT)

    def serve(self) -> None:
        words = self._words("serve", "--passphrase-file", PASSPHRASE, "--workers", "1")
        self.pid = self.machine.spawn(*words, log="/var/log/ca")
        wait_for(lambda: self.machine.listens(PORT), 60)

    def stop_ca(self) -> None:
        self.machine.check("kill", str(self.pid))
        wait_for(lambda: not self.machine.path(f"/proc/{self.pid}/exe").exists(), 20)

    def log_in(self, *people: str) -> list[Session]:
        """A session of each of them, begun with a password."""
        asked = [(one, f"ssh-ed25519 {b64(self.keys[one])}", ("pwd",)) for one in people]
        words = ("-m", "tests.issue_inside", DATA, PASSPHRASE)
        given = json.loads(self.machine.check(*PYTHON, *words, stdin=json.dumps(asked)))
        return [
            Session(person, handle, lines)
            for person, (handle, lines) in zip(people, given, strict=True)
        ]

    def apply(self, text: str) -> None:
        self.machine.path("/root/acme.toml").write_text(text)
        self.operate("apply", "/root/acme.toml")

    def exchange(self, secret: str, person: str) -> Session:
        """What an API token is exchanged for, in two steps: a certificate over a person's key."""
        url, curl = f"http://127.0.0.1:{PORT}", ("curl", "-fsS")
        form = ("client_id=amrgate", "client_secret=", "grant_type=api_token")
        fields = (*form, f"api_token={secret}")
        words = [word for field in fields for word in ("--data-urlencode", field)]
        tokens = json.loads(self.machine.check(*curl, f"{url}/oauth2/token", *words))
        bearer = f"authorization: Bearer {tokens['access_token']}"
        body = json.dumps({"key": f"ssh-ed25519 {b64(self.keys[person])}"})
        answer = self.machine.check(*curl, "-H", bearer, "--data", body, f"{url}/ssh")
        return Session(person, "", [json.loads(answer)["certificate"]])

    def use(self, session: Session, number: int = 0) -> None:
        """Have their ssh take one of the session's certificates."""
        path = self.machine.path(f"/home/{session.person}/.ssh/id_ed25519-cert.pub")
        path.write_text(f"{session.certificates[number]}\n")

    def admits(self, session: Session, number: int = 0) -> bool:
        """Whether sshd lets them in with one of the session's certificates."""
        self.use(session, number)
        return ssh(self.machine, session.person, "echo", "in").out == "in\n"

    def open(self, session: Session, *options: str) -> Popen[str]:
        """A connection that stays open, once it is; its input tells when it is not."""
        self.use(session)
        words = ("ssh", *options, f"{SERVICE}@{HOST}", "echo in; exec cat")
        connection = self.machine.popen(words, session.person)
        assert connection.stdout
        assert connection.stdout.readline() == "in\n"
        return connection

    def host_certificate(self, session: Session) -> int:
        """The serial of the certificate by which somebody's ssh knows the host, without a question.

        0 while nobody listens: an sshd that reads its configuration again starts anew.
        """
        self.use(session)
        known = ("UserKnownHostsFile=~/.ssh/authorities", "GlobalKnownHostsFile=/dev/null")
        strict = ("StrictHostKeyChecking=yes", "HostKeyAlgorithms=ssh-ed25519-cert-v01@openssh.com")
        options = [word for one in (*known, *strict) for word in ("-o", one)]
        done = ssh(self.machine, session.person, "echo", "in", options=("-v", *options))
        if "Connection refused" in done.err:
            return 0
        assert done.out == "in\n", done.err
        return int(re.findall(r"Server host certificate: .* serial (\d+) ", done.err)[0])

    def log(self) -> str:
        """The agent's."""
        return self.machine.path("/var/log/agent").read_text()

    def requires(self) -> frozenset[str]:
        """What the installed bundle says that a login must show."""
        found = bundle.from_bytes(self.machine.path(paths.BUNDLE).read_bytes()).service(SERVICE)
        assert found is not None
        return found.requirement.amr

    def reports(self) -> set[str]:
        """What the installed bundle says that is asked for, but only reported."""
        found = bundle.from_bytes(self.machine.path(paths.BUNDLE).read_bytes()).service(SERVICE)
        return set(found.reported.amr) if found and found.reported else set()

    def known_open(self) -> int:
        """How many connections the CA was told are open."""
        return int(self.machine.check("python3", "-c", COUNT_OPEN, f"{DATA}/{DATABASE_FILE}"))

    def restart_agent(self) -> None:
        self.machine.check("kill", str(self.agent))
        wait_for(lambda: not self.machine.path(f"/proc/{self.agent}/exe").exists(), 20)
        self.agent = self.machine.spawn(paths.SSHD_HOOK, "agent", log="/var/log/agent")

    def krl(self) -> bytes:
        return self.machine.path(paths.REVOKED).read_bytes()

    def decisions(self) -> list[dict[str, str]]:
        """What the CA was told of, the oldest first."""
        text = self.operate("host", "decisions", "--json", "--limit", "1000")
        found: list[dict[str, str]] = json.loads(text)
        return found

    def revoke(self, *what: str) -> float:
        """Have the operator revoke something; how long it then took until the host has the list."""
        before = self.krl()
        self.operate(*what)
        begun = time.monotonic()
        wait_for(lambda: self.krl() != before, 20)
        return time.monotonic() - begun


def is_open(connection: Popen[str]) -> bool:
    """Whether what is said to it still comes back."""
    assert connection.stdin
    assert connection.stdout
    try:
        connection.stdin.write("still\n")
        connection.stdin.flush()
    except BrokenPipeError:
        return False
    return connection.stdout.readline() == "still\n"


def ended(connection: Popen[str]) -> str:
    """How the client says that its connection ended, within ten seconds."""
    connection.wait(timeout=10)  # first: to close its input would end it as well
    return connection.communicate()[1]
