"""Service users of acme: who makes them, and what is done with their tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ca.store import people, tables
from ca.store.engine import reading, writing
from tests.api_tokens import access_token, http_of
from tests.databases import new_sqlite
from tests.directory import ACME, apply_text, log_in
from tests.web import new_services

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ca.services import Services
    from tests.directory import Api

OWNED = ACME.replace('{ bob = "admin", alice', '{ bob = "owner", carol = "admin", alice').replace(
    ', carol = "viewer" }', " }"
)
MFA = '\n[organizations.acme.requirement]\namr = ["mfa"]\n'
SERVICE_USERS = "/organizations/acme/service-users"
PROJECT = "/projects/abcdefg123456"
DEPLOY = {"username": "deploy", "name": "Deployer"}


@pytest.fixture
def owned(tmp_path: Path) -> Iterator[Services]:
    with new_services(new_sqlite(tmp_path), tmp_path) as new:
        apply_text(new.engine, OWNED)
        yield new


@pytest.fixture
def each_owned(database_url: str, tmp_path: Path) -> Iterator[Services]:
    """Once on each database."""
    with new_services(database_url, tmp_path) as new:
        apply_text(new.engine, OWNED)
        yield new


def owner(services: Services) -> Api:
    return log_in(services, "bob", "pwd", "otp")


def admin(services: Services) -> Api:
    return log_in(services, "carol", "pwd", "otp")


def made(api: Api, **changed: str) -> dict[str, Any]:
    response = api.post(SERVICE_USERS, {**DEPLOY, **changed})
    assert response.status_code == 201, response.text
    user: dict[str, Any] = response.json()
    return user


def give_role(services: Services, user_id: str, project: str = "abcdefg123456") -> None:
    row = {"project_id": project, "user_id": user_id, "scope": "production", "role": "contributor"}
    with writing(services.engine) as connection:
        connection.execute(tables.project_access.insert().values(row))


def token_for(api: Api, user_id: str) -> str:
    response = api.post(f"/users/{user_id}/api-tokens", {"name": "pipeline"})
    assert response.status_code == 201, response.text
    return str(response.json()["token"])


def call(services: Services, secret: str, path: str) -> Any:
    headers = {"authorization": f"Bearer {access_token(services, secret)}"}
    return http_of(services).get(path, headers=headers)


def mails(services: Services) -> list[str]:
    folder = services.settings.data / "mail"
    return [file.read_text() for file in folder.iterdir()] if folder.exists() else []


def exempt(api: Api, user_id: str, value: object = True) -> Any:  # noqa: FBT002 -- what is sent
    return api.http.patch(f"{SERVICE_USERS}/{user_id}", json={"exempt": value})


def apply_service_users(
    services: Services, user_id: str, text: str, *, exempt: bool = False
) -> None:
    """Require something, with a file that knows the service user."""
    with reading(services.engine) as connection:
        found = people.find_user(connection, user_id)
    assert found
    service_user = f"\n[organizations.acme.service_users.{found.username}]\nname = {found.name!r}\n"
    service_user += "exempt = true\n" if exempt else ""
    access = f'{found.username} = {{ production = "contributor" }}\nbob = {{ project'
    file = OWNED.replace("bob = { project", access) + service_user + text
    apply_text(services.engine, file)
