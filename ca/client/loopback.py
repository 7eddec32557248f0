"""The loopback port on which the browser hands over the code (RFC 8252, section 7.3)."""

import functools
import html
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from ca.errors import CAError, NotAuthenticated

ADDRESS = "127.0.0.1"
MAX_WAIT = 30  # seconds that the browser's page waits for what comes of the login

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>amrgate</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<style>body{{font:1.1em system-ui,sans-serif;max-width:30em;margin:20vh auto;padding:0 1em;
color-scheme:light dark}}</style>
<h1>{title}</h1><p>{text}</p></html>
"""


class Answers(ThreadingHTTPServer):
    """Waits for one answer of the authority, and shows in the browser what came of it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((ADDRESS, 0), _Handler)
        self.received: queue.Queue[dict[str, str]] = queue.Queue()
        self._done = threading.Event()
        self._page = ("The login did not end", "Look at your terminal.")
        self._asked = threading.Lock()
        serve = functools.partial(self.serve_forever, poll_interval=0.05)  # seconds
        threading.Thread(target=serve, daemon=True).start()

    @property
    def url(self) -> str:
        """The redirect URI: any port of the loopback address, without a path."""
        return f"http://{ADDRESS}:{self.server_port}"

    def wait(self, seconds: int) -> dict[str, str]:
        """The parameters of the answer.

        Raises:
            NotAuthenticated: none came.
        """
        try:
            return self.received.get(timeout=seconds)
        except queue.Empty as error:
            raise NotAuthenticated(
                "Nobody logged in within"
                f" {seconds // 60} minutes: run the command again, and open the page it names."
            ) from error

    def end(self, title: str, text: str) -> None:
        """Show the browser how it ended, and stop."""
        self._page = (title, text)
        self._done.set()
        with self._asked:  # the page is sent before the process ends
            self.shutdown()
            self.server_close()

    def answer(self, parameters: dict[str, str]) -> str:
        """Hand over the parameters; the page that says what came of them."""
        self.received.put(parameters)
        self._done.wait(MAX_WAIT)
        title, text = self._page
        return _PAGE.format(title=html.escape(title), text=html.escape(text))


class _Handler(BaseHTTPRequestHandler):
    server: Answers
    timeout = 10  # seconds for a request to arrive

    def do_GET(self) -> None:
        """Take the answer; there is nothing else here."""
        parts = urlsplit(self.path)
        fields = parse_qs(parts.query, keep_blank_values=True)
        # A browser also asks for an icon; a name that leads here from elsewhere is not us.
        if parts.path != "/" or not fields or self.headers["Host"] != self._own_name():
            self.send_error(404)
            return
        if any(len(values) > 1 for values in fields.values()):
            self.send_error(400)
            return
        with self.server._asked:  # noqa: SLF001 one object in two classes
            page = self.server.answer({name: values[0] for name, values in fields.items()})
            self._send(page.encode())

    def _own_name(self) -> str:
        return self.server.url.removeprefix("http://")

    def _send(self, page: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")  # the address has the code in it
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the library's name
        """Say nothing: the address has the code in it."""


def check_answer(parameters: dict[str, str], state: str, issuer: str) -> str:
    """The code, if this answers our own request and comes from our authority.

    A page elsewhere could send the browser here with somebody else's code, and another authority
    with one of its own: then we would log in as them (RFC 6749, section 10.12; RFC 9207).

    Raises:
        CAError: it does not, or the person said no there.
    """
    if parameters.get("state") != state:
        raise NotAuthenticated("The answer was not to this login: run `amrgate login` again.")
    if parameters.get("iss") != issuer:
        raise NotAuthenticated(
            f"The answer did not come from {issuer}: check the address that `--ca` names."
        )
    if "error" in parameters:
        raise _refusal(parameters)
    code = parameters.get("code", "")
    if not code:
        raise NotAuthenticated("The answer holds no code: run `amrgate login` again.")
    return code


def _refusal(parameters: dict[str, str]) -> CAError:
    from ca.words import safe

    said = parameters.get("error_description") or parameters["error"]
    return NotAuthenticated(f"There is no new login: {safe(said[:500])}")
