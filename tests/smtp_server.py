"""A mail server, as far as ours speaks with one (RFC 5321): it takes mail, or has its faults."""

from __future__ import annotations

import base64
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from email.message import EmailMessage


@dataclass
class Taken:
    """A message that the server has answered for: the envelope, and what was in it."""

    sender: str
    recipient: str
    message: EmailMessage
    encrypted: bool
    credentials: str


@dataclass
class MailServer:
    """What the server does; tests change it."""

    port: int = 0
    taken: list[Taken] = field(default_factory=list)
    replies: dict[str, str] = field(default_factory=dict)
    """Commands, or addresses in them, that are answered otherwise than with yes."""

    awake: threading.Event = field(default_factory=threading.Event)
    """While it is not set, nobody is answered."""

    connected: threading.Event = field(default_factory=threading.Event)


class Session(StreamRequestHandler):
    """What is said in one connection."""

    server: Server
    encrypted = False
    credentials = sender = recipient = ""

    def handle(self) -> None:
        if self.server.from_start:
            self._encrypt()
        self.server.state.connected.set()
        self.server.state.awake.wait(20)
        self._say("220 mail.test")
        while line := self.rfile.readline().decode().strip():
            command, _, argument = line.partition(" ")
            address = argument.partition("<")[2].partition(">")[0]
            said = self.server.state.replies.get(address) or self.server.state.replies.get(
                command.upper()
            )
            if said:
                self._say(said)
            else:
                getattr(self, f"do_{command.lower()}")(argument, address)

    def do_ehlo(self, _argument: str, _address: str) -> None:
        offer = "AUTH PLAIN" if self.encrypted else "STARTTLS" if self.server.tls else "HELP"
        self._say("250-mail.test", f"250 {offer}")

    def do_starttls(self, _argument: str, _address: str) -> None:
        self._say("220 go")
        self._encrypt()

    def _encrypt(self) -> None:
        assert self.server.tls
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.encrypted = True

    def do_auth(self, argument: str, _address: str) -> None:
        self.credentials = base64.b64decode(argument.split()[1]).decode()
        self._say("235 welcome")

    def do_mail(self, _argument: str, address: str) -> None:
        self.sender = address
        self._say("250 yes")

    def do_rcpt(self, _argument: str, address: str) -> None:
        self.recipient = address
        self._say("250 yes")

    def do_data(self, _argument: str, _address: str) -> None:
        self._say("354 go")
        lines = iter(self.rfile.readline, b".\r\n")
        content = b"".join(line.removeprefix(b".") for line in lines)
        message = message_from_bytes(content, policy=policy.default)
        envelope = (self.sender, self.recipient)
        self.server.state.taken.append(Taken(*envelope, message, self.encrypted, self.credentials))
        self._say("250 taken")

    def do_rset(self, _argument: str, _address: str) -> None:
        self._say("250 yes")

    def do_quit(self, _argument: str, _address: str) -> None:
        self._say("221 bye")

    def _say(self, *lines: str) -> None:
        self.connection.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def finish(self) -> None:
        self.connection.close()


class Server(ThreadingTCPServer):
    """Takes connections, each in a thread of its own."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, tls: ssl.SSLContext | None, *, from_start: bool) -> None:
        super().__init__(("127.0.0.1", port), Session)
        self.state = MailServer(self.server_address[1])
        self.state.awake.set()
        self.tls = tls
        self.from_start = from_start

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients hang up when it is too slow, or has the wrong certificate."""


@contextmanager
def mail_server(
    tls: ssl.SSLContext | None = None, port: int = 0, *, from_start: bool = False
) -> Iterator[MailServer]:
    """A server on loopback at `port`; with `tls` it offers STARTTLS, and asks for a login then.

    Or it speaks TLS `from_start`, as on port 465 (RFC 8314, section 3.3).
    """
    with Server(port, tls, from_start=from_start) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.state
        server.state.awake.set()
        server.shutdown()
