"""A browser with a person before it who fills in the pages of the CA, over HTTP.

In the private machine `python -m demo.browser` reads from standard input what to do.
"""

import html
import json
import re
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

import httpx2
import pyotp

MAX_PAGES = 10  # of one login
STEP = 30  # seconds for which a code counts (RFC 6238)
ON_ITS_WAY = 5  # seconds: a code that ends sooner may have ended when the CA looks at it
ACTION = re.compile(r'<form method="post" action="([^"]+)"')
AWAY = re.compile(r'<a class="button" href="([^"]+)">Continue to ')  # to a provider
HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')


class BrowserError(Exception):
    """The person cannot go on; the message says why."""


class Form(NamedTuple):
    """The first form of a page: where it goes, and what goes along unseen."""

    action: str
    hidden: dict[str, str]


def form_of(page: str) -> Form | None:
    """The first form of a page that was sent as `page`, if it has one."""
    action = ACTION.search(page)
    if action is None:
        return None
    hidden = {name: html.unescape(value) for name, value in HIDDEN.findall(page)}
    return Form(html.unescape(action[1]), hidden)


@dataclass
class App:
    """An authenticator app. No code of it is typed twice: the CA would refuse the second."""

    secret: str
    last: int = 0

    def code(self) -> str:
        """The first code that the CA still takes and that was not typed: it takes one off."""
        now = int(time.time() + ON_ITS_WAY) // STEP
        self.last = max(self.last + 1, now - 1)
        while self.last > int(time.time()) // STEP + 1:
            time.sleep(0.2)
        return pyotp.TOTP(self.secret).at(self.last * STEP)


@dataclass
class Browser:
    """Whose browser it is, what they know and have, and what it showed and keeps."""

    username: str
    password: str
    app: App | None = None
    pages: list[str] = field(default_factory=list)
    cookies: httpx2.Cookies = field(default_factory=httpx2.Cookies)

    def log_in(self, url: str) -> None:
        """Open the page of a login, and go on until the way back to the terminal is done.

        Raises:
            BrowserError: the CA asks for what this person does not have, or fails.
        """
        with self._http() as http:
            self._fill_in(http, http.get(url))

    def link(self, authority: str) -> None:
        """Log in at the CA unless they are, and link their account at the first provider it shows.

        Raises:
            BrowserError: it was not linked.
        """
        with self._http() as http:
            self._fill_in(http, http.get(f"{authority}/security"))
            page = http.get(f"{authority}/security/sso")
            form = form_of(page.text)
            if form is None or form.action != "/security/sso/link":
                raise BrowserError("The page shows no provider to link.")
            page = self._fill_in(http, _submit(http, page, form))
            if f"{self.username} · linked" not in page.text:
                raise BrowserError(f"It could not be linked: {page.text}")

    def set_up_app(self, authority: str) -> None:
        """Log in at the CA, choose "Set up application", type its first code, save.

        Raises:
            BrowserError: it was not saved.
        """
        with self._http() as http:
            self._fill_in(http, http.get(f"{authority}/security"))
            page = http.get(f"{authority}/security/application")
            form = form_of(page.text)
            if form is None or "secret" not in form.hidden:
                raise BrowserError("The page shows no secret.")
            self.app = App(form.hidden["secret"])
            if "ecovery codes" not in _submit(http, page, form, code=self.app.code()).text:
                raise BrowserError("The application could not be set up.")

    def _fill_in(self, http: httpx2.Client, page: httpx2.Response) -> httpx2.Response:
        """Fill in the pages of a login from `page` on, the provider's too; return what is next."""
        for _ in range(MAX_PAGES):
            self.pages.append(page.text)
            form = form_of(page.text)
            if away := AWAY.search(page.text):
                page = http.get(page.url.join(html.unescape(away[1])))
            elif form and form.action.startswith(("/login", "/consent", "/authorize")):
                page = _submit(http, page, form, **self._answer(form.action))
            else:
                break
        else:
            raise BrowserError(f"The login does not end: {page.text}")
        self.cookies = http.cookies
        if page.is_error:
            raise BrowserError(f"The page answered {page.status_code}.")
        return page

    def _answer(self, action: str) -> dict[str, str]:
        if action == "/authorize":
            return {"name": self.username}
        if action == "/login":
            return {"username": self.username, "password": self.password}
        if action != "/login/code":
            return {"decision": "allow"}
        if self.app is None:
            raise BrowserError("The CA asks for a code, and there is no app.")
        return {"code": self.app.code()}

    def _http(self) -> httpx2.Client:
        return httpx2.Client(
            cookies=self.cookies, follow_redirects=True, timeout=30, trust_env=False
        )


def _submit(
    http: httpx2.Client, page: httpx2.Response, form: Form, **typed: str
) -> httpx2.Response:
    where = page.url.join(form.action)
    origin = f"{where.scheme}://{where.netloc.decode()}"
    return http.post(where, data=form.hidden | typed, headers={"Origin": origin})


def main() -> None:
    """Do what standard input says, and print the app and the cookies as they are then."""
    wish = json.load(sys.stdin)
    app = App(**wish["app"]) if wish["app"] else None
    browser = Browser(wish["username"], wish["password"], app)
    for cookie in wish["cookies"]:
        browser.cookies.set(**cookie)
    doing = {"login": browser.log_in, "link": browser.link, "application": browser.set_up_app}
    try:
        doing[wish["page"]](wish["url"])
    except BrowserError as error:
        sys.exit(str(error))
    names = ("name", "value", "domain", "path")
    cookies = [{name: getattr(one, name) for name in names} for one in browser.cookies.jar]
    app_then = asdict(browser.app) if browser.app else None
    json.dump({"app": app_then, "cookies": cookies}, sys.stdout)


if __name__ == "__main__":
    main()
