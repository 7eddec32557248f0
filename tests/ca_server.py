"""The service as operators run it, `amrgate-ca init`, `apply` and `serve`, and a person's browser."""

from __future__ import annotations

import html
import re
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pyotp
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = Path(__file__).parent.parent / "examples" / "acme.toml"
PROGRAM = str(Path(sys.executable).parent / "amrgate-ca")
PASSWORD = "correct horse battery staple"
PEOPLE = ("alice", "bob", "carol", "mallory")
MAX_PAGES = 20  # that a test fills in
START = 30  # seconds that a service may take to answer


@dataclass(frozen=True)
class CaServer:
    """A running service with the example's directory, where everybody's password is PASSWORD."""

    url: str
    folder: Path

    def operate(self, *arguments: str) -> str:
        """Run `amrgate-ca`, and fail with what it says."""
        command = [PROGRAM, *arguments, "--data", str(self.folder / "ca")]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def serve(self) -> subprocess.Popen[bytes]:
        """Start the service, and wait until it answers."""
        data, passphrase = str(self.folder / "ca"), str(self.folder / "passphrase")
        command = ["serve", "--data", data, "--passphrase-file", passphrase, "--workers", "1"]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen([PROGRAM, *command], stdout=log, stderr=log)
        deadline = time.monotonic() + START
        while not _answers(self.url):
            assert process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "the service does not answer"
            time.sleep(0.05)
        return process


def _answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health/ready", trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


def _secret_file(path: Path, text: str) -> str:
    path.touch(0o600)
    path.write_text(text)
    return str(path)


@pytest.fixture(scope="session")
def ca_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaServer]:
    """One service for a whole run; who changes its directory puts it back."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    folder = tmp_path_factory.mktemp("service")
    server = CaServer(f"http://{address}", folder)
    passphrase = _secret_file(folder / "passphrase", "a passphrase of a test")
    password = _secret_file(folder / "password", PASSWORD)
    names = ["--ssh-host", "ssh.acme.example", "--ssh-host", "*.ssh.acme.example"]
    where = ["--issuer", server.url, "--listen", address]
    server.operate("init", "--passphrase-file", passphrase, *where, *names)
    server.operate("apply", str(EXAMPLE))
    for name in PEOPLE:
        server.operate("user", "password", name, "--from-file", password)
    process = server.serve()
    yield server
    process.terminate()
    assert process.wait(timeout=20) == 0


@dataclass
class Browser:
    """A browser and the person before it: fills in what the pages of a login ask for.

    `secret` is that of the authenticator app, if there is one; no code of it is typed twice.
    """

    username: str
    secret: str = ""
    password: str = PASSWORD
    typed: set[str] = field(default_factory=set)
    pages: list[str] = field(default_factory=list)
    cookies: httpx2.Cookies = field(default_factory=httpx2.Cookies)

    def __call__(self, url: str) -> None:
        """Open a page, and go on until the way back to the terminal is done."""
        with httpx2.Client(
            cookies=self.cookies, follow_redirects=True, timeout=30, trust_env=False
        ) as http:
            page = http.get(url)
            while form := re.search(r'<form method="post" action="([^"]+)"', page.text):
                self.pages.append(page.text)
                assert len(self.pages) < MAX_PAGES, page.text
                page = self._submit(http, page, form[1])
            self.pages.append(page.text)
            self.cookies = http.cookies

    def code(self) -> str:
        """A code that was not typed before: the app's present one, or the next."""
        for later in range(3):
            code = pyotp.TOTP(self.secret).at(int(time.time()), counter_offset=later)
            if code not in self.typed:
                self.typed.add(code)
                return code
        raise AssertionError("too many codes at once")

    def _submit(self, http: httpx2.Client, page: httpx2.Response, action: str) -> httpx2.Response:
        hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text)
        form = {name: html.unescape(value) for name, value in hidden}
        if action == "/login":
            form |= {"username": self.username, "password": self.password}
        elif action == "/login/code":
            form["code"] = self.code()
        else:
            form["decision"] = "allow"
        where = page.url.join(html.unescape(action))
        origin = f"{where.scheme}://{where.netloc.decode()}"
        return http.post(where, data=form, headers={"Origin": origin})
