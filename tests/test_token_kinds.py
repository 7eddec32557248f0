"""Every kind of token at every place that takes one: each opens what it is for, and nothing else."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from ca.errors import AlreadyUsed
from ca.hosts import join
from ca.identity import links
from ca.identity.links import PASSWORD
from ca.oauth.device import GRANT_TYPE
from ca.store.engine import reading, writing
from tests.devices import Machine, type_code
from tests.host_client import HostClient
from tests.issuing import post
from tests.oauth import is_good
from tests.web import Browser, Client, add_person

if TYPE_CHECKING:
    from collections.abc import Callable

    from ca.services import Services
    from tests.web import Person

# What each place takes; the other kinds are refused there.
TAKEN = {
    "the API": {"access token"},
    "/ssh": {"access token"},
    "the code grant": {"code"},
    "the refresh grant": {"refresh token"},
    "the device grant": {"device code"},
    "the API token grant": {"API token"},
    "introspection": {"access token", "refresh token"},
    "a cookie": {"cookie"},
    "the device page": {"user code"},
    "a mailed link": {"mailed link"},
    "a new host": {"join token"},
    "a host": {"host's token"},
}


@dataclass
class Everything:
    """One token of each kind, and each place that takes one."""

    services: Services
    alice: Person

    def __post_init__(self) -> None:
        self.client, self.browser = Client(self.services), Browser(self.services)
        self.machine, self.typist = Machine(self.services), Browser(self.services)
        self.host = HostClient(self.services)
        given = self.client.tokens(self.alice)
        wish = {"name": "a program"}
        path = f"/users/{self.alice.id}/api-tokens"
        now, engine = int(time.time()), self.services.engine
        with writing(engine) as connection:
            link = links.issue(connection, PASSWORD, self.alice.id, "alice@acme.example", now)
        approved = self.machine.ask()
        page = type_code(self.typist, self.alice, approved)
        self.typist.submit(page, decision="allow")
        self.kinds = {
            "access token": given["access_token"],
            "refresh token": given["refresh_token"],
            "code": self.client.log_in(self.browser, self.alice),
            "device code": self.machine.asked["device_code"],
            "user code": Machine(self.services).ask(),
            "API token": self.client.api("POST", path, given["access_token"], wish).json()["token"],
            "cookie": self.browser.cookie,
            "mailed link": link,
            "join token": join.make_token(engine, "new.acme.example", (), "operator", now),
            "host's token": self.host.joined["token"],
        }
        self.places: dict[str, Callable[[str], bool]] = {
            "the API": lambda value: is_good(self.services, value),
            "/ssh": lambda value: post(self.services, value).status_code == 200,
            "the code grant": lambda value: self.client.exchange(value).status_code == 200,
            "the refresh grant": lambda value: self.client.refresh(value).status_code == 200,
            "the device grant": lambda value: self.granted(GRANT_TYPE, device_code=value),
            "the API token grant": lambda value: self.granted("api_token", api_token=value),
            "introspection": self.is_active,
            "a cookie": self.is_cookie,
            "the device page": lambda value: (
                type_code(self.typist, self.alice, value).status_code == 200
            ),
            "a mailed link": self.is_link,
            "a new host": lambda value: (
                self.host.enroll(token=value, name="new.acme.example").status_code == 200
            ),
            "a host": lambda value: self.host.poll(token=value).status_code == 200,
        }

    def granted(self, grant_type: str, **form: str) -> bool:
        answer = self.client.token(grant_type=grant_type, client_id="amrgate", **form)
        return answer.status_code == 200

    def is_active(self, value: str) -> bool:
        form = {"client_id": "amrgate", "token": value}
        answer = self.browser.http.post("/oauth2/introspect", data=form)
        return answer.json()["active"] is True

    def is_cookie(self, value: str) -> bool:
        thief = Browser(self.services)
        thief.http.cookies.set("amrgate", value)
        return 'action="/login"' not in thief.get("/security").text

    def is_link(self, value: str) -> bool:
        try:
            with reading(self.services.engine) as connection:
                links.look(connection, PASSWORD, value, int(time.time()))
        except AlreadyUsed:
            return False
        return True


@pytest.mark.attack(80)
def test_no_kind_of_token_stands_for_another(services: Services) -> None:
    every = Everything(services, add_person(services, "alice"))
    assert every.places.keys() == TAKEN.keys()
    opened = {
        (kind, place)
        for place, take in every.places.items()
        for kind, value in every.kinds.items()
        if kind not in TAKEN[place] and take(value)
    }
    assert opened == set()
    # Nothing was spent by that, and each is good where it belongs. A refresh token last: it is
    # not active any more once it was used.
    wanted = [(kind, place) for place, kinds in TAKEN.items() for kind in sorted(kinds)]
    wanted.sort(key=lambda pair: pair == ("refresh token", "the refresh grant"))
    refused = [
        (kind, place) for kind, place in wanted if not every.places[place](every.kinds[kind])
    ]
    assert refused == []
