"""A project with environments and services, and who has which role in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.directory import ACME, Api, apply_over_all, apply_text

if TYPE_CHECKING:
    from ca.services import Services

HERE = "/projects/abcdefg123456"
MAIN = f"{HERE}/environments/main-bvxea6i"
HOST = "ssh.acme.example"
# The shop has more environments, and other people on the same hosts.
SHOP = (
    ACME.replace(
        'main-bvxea6i = { type = "production" }\n',
        'main-bvxea6i = { type = "production" }\n'
        'dev-abc1234 = { type = "development" }\n'
        'old-abc1234 = { type = "production", active = false }\n',
    ).replace('carol = "viewer" }', 'carol = "viewer", dave = "owner" }')
    + """
[users.dave]
name = "Dave Dunn"
email = "dave@acme.example"

[users.erin]
name = "Erin Eaton"
email = "erin@acme.example"

[hosts."other.example"]

[services.abcdefg123456-main-bvxea6i--app--queue]
host = "ssh.acme.example"

[services.abcdefg123456-dev-abc1234--app]
host = "ssh.acme.example"

[services.abcdefg123456-old-abc1234--app]
host = "ssh.acme.example"

[organizations.evil]
members = { mallory = "owner" }

[projects.evilevil12345]
organization = "evil"
environments = { main-abc1234 = { type = "production" } }

[services.evilevil12345-main-abc1234--app]
host = "other.example"
forwards = ["127.0.0.1:5432"]
"""
)


@pytest.fixture
def shop(one_ca: Services) -> Services:
    """One CA for a file's tests, each of which begins with the same directory."""
    apply_over_all(one_ca.engine, SHOP)
    return one_ca


@pytest.fixture
def either_shop(services: Services) -> Services:
    """On each database."""
    apply_text(services.engine, SHOP)
    return services


def links_to_ssh(environment: dict[str, Any]) -> dict[str, str]:
    return {
        name: link["href"]
        for name, link in environment["_links"].items()
        if name.startswith("pf:ssh:")
    }


def names(answer: Any) -> list[str]:
    return [one["name"] for one in answer.json()]


def everything(api: Api) -> Any:
    return api.get(f"{HERE}/environments").json()
