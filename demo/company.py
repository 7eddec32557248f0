"""The demo's company: its CA, its host with a stock sshd, and its people at their keyboards."""

import json
import secrets
import time
from pathlib import Path
from typing import Any

from demo.stage import Stage
from machine.clients import HOST
from machine.private import CHECKOUT, PYTHON
from machine.sshd import start_sshd

PORT = 8022
CA = f"http://127.0.0.1:{PORT}"
PROVIDER_PORT = 8033
PROVIDER = f"http://127.0.0.1:{PROVIDER_PORT}"
EXAMPLE = f"{CHECKOUT}/examples/acme.toml"
PEOPLE = ("alice", "bob", "carol", "mallory")
PASSPHRASE = "/root/passphrase"  # noqa: S105 -- a path
SETTINGS = "/var/lib/amrgate-ca/settings.toml"
SSHD_HOOK = "/usr/lib/amrgate/sshd-hook"
POST = """
import json, sys
from ca.client import place
from ca.client.account import Account, refuse
Account(place.find(), refuse).call("POST", sys.argv[1], json.loads(sys.argv[2]))
"""


class Company:
    """What the people have and know; everything else is in the machine."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._machine = stage.machine
        self._passwords = {name: secrets.token_urlsafe(12) for name in PEOPLE}
        self._kept: dict[str, Any] = {name: {"app": None, "cookies": []} for name in PEOPLE}
        self._service = 0

    def found(self) -> None:
        """Make the CA, start it, let a host join, and start its sshd."""
        stage = self._stage
        self._secret(PASSPHRASE, secrets.token_urlsafe(24))
        self.write("/root/acme.toml", Path(EXAMPLE).read_text())
        where = ("--issuer", CA, "--ssh-host", HOST)
        stage.run("root", "amrgate-ca", "init", "--passphrase-file", PASSPHRASE, *where)
        stage.run("root", "amrgate-ca", "apply", "acme.toml")
        with stage.work("settings.toml lets a single sign-on provider be on this machine."):
            text = self._machine.path(SETTINGS).read_text()
            lets = ("provider_networks = []", 'provider_networks = ["127.0.0.0/8"]')
            self.write(SETTINGS, text.replace(*lets))
        with stage.work("Each of the four gets a password: amrgate-ca user password NAME"):
            for name, password in self._passwords.items():
                self._secret(f"/root/{name}", password)
                self._machine.check("amrgate-ca", "user", "password", name, "--from-file", name)
        self._machine.check("touch", "note", user="alice")
        self.start_ca()
        token = stage.run("root", "amrgate-ca", "host", "token", HOST)
        line = ("sshd-hook enroll … --admin none", "# the line above")
        words = (*token.out.splitlines()[-1].split(), "--admin", "none")
        stage.run("root", *words, shown=line)
        stage.start(SSHD_HOOK, "userdb", "--supervise")
        stage.start(SSHD_HOOK, "agent")
        with stage.work(f"Debian's own sshd, UsePAM yes, with the hook, starts as {HOST}."):
            start_sshd(self._machine)

    def start_ca(self) -> None:
        """Start the service, and wait until it answers."""
        words = ("amrgate-ca", "serve", "--passphrase-file", PASSPHRASE)
        self._service = self._stage.start(*words, is_up=self._is_up)

    def stop_ca(self) -> None:
        """Stop the service, as `systemctl stop` does."""
        stop = ("kill", str(self._service))
        self._stage.run("root", *stop, shown=("kill %1", "# the CA"))
        with self._stage.work("It ends once it has answered those who are waiting."):
            while self._is_up():
                time.sleep(0.05)

    def start_provider(self) -> None:
        """Start the company's own OpenID provider, and wait until it answers."""
        with self._stage.work(f"The company's OpenID provider starts as {PROVIDER}."):
            where = (str(PROVIDER_PORT), f"{CA}/login/sso/acme/back")
            words = (*PYTHON, "-m", "demo.provider", *where)
            self._stage.start(*words, is_up=lambda: self._machine.listens(PROVIDER_PORT))

    def ask(self, person: str, path: str, body: dict[str, str]) -> None:
        """POST to the API as somebody who is logged in."""
        said = json.dumps(body) if body else ""
        with self._stage.work(f"{person.capitalize()}, by the API: POST {path} {said}".strip()):
            words = (*PYTHON, "-c", POST, path, json.dumps(body))
            self._machine.check(*words, user=person)

    def link(self, person: str) -> None:
        """The person links their account at the provider on the page of the CA."""
        doing = (
            f'{person.capitalize()}, on the page: Security, Single sign-on, "Link", a login there.'
        )
        with self._stage.work(doing):
            self._browse(person, "link", CA)

    def log_in(self, person: str, *words: str) -> None:
        """`amrgate login`: the person fills in the page."""
        self._stage.log_in(person, words, lambda url: self._browse(person, "login", url))

    def set_up_app(self, person: str) -> None:
        """The person sets up an authenticator app on the page of the CA."""
        doing = (
            f'{person.capitalize()}, on the page: "Set up application", the code, "Verify & save".'
        )
        with self._stage.work(doing):
            self._browse(person, "application", CA)

    def write(self, path: str, text: str) -> None:
        """Write a file of the machine's root."""
        self._machine.path(path).write_text(text)

    def _is_up(self) -> bool:
        return self._machine.listens(PORT)

    def _secret(self, path: str, text: str) -> None:
        file = self._machine.path(path)
        file.touch(0o600)
        file.write_text(f"{text}\n")

    def _browse(self, person: str, page: str, url: str) -> None:
        wish = {
            "page": page,
            "url": url,
            "username": person,
            "password": self._passwords[person],
            **self._kept[person],
        }
        words = (*PYTHON, "-m", "demo.browser")
        self._kept[person] = json.loads(self._machine.check(*words, stdin=json.dumps(wish)))
