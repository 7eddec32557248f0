"""A CA's answers to hosts over real HTTP: what the test put into a folder, as long polls.

Run in the private machine as `python -m tests.policy_server FOLDER PORT [CERTIFICATE]`, the last
a PEM file with its key for HTTPS. `policy.json` is the
answer to a poll, held back while its version is the one asked with; `joined.json` the one to a
join; what hosts sent is appended to `requests`. While there is a file `forgotten`, or until a host
joins, no host is known; `https-ca.pem` is what signs the server's certificate.
"""

import json
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


class Handler(BaseHTTPRequestHandler):
    """One request of a host."""

    folder: Path

    def do_GET(self) -> None:
        if self.path == "/hosts/https-ca":
            self._answer((self.folder / "https-ca.pem").read_text())
            return
        if (self.folder / "forgotten").exists():
            self.send_error(401)
            return
        asked = parse_qs(urlsplit(self.path).query)
        deadline = time.monotonic() + int(asked["wait"][0])
        while True:
            text = (self.folder / "policy.json").read_text()
            current = str(json.loads(text)["version"]) == asked["version"][0]
            if not current or time.monotonic() >= deadline:
                break
            time.sleep(0.02)
        self._note("")
        if current:
            text = json.dumps(json.loads(text) | {"bundle": None, "bundle_signature": None})
        self._answer(text)

    def do_POST(self) -> None:
        self._note(self.rfile.read(int(self.headers["Content-Length"])).decode())
        joining = self.path == "/hosts/enroll"
        if joining:
            (self.folder / "forgotten").unlink(missing_ok=True)
        self._answer((self.folder / "joined.json").read_text() if joining else "{}")

    def _answer(self, text: str) -> None:
        data = text.encode()
        refused = (self.folder / "refuse").exists()
        self.send_response(403 if refused else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _note(self, body: str) -> None:
        note = {
            "path": self.path,
            "authorization": self.headers["Authorization"],
            "body": json.loads(body or "null"),
        }
        with (self.folder / "requests").open("a") as file:
            file.write(json.dumps(note) + "\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its base has it so
        pass


if __name__ == "__main__":
    Handler.folder = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
    if sys.argv[3:]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[3])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
