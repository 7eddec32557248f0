"""The people of the documents at their terminals, in one private machine."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shlex
import subprocess
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from demo.browser import App
from machine.clients import HOST
from machine.private import PYTHON, as_user
from machine.sshd import start_sshd
from tests.documents import fill_in
from tests.hosts import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.private import PrivateMachine
    from tests.documents import Command

PATIENCE = 60  # seconds for one command
CA = "ca.acme.example"
PASSWORD = "correct horse battery staple"
WHO = {
    "ca#": "root",
    "ssh#": "root",
    "offline#": "root",
    "alice$": "alice",
    "bob$": "bob",
    "admin$": "admin",
}
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
UNIT = "/etc/systemd/system/amrgate-ca.service"
SETUP = f"""
set -e
openssl req -x509 -newkey ed25519 -nodes -keyout key -out ca.pem -days 2 -subj /CN={CA} \
    -addext subjectAltName=DNS:{CA} 2>&1
cat key ca.pem > front.pem
mkdir -p /usr/lib/ssl stick
cp ca.pem /usr/lib/ssl/cert.pem     # what the CA file of a company is to its people's machines
cp -r /opt/amrgate/sshd_hook /opt/amrgate/examples/acme.toml .
"""
ADMIN = f"""
set -e
ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519
cp .ssh/id_ed25519.pub .ssh/authorized_keys
echo "{HOST} $(cat /etc/ssh/ssh_host_ed25519_key.pub)" > .ssh/known_hosts
"""


class Story:
    """What happened so far: what was printed, what runs, whose app knows which secret."""

    def __init__(self, machine: PrivateMachine) -> None:
        self.machine = machine
        self.printed = ""
        self._apps: dict[str, App] = {}
        self._daemons: list[int] = []
        self._service = 0
        machine.check("sh", "-c", SETUP)
        machine.check("sh", "-c", ADMIN, user="admin")
        machine.check("sh", "-c", "echo hello > note", user="alice")
        machine.spawn(*PYTHON, "-m", "tests.https_front", "/root/front.pem", log="/var/log/front")
        start_sshd(machine)

    def carry_out(self, command: Command) -> tuple[int, str]:
        """Do what the command says as whoever types it; its status, and what was on the screen."""
        text = fill_in(command.text, self.printed)
        if text.startswith("systemctl "):
            return self._systemctl(text)
        if text.startswith("apt-get install ./amrgate-sshd-hook"):
            return 0, ""  # the machine has `sshd-hook` from its start
        ends = "sshd-hook unenroll" in text or "--token" in text  # what systemd is told to stop
        if ends and "--dry-run" not in text:
            self._stop_daemons()
        status, printed = self._type(WHO[command.prompt], text)
        self.printed += printed
        if " enroll " in text and not self._daemons:
            for line in re.findall(r"^ {4}(/usr/lib/amrgate/.*)$", printed, re.MULTILINE):
                self._daemons.append(self.machine.spawn(*line.split(), log="/var/log/host"))
        return status, printed

    def forget_host(self) -> None:
        """Let the machine be none, for a page that begins with making it one."""
        self._stop_daemons()
        self.machine.check("sshd-hook", "unenroll")

    def ask(self, person: str, request: str) -> None:
        """Send a request of the API, `POST /path {"json": 1}`, as a person who is logged in."""
        method, path, *body = request.split(maxsplit=2)
        program = (
            "import json, sys; from ca.client import place; from ca.client.account import *;"
            "Account(place.find(), refuse).call(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))"
        )
        words = (*PYTHON, "-c", program, method, path, *(body or ["{}"]))
        self.machine.check(*words, user=person)

    def _type(self, person: str, text: str) -> tuple[int, str]:
        """Run a shell's line at a terminal, and answer what it asks."""
        terminal, end = os.openpty()
        as_person = (*self.machine.prefix, *as_user(person, {"TERM": "dumb"}))
        words = ("setsid", "--ctty", "--wait", *as_person, "bash", "-c", text)
        process = subprocess.Popen(words, stdin=end, stdout=end, stderr=end)
        os.close(end)
        try:
            printed = self._converse(person, terminal)
        finally:
            os.close(terminal)
        return process.wait(PATIENCE), printed

    def _converse(self, person: str, terminal: int) -> str:
        screen, answered = "", 0
        deadline = time.monotonic() + PATIENCE
        while True:
            readable, _, _ = select.select([terminal], [], [], deadline - time.monotonic())
            assert readable, f"nothing more comes after: {screen}"
            with contextlib.suppress(OSError):  # how a terminal says that all have left it
                if data := os.read(terminal, 65536):
                    text = COLOURS.sub("", data.decode(errors="replace"))
                    screen += text.replace("\r\n", "\n")
                    for asked, answer in self._answers(person):
                        if found := asked.search(screen, answered):
                            answered = len(screen)
                            answer(terminal, found)
                    continue
            return screen

    def _answers(self, person: str) -> list[tuple[re.Pattern[str], Callable[..., None]]]:
        def type_password(terminal: int, _found: re.Match[str]) -> None:
            os.write(terminal, f"{PASSWORD}\n".encode())

        def type_code(terminal: int, found: re.Match[str]) -> None:
            self._apps[person] = App(found[1])
            os.write(terminal, f"{self._apps[person].code()}\n".encode())

        def type_passphrase(terminal: int, _found: re.Match[str]) -> None:
            os.write(terminal, self.machine.path("/root/passphrase").read_bytes())

        def agree(terminal: int, _found: re.Match[str]) -> None:
            os.write(terminal, b"y\n")

        def name_admin(terminal: int, _found: re.Match[str]) -> None:
            os.write(terminal, b"admin\n")

        def log_in_from_elsewhere(_terminal: int, _found: re.Match[str]) -> None:
            self.machine.check("ssh", f"admin@{HOST}", "sleep 0.5", user="admin")

        def browse(_terminal: int, found: re.Match[str]) -> None:
            self._browse(person, found[1])

        return [
            (re.compile(r"(?:New password|Repeat for confirmation): $"), type_password),
            (re.compile(r"(?s)type this secret into it: (\w+).*The code that .*: $"), type_code),
            (re.compile(r"log in:\s+(https://\S+)\s"), browse),
            (re.compile(r"Enter passphrase.*: $"), type_passphrase),
            (re.compile(r"(?:Require|Apply) it now\? \[Y/n\]: $"), agree),
            (re.compile(r"User, or none: $"), name_admin),
            (re.compile(r"and log out again \(within \d+ s\): $"), log_in_from_elsewhere),
        ]

    def _browse(self, person: str, url: str) -> None:
        app = self._apps.get(person)
        wish = {"page": "login", "url": url, "username": person, "password": PASSWORD}
        given = json.dumps(wish | {"app": asdict(app) if app else None, "cookies": []})
        words = (*PYTHON, "-m", "demo.browser")
        answer = json.loads(self.machine.check(*words, user=person, stdin=given))
        if answer["app"]:
            self._apps[person] = App(**answer["app"])

    def _systemctl(self, text: str) -> tuple[int, str]:
        """What systemd does with the unit that the documents show: there is none in here."""
        if "stop" in text.split():
            self.machine.check("kill", str(self._service))
            wait_for(lambda: not self.machine.listens(8022), PATIENCE)
            return 0, ""
        unit = self.machine.path(UNIT).read_text()
        start = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
        name, _, source = re.findall(r"^LoadCredential=(.*)$", unit, re.MULTILINE)[0].partition(":")
        folder = "/run/credentials/amrgate-ca"
        self.machine.check("install", "-D", "-m", "600", source, f"{folder}/{name}")
        bounded = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
        words = (*bounded, "env", f"CREDENTIALS_DIRECTORY={folder}", *shlex.split(start[0]))
        self._service = self.machine.spawn(*words, log="/var/log/ca")
        wait_for(lambda: self.machine.listens(8022), PATIENCE)
        return 0, ""

    def _stop_daemons(self) -> None:
        """What `unenroll` itself does where there is systemd."""
        for pid in self._daemons:
            self.machine.check("kill", str(pid))
            self._wait_until_gone(pid)
        self._daemons.clear()

    def _wait_until_gone(self, pid: int) -> None:
        wait_for(lambda: not self.machine.path(f"/proc/{pid}/exe").exists())
