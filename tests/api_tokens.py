"""API tokens as people and programs handle them: made by the API, exchanged, and used."""

from __future__ import annotations

from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any

from starlette.testclient import TestClient

from ca.app import create_app
from tests.web import ISSUER, Person, add_person

if TYPE_CHECKING:
    from ca.services import Services
    from tests.directory import Api

NUMBERS = count()


def somebody(services: Services, *, app: bool = False) -> Person:
    return add_person(services, f"somebody-{next(NUMBERS)}", app=app)


def mails_to(services: Services, person: Person) -> list[str]:
    folder = services.settings.data / "mail"
    texts = [file.read_text() for file in folder.iterdir()] if folder.exists() else []
    return [text for text in texts if f"To: {person.username}@" in text]


def tokens_path(api: Api) -> str:
    return f"/users/{api.user.id}/api-tokens"


def make(api: Api, name: str = "laptop", **asked: Any) -> Any:
    return api.post(tokens_path(api), {"name": name, **asked})


def made(api: Api, name: str = "laptop") -> dict[str, Any]:
    response = make(api, name)
    assert response.status_code == 201, response.text
    token: dict[str, Any] = response.json()
    return token


@cache
def http_of(services: Services) -> TestClient:
    return TestClient(create_app(services), base_url=ISSUER, follow_redirects=False)


def exchange(services: Services, secret: str, **changed: str) -> Any:
    """As the existing client does it: no Basic, an empty secret."""
    form = {
        "client_id": "amrgate",
        "client_secret": "",
        "grant_type": "api_token",
        "api_token": secret,
        **changed,
    }
    return http_of(services).post("/oauth2/token", data=form)


def access_token(services: Services, secret: str) -> str:
    response = exchange(services, secret)
    assert response.status_code == 200, response.text
    return str(response.json()["access_token"])


def is_good(services: Services, token: str) -> bool:
    headers = {"authorization": f"Bearer {token}"}
    return http_of(services).get("/users/me", headers=headers).status_code == 200
