"""Answers have the shapes that existing clients of this API know: those of contract/api.json.

Every route of the contract that there is gets asked as somebody who may; what it answers is held
against its schema.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import (  # type: ignore[import-untyped]  # it has no types
    Draft202012Validator,
    FormatChecker,
)

from ca.app import bare_app
from tests.directory import ACME, apply_text, log_in

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


# /users/{id}/totp and the like are tested with what they do.
TESTED_ELSEWHERE = {
    ("/users/{user_id}/totp", "get"),
    ("/users/{user_id}/totp", "post"),
    ("/users/{user_id}/totp", "delete"),
    ("/users/{user_id}/codes", "post"),
    ("/users/{user_id}/api-tokens", "get"),
    ("/users/{user_id}/api-tokens", "post"),
    ("/users/{user_id}/api-tokens/{token_id}", "get"),
    ("/users/{user_id}/api-tokens/{token_id}", "delete"),
}

PATHS = {
    "/me": "/me",
    "/users/me": "/users/me",
    "/users/{user_id}": "/users/{id}",
    "/organizations/{organization_id}": "/organizations/acme",
    "/organizations/{organization_id}/mfa-enforcement": "/organizations/acme/mfa-enforcement",
}


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


@pytest.mark.parametrize("path", PATHS)
def test_what_is_read_has_its_shape(services: Services, path: str) -> None:
    apply_text(services.engine, ACME.replace('bob = "admin",', 'bob = "owner",'))
    bob = log_in(services, "bob", "pwd", "otp")

    response = bob.get(PATHS[path].format(id=bob.user.id))

    assert response.status_code == 200
    schema = answer_schema(path, "get", "200")
    assert schema
    check(response.json(), schema)


@pytest.mark.parametrize("action", ["enable", "disable"])
def test_what_is_switched_has_its_answer(services: Services, action: str) -> None:
    apply_text(services.engine, ACME)
    path = f"/organizations/{{organization_id}}/mfa-enforcement/{action}"
    bob, alice = log_in(services, "bob", "pwd", "otp"), log_in(services, "alice", "pwd")

    done = bob.post(path.format(organization_id="acme"))
    refused = alice.post(path.format(organization_id="acme"))

    assert done.status_code == 204
    assert "204" in CONTRACT["paths"][path]["post"]["responses"]
    error = answer_schema(path, "post", "403")
    assert error
    check(refused.json(), error)


@pytest.mark.parametrize("path", ["/users/nobody", "/organizations/nobody", "/nowhere"])
def test_an_error_has_its_shape(services: Services, path: str) -> None:
    apply_text(services.engine, ACME)

    response = log_in(services, "alice", "pwd").get(path)

    assert response.status_code == 404
    check(response.json(), CONTRACT["components"]["schemas"]["Error"])


def test_every_route_of_the_contract_that_there_is_is_tested_here() -> None:
    ours = bare_app().openapi()["paths"]
    shared = {
        (path, method)
        for path, methods in CONTRACT["paths"].items()
        for method in methods
        if method in ours.get(path, ())
    }

    tested = {(path, "get") for path in PATHS}
    here = "/organizations/{organization_id}/mfa-enforcement"
    tested |= {(f"{here}/{action}", "post") for action in ("enable", "disable")}
    assert shared - TESTED_ELSEWHERE == tested


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
