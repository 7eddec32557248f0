"""Whatever stands in a field that a page shows is text there, and nothing that a browser runs.

Every text that the database keeps and a page shows is a payload that names its field; so is
whatever forms and addresses take. All pages are asked, and in the end each field was seen.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
from sqlalchemy import BigInteger, Boolean, Integer, LargeBinary, String, insert, select, update

from ca.console import flow, pages
from ca.console.flow import Purpose
from ca.identity.sessions import hash_of
from ca.oauth.approval import Device
from ca.oauth.authorize import Request
from ca.store import tables
from ca.store.engine import writing
from tests.directory import ACME, apply_text
from tests.web import BACK, Browser, listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Table

    from ca.services import Services
    from tests.chromium import Chromium

pytest_plugins = ["tests.chromium"]

# They only show what was made, or was found to be right, at that moment.
MADE = {"codes.html", "device_done.html", "email_done.html", "reset_done.html", "token.html"}
MADE |= {"email_sent.html", "invitation_done.html", "link.html"}

COLUMNS = {
    tables.users: ("name", "username", "email"),
    tables.organizations: ("label",),
    tables.projects: ("title",),
    tables.oidc_clients: ("label",),
    tables.identities: ("id", "slug", "subject"),
    tables.webauthn_keys: ("id", "name"),
    tables.api_tokens: ("id", "name"),
    tables.browser_sessions: ("user_agent", "address"),
    tables.grant_sessions: ("client_id",),
    tables.device_codes: ("client_id", "user_agent", "address"),
    tables.invitations: ("email",),
    tables.mailed_links: ("email",),
}
"""What the database keeps and a page shows."""

SENT = {"client", "value", "device", "key", "token", "address", "account", "provider", "method"}
SENT |= {"new user", "new name"}
"""What comes with a request, or is sealed in it. Faulty addresses are sent and never shown."""


def payload(field: str) -> str:
    run = f"window.ran=`{field}`"
    return f"\"'><script>{run}</script><img src=x onerror=\"{run}\"><svg onload='{run}'>{{{{7*7}}}}"


def field_of(table: Table, column: str) -> str:
    return f"{table.name}.{column}"


FIELDS = SENT | {field_of(table, one) for table, columns in COLUMNS.items() for one in columns}


class Reader(HTMLParser):
    """What a browser would make of a page: its text, and what is alive in it."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        self.text += " ".join(said.values())
        ours = tag == "script" and said.get("src", "").startswith("/static/")
        runs = any(name.startswith("on") for name in said)
        leads = any("script:" in said.get(name, "").lower() for name in ("href", "action"))
        if (tag in ("script", "svg") and not ours) or runs or leads or said.get("src") == "x":
            self.alive.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def fields_in(html: str) -> set[str]:
    """The fields whose payload a page shows, as text."""
    reader = Reader()
    reader.feed(html)
    assert reader.alive == []
    return {field for field in FIELDS if payload(field) in reader.text}


@dataclass
class Site:
    """A CA all of whose texts are payloads, and alice's browser there."""

    services: Services
    alice: str

    def sealed(self, **about: Any) -> str:
        now = int(time.time())
        return quote(flow.seal(self.services.keys.seal, Purpose(asked_at=now, **about)))

    def request(self, *amr: str, anew: bool = False) -> dict[str, Any]:
        """A client's."""
        now = int(time.time())
        name = payload("client")
        asked = Request(name, f"{BACK}/cb", "", "", "", amr, None, anew, now)
        return {"request": asked, "begin_anew": anew, "not_session": "session" if anew else ""}

    def gets(self) -> list[str]:
        device = Device(hash_of("device"), payload("code"), "c", (), 0, "session")
        value = payload("value")
        return [
            *("/security", "/security/sessions", "/security/tokens", "/security/tokens/new"),
            *("/security/sso", "/security/key", "/security/application", "/security/password"),
            *(
                "/login/sso/nobody",
                "/security/email",
                "/logout",
                "/device",
                "/forgot",
                "/login/sso",
            ),
            f"/login?for={self.sealed(**self.request(anew=True))}",
            f"/login/code?for={self.sealed(**self.request('hwk'))}",
            f"/login/sso?for={self.sealed(**self.request('sso:acme'))}",
            f"/login/missing?for={self.sealed(**self.request(value))}",
            f"/login/missing?for={self.sealed(**self.request('swk'))}",
            f"/consent?for={self.sealed(**self.request())}",
            f"/device/confirm?for={self.sealed(device=device)}",
            *(f"/{page}?token={page}" for page in ("invitation", "reset", "email")),
            f"/login/sso/{quote(payload('error'), safe='')}",
            f"/nowhere/{quote(payload('error'), safe='')}",
            f"/login?for={quote(payload('error'))}",
            f"/reset?token={quote(payload('error'))}",
            "/oauth2/authorize?" + urlencode({"client_id": payload("error")}),
            "/oauth2/authorize?"
            + urlencode({"client_id": "amrgate", "redirect_uri": payload("error")}),
        ]

    def posts(self) -> list[tuple[str, dict[str, str]]]:
        return [
            ("/login", {"username": payload("account"), "password": "x"}),
            ("/login/code", {"for": self.sealed(**self.request("hwk")), "code": payload("code")}),
            ("/login/sso", {"provider": payload("provider")}),
            ("/device", {"user_code": payload("device")}),
            ("/security/email", {"email": payload("address")}),
            ("/security/key", {"name": payload("key")}),
            ("/security/tokens/new", {"name": payload("token")}),
            ("/security/sso/link", {"provider": payload("provider")}),
            (
                "/invitation/sign-up",
                {
                    "token": "invitation",
                    "username": payload("new user"),
                    "name": payload("new name"),
                },
            ),
            ("/reset", {"token": "reset", "password": "short"}),
        ]


def row(connection: Connection, table: Table, **known: object) -> None:
    """Insert a row, with payloads where a page shows what it holds."""
    values: dict[str, object] = {}
    for column in table.columns:
        if column.name in COLUMNS[table]:
            values[column.name] = payload(field_of(table, column.name))
        elif not column.nullable:
            kinds = {BigInteger: int(time.time()), Integer: 1, Boolean: False, LargeBinary: b"x"}
            default: object = "x" if isinstance(column.type, String) else []
            values[column.name] = next(
                (made for kind, made in kinds.items() if isinstance(column.type, kind)), default
            )
    connection.execute(insert(table).values(values | known))


def poison(services: Services) -> str:
    """Put payloads everywhere; return alice's id."""
    apply_text(services.engine, ACME)
    now = int(time.time())
    with writing(services.engine) as connection:
        users = tables.users
        alice = connection.execute(select(users.c.id).where(users.c.username == "alice")).scalar()
        acme = connection.execute(select(tables.organizations.c.id)).scalar()
        for table in (tables.organizations, tables.projects, users):
            values = {one: payload(field_of(table, one)) for one in COLUMNS[table]}
            which = table.c.id == alice if table is users else table.c.id.is_not(None)
            connection.execute(update(table).where(which).values(values))
        members = tables.members
        owner = update(members).where(members.c.user_id == alice).values(role="owner")
        connection.execute(owner)
        mine: dict[str, Any] = {"user_id": alice, "expires_at": now + 600}
        proofs = [
            {"amr": amr, "at": now, "verified": False} for amr in ("pwd", "otp", payload("method"))
        ]
        provider = {"issuer": "https://login.example", "slug": "acme"}
        row(connection, tables.oidc_clients, **provider)
        row(connection, tables.identities, user_id=alice)
        row(connection, tables.webauthn_keys, user_id=alice, created_at=1, public_key=b"x")
        row(connection, tables.api_tokens, **mine, via="")
        row(connection, tables.grant_sessions, **mine, browser_session_id="session")
        for name, shown in (("session", proofs), ("half", proofs[:1])):
            session = {"id": name, "cookie_hash": hash_of(name), "proofs": shown}
            row(connection, tables.browser_sessions, user_id=alice, **session)
        row(connection, tables.device_codes, device_code_hash=hash_of("device"), **mine)
        connection.execute(update(tables.device_codes).values(user_id=None, amr=[]))
        project = connection.execute(select(tables.projects.c.id)).scalar()
        grants = {"projects": [[project, "project", "viewer"]], "role": "viewer"}
        token = {"token_hash": hash_of("invitation"), "expires_at": now + 600}
        invited = {"organization_id": acme, "invited_by": alice}
        row(connection, tables.invitations, **grants, **invited, **token)
        for page, purpose in (("reset", "password"), ("email", "email")):
            link = {"purpose": purpose, "token_hash": hash_of(page)}
            row(connection, tables.mailed_links, **mine, **link)
    return str(alice)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with listening(tmp_path, "localhost") as services:
        yield Site(services, poison(services))


@pytest.mark.attack(130)
def test_nothing_that_a_page_shows_is_alive(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: set[str] = set()
    get = pages._TEMPLATES.get_template

    def noted(name: str, *more: Any, **named: Any) -> Any:
        shown.add(name)
        return get(name, *more, **named)

    monkeypatch.setattr(pages._TEMPLATES, "get_template", noted)
    found: set[str] = set()
    for cookie in ("session", "half", ""):
        browser = Browser(site.services)
        browser.http.cookies.set("amrgate", cookie)
        for url in site.gets():
            found |= fields_in(browser.get(url).text)
        for path, form in site.posts():
            found |= fields_in(browser.post(path, form).text)

    assert found == FIELDS
    templates = {path.name for path in (pages.FOLDER / "templates").glob("*.html")}
    assert templates - shown == MADE


@pytest.mark.attack(130)
def test_no_script_runs_in_a_real_browser(site: Site, scripted: Chromium) -> None:
    issuer = site.services.settings.issuer
    for cookie in ("session", "half"):
        given = {"name": "amrgate", "value": cookie, "url": issuer}
        scripted.driver.execute_cdp_cmd("Network.setCookie", given)
        for url in site.gets():
            scripted.open(issuer + url)
            assert scripted.driver.execute_script("return window.ran === undefined"), url
    assert scripted.complaints() == []
