"""Answers have the shapes that existing clients of this API know: those of contract/api.json.

Every path of the contract is asked for by every method of its own, as somebody who may; what is
answered is held against its schema.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyotp
import pytest
from jsonschema import (  # type: ignore[import-untyped]  # it has no types
    Draft202012Validator,
    FormatChecker,
)

from tests.databases import new_sqlite
from tests.directory import ACME, Api, apply_text, log_in
from tests.web import new_services

if TYPE_CHECKING:
    from ca.services import Services

pytest_plugins = ["tests.web"]


def nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """What OpenAPI 3.0 calls `nullable`, as JSON Schema has it."""
    if schema.get("nullable") is True and "type" in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return schema


CONTRACT = json.loads(
    (Path(__file__).parent / "contract" / "api.json").read_text(), object_hook=nullable
)
# "uri" is not among them: a picture that nobody has is an empty text.
FORMATS = FormatChecker(["uuid", "email"])


@FORMATS.checks("date-time", raises=ValueError)  # type: ignore[untyped-decorator]  # no types
def is_moment(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


COMPANY = (
    ACME.replace('bob = "admin",', 'bob = "owner",')
    + """
[users.erin]
name = "Erin Eaton"
email = "erin@acme.example"

[organizations.empty]
members = { bob = "owner" }
"""
)


def check(instance: Any, schema: dict[str, Any]) -> None:
    validator = Draft202012Validator(
        {**schema, "components": CONTRACT["components"]}, format_checker=FORMATS
    )
    faults = [f"{fault.json_path}: {fault.message}" for fault in validator.iter_errors(instance)]
    assert not faults, instance


def answer_schema(path: str, method: str, status: str) -> dict[str, Any] | None:
    answer = CONTRACT["paths"][path][method]["responses"].get(status, {})
    schemas: list[dict[str, Any]] = [one["schema"] for one in answer.get("content", {}).values()]
    return schemas[0] if schemas else None


class Contract:
    """Asks what the contract names, and holds each answer against it."""

    def __init__(self, **ids: str) -> None:
        self.asked: set[tuple[str, str]] = set()
        self.ids = ids

    def ask(self, who: Api, request: str, status: int, body: Any = None, query: str = "") -> Any:
        """What is answered to `who`. `ids` and the caller's own fill in the path."""
        method, path = request.split(" ")
        url = path.format(**{"user_id": who.user.id, **self.ids}) + query
        response = who.http.request(method, url, json=body)
        assert response.status_code == status, response.text
        known = CONTRACT["paths"][path][method.lower()]["responses"]
        assert str(status) in known, f"{method} {path}: {status} is not in the contract"
        if schema := answer_schema(path, method.lower(), str(status)):
            check(response.json(), schema)
        self.asked.add((path, method))
        return response.json() if response.content else None


def test_every_answer_of_the_contract_has_its_shape(tmp_path: Path) -> None:
    with new_services(new_sqlite(tmp_path), tmp_path) as services:
        apply_text(services.engine, COMPANY)
        asked = {*people(services), *projects(services), *organizations(services)}

    every = {
        (path, method.upper())
        for path, methods in CONTRACT["paths"].items()
        for method in methods
        if method != "parameters"
    }
    assert asked == every


def people(services: Services) -> set[tuple[str, str]]:
    """Whoever changes their own account."""
    contract = Contract()
    bob, erin = log_in(services, "bob", "pwd", "otp"), log_in(services, "erin", "pwd")
    for path in ("/me", "/users/me", "/users/{user_id}"):
        contract.ask(bob, f"GET {path}", 200)
    contract.ask(erin, "PATCH /users/{user_id}", 200, {"first_name": "Erina"})
    contract.ask(erin, "PATCH /users/{user_id}", 400, {"first_name": "E(rina"})

    tokens = "/users/{user_id}/api-tokens"
    contract.ids["token_id"] = contract.ask(erin, f"POST {tokens}", 201, {"name": "ci"})["id"]
    assert len(contract.ask(erin, f"GET {tokens}", 200)) == 1
    contract.ask(erin, f"GET {tokens}/{{token_id}}", 200)
    contract.ask(erin, f"DELETE {tokens}/{{token_id}}", 204)

    totp = "/users/{user_id}/totp"
    secret = contract.ask(erin, f"GET {totp}", 200)["secret"]
    code = {"secret": secret, "passcode": pyotp.TOTP(secret).now()}
    assert len(contract.ask(erin, f"POST {totp}", 200, code)["recovery_codes"]) == 10
    erin = log_in(services, "erin", "pwd", "otp")
    contract.ask(erin, "POST /users/{user_id}/codes", 201)
    contract.ask(erin, f"DELETE {totp}", 204)
    return contract.asked


def projects(services: Services) -> set[tuple[str, str]]:
    """Whoever looks for projects, and gives others roles in them."""
    contract = Contract(project_id="abcdefg123456", organization_id="acme")
    bob = log_in(services, "bob", "pwd", "otp")
    granted = contract.ask(bob, "GET /users/{user_id}/extended-access", 200)
    assert {one["resource_type"] for one in granted["items"]} == {"project", "organization"}
    mine = contract.ask(bob, "GET /users/{user_id}/organizations", 200)
    access = "/projects/{project_id}/user-access"
    listed = contract.ask(bob, f"GET {access}", 200, query="?page[size]=2")
    assert {"self", "next", "ref:users:0"} <= listed["_links"].keys()

    links = granted["_links"] | mine["_links"] | listed["_links"]
    for name in ("users", "projects", "organizations"):
        path, _, query = links[f"ref:{name}:0"]["href"].partition("?")
        found = contract.ask(bob, f"GET {path}", 200, query=f"?{query}")
        assert all(found.values())
        contract.ask(bob, f"GET {path}", 400, query=f"?{query}x")

    carol = log_in(services, "carol", "pwd").user.id
    one = f"{access}/{{user_id}}"
    contract.ids["user_id"] = carol
    contract.ask(bob, f"GET {one}", 200)
    contract.ask(bob, f"PATCH {one}", 204, {"permissions": ["viewer", "staging:admin"]})
    contract.ask(bob, f"DELETE {one}", 204)
    contract.ask(bob, f"GET {one}", 404)
    contract.ask(bob, f"POST {access}", 204, [{"user_id": carol, "permissions": ["admin"]}])

    here = "/organizations/{organization_id}/projects"
    contract.ask(bob, f"POST {here}", 201, {"title": "New", "region": "eu"})
    assert contract.ask(bob, f"GET {here}", 200)["count"] == 2
    return contract.asked


def organizations(services: Services) -> set[tuple[str, str]]:
    """Whoever decides about an organization."""
    contract = Contract(organization_id="acme")
    bob, alice = log_in(services, "bob", "pwd", "otp"), log_in(services, "alice", "pwd")
    contract.ask(bob, "GET /organizations", 200)
    contract.ask(bob, "POST /organizations", 403, {"label": "Mine"})
    here = "/organizations/{organization_id}"
    contract.ask(bob, f"GET {here}", 200)
    contract.ask(bob, f"PATCH {here}", 200, {"label": "Acme"})
    contract.ask(alice, f"PATCH {here}", 403, {"label": "Mine"})

    members = f"{here}/members"
    contract.ask(bob, f"GET {members}", 200)
    contract.ids["user_id"] = alice.user.id
    contract.ask(bob, f"GET {members}/{{user_id}}", 200)
    contract.ask(bob, f"PATCH {members}/{{user_id}}", 200, {"permissions": ["admin"]})
    contract.ids["organization_id"] = "empty"
    contract.ask(bob, f"POST {members}", 201, {"user_id": alice.user.id})
    contract.ask(bob, f"DELETE {members}/{{user_id}}", 204)
    contract.ask(bob, f"DELETE {here}", 204)

    contract.ids["organization_id"] = "acme"
    contract.ask(bob, f"POST {here}/mfa/remind", 200, {"user_ids": [alice.user.id]})
    enforcement = f"{here}/mfa-enforcement"
    contract.ask(bob, f"POST {enforcement}/enable", 204)
    assert contract.ask(bob, f"GET {enforcement}", 200)["enforce_mfa"]
    contract.ask(bob, f"POST {enforcement}/disable", 204)
    contract.ask(log_in(services, "carol", "pwd"), f"POST {enforcement}/enable", 403)
    return contract.asked


@pytest.mark.parametrize("path", ["/users/nobody", "/organizations/nobody", "/nowhere"])
def test_an_error_has_its_shape(services: Services, path: str) -> None:
    apply_text(services.engine, ACME)

    response = log_in(services, "alice", "pwd").get(path)

    assert response.status_code == 404
    check(response.json(), CONTRACT["components"]["schemas"]["Error"])


def test_what_an_existing_client_looks_for(services: Services) -> None:
    apply_text(services.engine, ACME)
    alice = log_in(services, "alice", "pwd")

    user, older = alice.get("/users/me").json(), alice.get("/me").json()
    organization = alice.get("/organizations/acme").json()

    assert {"id", "username", "email", "phone_number_verified", "mfa_enabled"} <= user.keys()
    assert (user["first_name"], user["last_name"]) == ("Alice", "Archer")
    assert older["ssh_keys"] == []
    assert [one["id"] for one in older["projects"]] == ["abcdefg123456"]
    assert organization["_links"]["self"]["href"] == f"/organizations/{organization['id']}"
    assert organization["capabilities"] == []
