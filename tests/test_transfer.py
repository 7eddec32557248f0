"""How policies travel: compressed for whoever can read them so, and never longer than may be."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from sshd_hook.agent import poll
from sshd_hook.agent.host import Host
from sshd_hook.agent.poll import CAError, Have
from tests.host_client import HostClient
from tests.hosts import HOST_ID, TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ca.services import Services

ANSWER: dict[str, Any] = {
    "version": 7,
    "bundle": None,
    "fresh": "a statement",
    "fresh_signature": "a signature",
    "krl": "",
    "services": [],
    "keys": [],
}


def test_a_policy_is_compressed_for_whoever_can_read_it_so(acme: Services) -> None:
    host = HostClient(acme)
    path = f"/hosts/{host.joined['id']}/policy"
    authorization = {"authorization": f"Bearer {host.joined['token']}"}

    def ask(accepted: str) -> Any:
        headers = authorization | {"accept-encoding": accepted}
        with host.http.stream("GET", path, headers=headers) as response:
            return response, b"".join(response.iter_raw())

    plain, body = ask("identity")
    packed, smaller = ask("deflate, gzip;q=0.5")

    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) == len(smaller) < len(body)
    first, second = json.loads(body), json.loads(gzip.decompress(smaller))
    assert first["bundle"] == second["bundle"]
    assert ask("")[0].headers.get("content-encoding") is None


class Server:
    """Answers every request with the same bytes, or lets whoever asks wait for them."""

    def __init__(self) -> None:
        self.encoding = ""
        self.body = b""
        self.length: int | None = None
        self.accepted = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.accepted = self.headers["Accept-Encoding"]
                self.send_response(200)
                if outer.encoding:
                    self.send_header("Content-Encoding", outer.encoding)
                self.send_header("Content-Length", str(outer.length or len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_words: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def ask(self) -> poll.Update:
        known = Host(HOST_ID, TOKEN, "ssh1", self.url)
        return poll.CA(self.url, None).policy(known, Have(), 0, 0)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


def test_the_agent_reads_both(server: Server) -> None:
    server.body = json.dumps(ANSWER).encode()
    assert server.ask().version == 7
    assert server.accepted == "gzip"

    server.encoding, server.body = "gzip", gzip.compress(server.body)
    assert server.ask().fresh == b"a statement"


BAD: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda data: data[:-9],
    "no gzip": lambda data: b"x" + data,
    "bent": lambda data: data[:20] + bytes([data[20] ^ 0xFF]) + data[21:],
    "nothing": lambda _: b"",
}


@pytest.mark.parametrize("bad", BAD)
def test_what_was_damaged_on_the_way_is_no_answer(server: Server, bad: str) -> None:
    server.encoding = "gzip"
    server.body = BAD[bad](gzip.compress(json.dumps(ANSWER).encode()))

    with pytest.raises(CAError, match="answer"):
        server.ask()


def test_an_answer_that_would_grow_without_end_is_let_go(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll, "MAX_ANSWER", 1 << 20)
    server.encoding, server.body = "gzip", gzip.compress(b" " * (8 << 20))

    with pytest.raises(CAError, match="longer than 1048576 bytes"):
        server.ask()


@pytest.mark.parametrize("drips", [False, True])
def test_a_network_that_swallows_or_drips_ends_the_question(
    monkeypatch: pytest.MonkeyPatch, *, drips: bool
) -> None:
    """Both ways dropped, after the connection stood: nothing comes, or a byte now and then."""
    monkeypatch.setattr(poll, "TIMEOUT", 0.5)
    monkeypatch.setattr(poll, "MAX_TRANSFER", 0.5)
    stopped = threading.Event()

    def answer(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(4096)
            if drips:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while drips and not stopped.wait(0.05):
                connection.sendall(b"x")
            stopped.wait(10)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer, args=(listening,))
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        known = Host(HOST_ID, TOKEN, "ssh1", url)
        with pytest.raises(CAError, match="took longer" if drips else "timed out"):
            poll.CA(url, None).policy(known, Have(), 0, 0)
        stopped.set()
        thread.join()
