"""A browser with a person before it who fills in the pages of the CA, over HTTP.

Runs in the private machine: `python -m demo.browser` reads from standard input what to do.
"""

import html
import json
import re
import sys
import time
from dataclasses import dataclass, field

import httpx2
import pyotp

MAX_PAGES = 10  # of one login
STEP = 30  # seconds for which a code counts (RFC 6238)
FORM = re.compile(r'<form method="post" action="([^"]+)"')
HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')


@dataclass
class App:
    """An authenticator app. No code of it is typed twice: the CA would refuse the second."""

    secret: str
    last: int = 0

    def code(self) -> str:
        """The first code that the CA still takes and that was not typed: it takes one off."""
        now = int(time.time()) // STEP
        self.last = max(self.last + 1, now - 1)
        while self.last > int(time.time()) // STEP + 1:
            time.sleep(0.2)
        return pyotp.TOTP(self.secret).at(self.last * STEP)


@dataclass
class Browser:
    """Whose browser it is, and what they know and have."""

    username: str
    password: str
    app: App | None = None
    pages: list[str] = field(default_factory=list)

    def log_in(self, url: str) -> None:
        """Open the page of a login, and go on until the way back to the terminal is done."""
        with self._http() as http:
            self._fill_in(http, http.get(url))

    def set_up_app(self, authority: str) -> None:
        """Log in at the CA, choose "Set up application", type its first code, save."""
        with self._http() as http:
            self._fill_in(http, http.get(f"{authority}/security"))
            page = http.get(f"{authority}/security/application")
            fields = _hidden(page.text)
            self.app = App(fields["secret"])
            fields["code"] = self.app.code()
            saved = _post(http, page, "/security/application", fields)
            if "ecovery codes" not in saved.text:
                raise SystemExit("The application could not be set up.")

    def _fill_in(self, http: httpx2.Client, page: httpx2.Response) -> None:
        for _ in range(MAX_PAGES):
            form = FORM.search(page.text)
            if form is None or not form[1].startswith(("/login", "/consent")):
                break
            page = self._answer(http, page, html.unescape(form[1]))
        if page.is_error:
            raise SystemExit(f"The CA's page answered {page.status_code}.")

    def _answer(self, http: httpx2.Client, page: httpx2.Response, action: str) -> httpx2.Response:
        fields = _hidden(page.text)
        if action == "/login":
            fields |= {"username": self.username, "password": self.password}
        elif action == "/login/code":
            if self.app is None:
                raise SystemExit("The CA asks for a code, and there is no app.")
            fields["code"] = self.app.code()
        else:
            fields["decision"] = "allow"
        return _post(http, page, action, fields)

    def _http(self) -> httpx2.Client:
        return httpx2.Client(follow_redirects=True, timeout=30, trust_env=False)


def _hidden(page: str) -> dict[str, str]:
    return {name: html.unescape(value) for name, value in HIDDEN.findall(page)}


def _post(
    http: httpx2.Client, page: httpx2.Response, action: str, fields: dict[str, str]
) -> httpx2.Response:
    where = page.url.join(action)
    origin = f"{where.scheme}://{where.netloc.decode()}"
    return http.post(where, data=fields, headers={"Origin": origin})


def main() -> None:
    """Do what standard input says, and print the app as it is then."""
    wish = json.load(sys.stdin)
    app = App(**wish["app"]) if wish["app"] else None
    browser = Browser(wish["username"], wish["password"], app)
    if wish["page"] == "login":
        browser.log_in(wish["url"])
    else:
        browser.set_up_app(wish["url"])
    app = browser.app
    json.dump({"secret": app.secret, "last": app.last} if app else None, sys.stdout)


if __name__ == "__main__":
    main()
