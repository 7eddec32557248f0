"""An authority that lies, over real HTTP, and an engineer who has to do with it.

Ours does not lie, so what the command must refuse comes from here; how the two work together is
tested with the real one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import subprocess
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest

from ca.client import certificates, session, web
from ca.client.account import Account, refuse
from ca.client.place import Place
from sshd_hook.wire import unb64
from tests import warm
from tests.certificates import ALICE, authority, extensions, line, user_certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATTERN = "*.ssh.acme.example"
API_TOKEN = "amrgate_token-of-a-program"


@dataclass(frozen=True)
class Seen:
    """A request, as it came."""

    method: str
    path: str
    fields: dict[str, str]
    token: str


@dataclass
class Liar:
    """What this authority answers; tests change it."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    challenge: str = ""
    asked: dict[str, str] = field(default_factory=dict)
    """The parameters of the last request for authorization."""

    returned: dict[str, str | None] = field(default_factory=dict)
    """Parameters put in place of the right ones when the browser is sent back; None for none."""

    certificate: dict[str, Any] = field(default_factory=dict)
    """Fields of the next certificates that are not as they should be."""

    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    """What is answered at a path whatever is asked: status and JSON, or a text as it is."""

    in_turn: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    """What is answered at a path one time after the other, until nothing of it is left."""

    step_up: dict[str, Any] | None = None
    """What the next call at /users/me is told to prove first."""

    authority: dict[str, Any] = field(
        default_factory=lambda: {
            "authorities": [],
            "host_authorities": [line(authority().public_key)],
            "host_patterns": [PATTERN],
        }
    )

    def paths(self) -> list[str]:
        return [f"{seen.method} {seen.path}" for seen in self.seen]

    def send_back(self, asked: dict[str, str]) -> str:
        """Where the browser is sent after the login."""
        self.asked, self.challenge = asked, asked["code_challenge"]
        right = {"code": "a-code", "state": asked["state"], "iss": self.url}
        parameters = {k: v for k, v in (right | self.returned).items() if v is not None}
        return f"{asked['redirect_uri']}/?{urlencode(parameters)}"

    def answer(self, seen: Seen) -> tuple[int, Any]:
        if self.in_turn.get(seen.path):
            return self.in_turn[seen.path].pop(0)
        if seen.path in self.answers:
            return self.answers[seen.path]
        if seen.path == "/oauth2/token":
            return self.token(seen.fields)
        if seen.path == "/oauth2/revoke":
            self.tokens.discard(seen.fields["token"])
            return 200, {}
        if seen.path == "/ssh/authority":
            return 200, self.authority
        return self.answer_person(seen)

    def answer_person(self, seen: Seen) -> tuple[int, Any]:
        if seen.token not in self.tokens:
            return 401, {"error": "invalid_token"}
        if seen.path == "/ssh":
            return 200, {"certificate": self.certify(seen.fields["key"])}
        if seen.path == "/users/me" and self.step_up is not None:
            return 401, {"error": "insufficient_user_authentication"} | self.step_up
        return 200, {"id": ALICE, "username": "alice", "email": "alice@acme.example"}

    def token(self, fields: dict[str, str]) -> tuple[int, Any]:
        if fields["grant_type"] == "api_token":
            good = fields["api_token"] == API_TOKEN
            return self.give_tokens() if good else (400, {"error": "invalid_grant"})
        if fields["grant_type"] == "authorization_code":
            verifier = hashlib.sha256(fields["code_verifier"].encode()).digest()
            if base64.urlsafe_b64encode(verifier).rstrip(b"=").decode() != self.challenge:
                return 400, {"error": "invalid_grant"}
        elif fields["refresh_token"] not in self.tokens:
            return 400, {"error": "invalid_grant"}
        else:
            self.tokens.discard(fields["refresh_token"])
        return self.give_tokens()

    def give_tokens(self) -> tuple[int, Any]:
        claims = json.dumps({"sub": ALICE, "amr": ["pwd"], "n": secrets.token_hex(8)})
        payload = base64.urlsafe_b64encode(claims.encode()).rstrip(b"=").decode()
        access, refresh = f"head.{payload}.sig", secrets.token_hex(8)
        self.tokens |= {access, refresh}
        return 200, {"access_token": access, "refresh_token": refresh, "expires_in": 900}

    def certify(self, key: str) -> str:
        now = int(time.time())
        good = {
            "public_key": unb64(key.split()[1]),
            "valid_after": now - 60,
            "valid_before": now + 3600,
            "extensions": extensions(amr="pwd", auth_time=str(now)),
        }
        return line(authority().certify(user_certificate(**(good | self.certificate))))


class _Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.liar = Liar(f"http://127.0.0.1:{self.server_port}")


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        fields = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/oauth2/authorize":
            self.send_response(302)
            self.send_header("Location", self.server.liar.send_back(fields))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._answer(parts.path, fields)

    def do_DELETE(self) -> None:
        self._answer(self.path, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        is_json = self.headers["Content-Type"] == "application/json"
        fields = json.loads(body) if is_json else {k: v[0] for k, v in parse_qs(body).items()}
        self._answer(self.path, fields)

    def _answer(self, path: str, fields: dict[str, str]) -> None:
        token = (self.headers["Authorization"] or "").removeprefix("Bearer ")
        seen = Seen(self.command, path, fields, token)
        self.server.liar.seen.append(seen)
        status, body = self.server.liar.answer(seen)
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def liar() -> Iterator[Liar]:
    """An authority on loopback that answers as it is told to."""
    server = _Server()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server.liar
    server.shutdown()
    server.server_close()


@dataclass(frozen=True)
class Ran:
    """What came of a command."""

    status: int
    out: str
    err: str


def _browse(url: str) -> httpx2.Response:
    with httpx2.Client(follow_redirects=True, timeout=30, verify=False) as browser:
        return browser.get(url)


@dataclass(frozen=True)
class Engineer:
    """Somebody with a home of their own who runs `amrgate` in a terminal."""

    home: Path
    browse: Callable[[str], object] = _browse
    """Opens a page, and does there what a person would do."""

    @property
    def state(self) -> Path:
        return self.home / ".config" / "amrgate"

    more: tuple[tuple[str, str], ...] = ()
    """Of the environment: names and values."""

    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return {**kept, "HOME": str(self.home), **dict(self.more)}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            warm.words("amrgate", *arguments),
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, typed: str = "") -> Ran:
        process = self.start(*arguments)
        out, err = process.communicate(typed, timeout=60)
        return Ran(process.returncode, out, err)

    def log_in(self, *arguments: str) -> Ran:
        """Run `amrgate login`, and open the page that it names."""
        process = self.start("login", *arguments)
        assert process.stderr is not None
        said = ""
        while (found := re.search(r"^ +(http\S+)$", said, re.MULTILINE)) is None:
            more = process.stderr.readline()
            if not more:
                break
            said += more
        if found is not None:
            self.browse(found[1])
        out, err = process.communicate(timeout=60)
        return Ran(process.returncode, out, said + err)

    def end_token(self) -> None:
        """Let the access token have ended, as after a quarter of an hour."""
        kept = self.state / "session.json"
        kept.write_text(json.dumps(json.loads(kept.read_text()) | {"expires_at": 0}))

    def has(self, name: str) -> bool:
        return (self.state / name).exists()


@pytest.fixture
def engineer(tmp_path: Path) -> Engineer:
    home = tmp_path / "home of alice"
    home.mkdir(mode=0o700)
    return Engineer(home)


@pytest.fixture
def alice(engineer: Engineer, liar: Liar) -> Engineer:
    """An engineer who is logged in at the liar's."""
    place = Place(engineer.state)
    session.save(place, session.from_answer(liar.url, web.Answer(*liar.give_tokens())))
    certificates.replace(Account(place, refuse))
    return engineer
