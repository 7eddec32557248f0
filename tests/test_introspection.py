"""Introspection: what a token stands for, told only to the client that it belongs to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ca.store.sessions import GRANT_IDLE
from tests.devices import log_in_device
from tests.oauth import claims_of
from tests.test_grants import revoke
from tests.web import ISSUER, Browser, Client, add_person, pass_time

if TYPE_CHECKING:
    from ca.services import Services

NOT_ACTIVE = {"active": False}


def introspect(services: Services, token: str, client_id: str = "amrgate") -> dict[str, Any]:
    form = {"client_id": client_id, "client_secret": "", "token": token}
    answer = Browser(services).http.post("/oauth2/introspect", data=form)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json()
    return body


def test_what_a_token_stands_for(services: Services) -> None:
    given = Client(services).tokens(add_person(services, "bob", app=True))
    claims = claims_of(given["access_token"])
    found = introspect(services, given["access_token"])
    assert found == {"active": True, "token_type": "Bearer", **claims}
    of_refresh = introspect(services, given["refresh_token"])
    same = ("iss", "aud", "sub", "client_id", "scope", "sid", "amr", "auth_time")
    assert [of_refresh[name] for name in same] == [claims[name] for name in same]
    assert of_refresh["exp"] - of_refresh["iat"] == GRANT_IDLE
    assert "token_type" not in of_refresh


@pytest.mark.attack(110)
def test_a_devices_token_says_so(services: Services) -> None:
    given = log_in_device(services, add_person(services, "alice"))
    for name in ("access_token", "refresh_token"):
        assert introspect(services, given[name])["via"] == "device"


def test_all_else_is_not_active(services: Services) -> None:
    two = replace(services, settings=replace(services.settings, clients=("amrgate", "other")))
    client, alice = Client(two), add_person(services, "alice")
    given = client.tokens(alice)
    for name in ("access_token", "refresh_token"):
        assert introspect(two, given[name], "other") == NOT_ACTIVE, "another client's"
    for nothing in ("", "a.b.c", "nonsense", given["access_token"][:-4]):
        assert introspect(two, nothing) == NOT_ACTIVE
    client.refresh(given["refresh_token"])
    assert introspect(two, given["refresh_token"]) == NOT_ACTIVE, "it was used"
    assert introspect(two, given["access_token"])["active"]
    revoke(services, given["access_token"])
    assert introspect(two, given["access_token"]) == NOT_ACTIVE

    given = client.tokens(alice)
    pass_time(services, 7 * 86400)
    assert introspect(two, given["refresh_token"]) == NOT_ACTIVE, "its session was idle too long"
    assert introspect(two, given["access_token"]) == NOT_ACTIVE


def test_a_client_that_is_none_is_told_nothing(services: Services) -> None:
    given = Client(services).tokens(add_person(services, "alice"))
    for form in ({}, {"client_id": "nobody"}, {"client_id": "amrgate", "client_secret": "x"}):
        answer = Browser(services).http.post(
            "/oauth2/introspect", data={"token": given["access_token"], **form}
        )
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_the_metadata_names_every_endpoint(services: Services) -> None:
    http = Browser(services).http
    document = http.get("/.well-known/oauth-authorization-server").json()
    endpoints = {name: url for name, url in document.items() if name.endswith("_endpoint")}
    assert len(endpoints) == 5
    for url in endpoints.values():
        path = url.removeprefix(ISSUER)
        answer = http.post(path, data={}) if "authorize" not in path else http.get(path)
        assert answer.status_code in (400, 401), path
    for grant_type in document["grant_types_supported"]:
        form = {"grant_type": grant_type, "client_id": "amrgate"}
        assert http.post("/oauth2/token", data=form).json()["error"] == "invalid_grant", grant_type
    refused = http.post("/oauth2/token", data={"grant_type": "password", "client_id": "amrgate"})
    assert refused.json()["error"] == "unsupported_grant_type"
