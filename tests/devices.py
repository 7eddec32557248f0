"""A device that asks for a login by a code, and the person who types that elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.testclient import TestClient

from ca.app import create_app
from ca.oauth.device import GRANT_TYPE
from tests.web import ISSUER, Browser, Person

if TYPE_CHECKING:
    from httpx2 import Response

    from ca.services import Services


@dataclass
class Machine:
    """A device with a client, but without a browser."""

    services: Services
    address: str = "203.0.113.9"

    def __post_init__(self) -> None:
        self.http = TestClient(create_app(self.services), base_url=ISSUER, client=(self.address, 1))
        self.http.headers["user-agent"] = "amrgate/1 <b>(bold)</b>"
        self.asked: dict[str, Any] = {}

    def ask(self, **parameters: str) -> str:
        """Begin a login; returns the code that it shows."""
        form = {"client_id": "amrgate", "scope": "offline_access", **parameters}
        answer = self.http.post("/oauth2/device_authorization", data=form)
        assert answer.status_code == 200, answer.text
        self.asked = answer.json()
        return str(self.asked["user_code"])

    def poll(self, **changed: str) -> Response:
        form = {
            "grant_type": GRANT_TYPE,
            "device_code": self.asked["device_code"],
            "client_id": "amrgate",
            **changed,
        }
        return self.http.post("/oauth2/token", data=form)

    def outcome(self) -> str:
        answer = self.poll()
        body: dict[str, str] = answer.json()
        assert answer.status_code == (200 if "access_token" in body else 400), answer.text
        return body.get("error", "")


def type_code(browser: Browser, person: Person, code: str) -> Response:
    """Open the page, log in if it asks for that, type the code, and whatever is asked then."""
    page = browser.log_in(browser.get("/device"), person)
    assert 'action="/device"' in page.text, page.text
    return browser.log_in(browser.submit(page, user_code=code), person)


def log_in_device(services: Services, person: Person, **parameters: str) -> dict[str, Any]:
    """The tokens of a device that somebody allowed."""
    machine = Machine(services)
    page = type_code(browser := Browser(services), person, machine.ask(**parameters))
    assert "is logged in" in browser.submit(page, decision="allow").text
    tokens: dict[str, Any] = machine.poll().json()
    return tokens
