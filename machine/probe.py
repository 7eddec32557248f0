"""A client that asks sshd what no honest client would: certificates without keys, in any order.

Run in the private machine as `python -m machine.probe`, with JSON on standard input: for each
of some connections made at once, its steps: `[["query", user, blob, times], ["pause", "", "", path], ["login", user, blob,
key file], …]`, blobs in base64. A pause makes the file `<path>.reached` and waits for `path`. Arguments are a program to talk to instead of port 22. It prints a JSON object for each: the answer to each step, the banners, the seconds it took.
"""

import base64
import json
import logging
import queue
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import paramiko
from paramiko.common import MSG_SERVICE_ACCEPT, MSG_USERAUTH_BANNER, MSG_USERAUTH_FAILURE
from paramiko.message import Message

USERAUTH_REQUEST, USERAUTH_SUCCESS, USERAUTH_PK_OK = 50, 52, 60
PATIENCE = 30  # seconds
SOMEWHERE = "127.0.0.66"  # where the attackers are
Step = tuple[str, str, str, Any]


class Dialogue:
    """Takes the place of paramiko's authentication: keeps what sshd says, decides nothing."""

    WORDS: ClassVar = {
        MSG_SERVICE_ACCEPT: "ready",
        MSG_USERAUTH_FAILURE: "no",
        USERAUTH_SUCCESS: "in",
        USERAUTH_PK_OK: "sign",
    }

    def __init__(self, transport: paramiko.Transport) -> None:
        self._transport = transport
        self.answers: queue.Queue[str] = queue.Queue()
        self.banners: list[str] = []
        self._handler_table = {number: self._note(word) for number, word in self.WORDS.items()}
        self._handler_table[MSG_USERAUTH_BANNER] = self._banner

    def begin(self) -> None:
        """Ask for the authentication service."""
        message = Message()
        message.add_byte(b"\x05")
        message.add_string("ssh-userauth")
        self.send(message)

    def query(self, user: str, blob: bytes) -> str:
        """Ask whether this certificate would do, as anybody can who has seen it."""
        message = self._request(user)
        message.add_boolean(False)
        message.add_string(Message(blob).get_text())
        message.add_string(blob)
        return self.send(message)

    def login(self, user: str, blob: bytes, key: paramiko.PKey) -> str:
        """Prove possession of the certificate's key."""
        message = self._request(user)
        message.add_boolean(True)
        message.add_string(Message(blob).get_text())
        message.add_string(blob)
        signed = Message()
        signed.add_string(self._transport.session_id)
        signature = key.sign_ssh_data(signed.asbytes() + message.asbytes(), key.get_name())
        message.add_string(signature)
        return self.send(message)

    def send(self, message: Message) -> str:
        """Send and wait for the answer: "ready", "no", "sign", "in", or "closed"."""
        try:
            self._transport._send_message(message)  # noqa: SLF001 - it has no public way
            return self.answers.get(timeout=PATIENCE)
        except (EOFError, OSError):
            return "closed"

    def is_authenticated(self) -> bool:
        """Paramiko asks."""
        return False

    def abort(self) -> None:
        """The connection has ended."""
        self.answers.put("closed")

    def _request(self, user: str) -> Message:
        message = Message()
        message.add_byte(bytes([USERAUTH_REQUEST]))
        message.add_string(user)
        message.add_string("ssh-connection")
        message.add_string("publickey")
        return message

    def _note(self, word: str) -> Any:
        return lambda _message: self.answers.put(word)

    def _banner(self, message: Message) -> None:
        self.banners.append(message.get_text())


def connect(server: list[str]) -> socket.socket:
    """Connect to port 22 from somewhere else, or to a program that serves its standard input."""
    if not server:
        return socket.create_connection(("127.0.0.1", 22), source_address=(SOMEWHERE, 0))
    ours, theirs = socket.socketpair()
    subprocess.Popen(
        server, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.DEVNULL
    )
    theirs.close()
    return ours


def pause(path: Path) -> None:
    """Let the test change something before the next step."""
    path.with_name(f"{path.name}.reached").touch()
    while not path.exists():
        time.sleep(0.01)


def converse(steps: list[Step], server: list[str]) -> dict[str, Any]:
    """Take the steps on one connection, up to where it is closed."""
    transport = paramiko.Transport(connect(server))
    dialogue = Dialogue(transport)
    try:
        transport.start_client(timeout=PATIENCE)
    except (paramiko.SSHException, EOFError, OSError):
        return {"answers": ["dropped"], "banners": [], "seconds": 0}
    transport.auth_handler = dialogue
    dialogue.begin()
    answers = []
    begin = time.monotonic()
    for kind, user, encoded, detail in steps:
        blob = base64.b64decode(encoded)
        given = []
        if kind == "pause":
            pause(Path(detail))
        elif kind == "query":
            given = [dialogue.query(user, blob) for _ in range(detail)]
        else:
            given = [dialogue.login(user, blob, paramiko.Ed25519Key.from_private_key_file(detail))]
        answers += given
        if "closed" in given:
            break
    seconds = time.monotonic() - begin
    transport.close()
    return {"answers": answers, "banners": dialogue.banners, "seconds": seconds}


def main() -> None:
    """Hold all conversations at once, as `PerSourceMaxStartups` and its like expect it."""
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # a closed connection is an answer
    connections = json.load(sys.stdin)
    with ThreadPoolExecutor(len(connections)) as pool:
        seen = list(pool.map(lambda steps: converse(steps, sys.argv[1:]), connections))
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
