"""Everybody who may ask, every login, and a request for every route that has a rule."""

from __future__ import annotations

import sqlite3
import time
import uuid
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import insert, select
from starlette.testclient import TestClient

from ca.api.rules import ENVIRONMENT, FRESH_MFA, ORGANIZATION, PROJECT, PROVIDER, RULES, Rule
from ca.app import create_app
from ca.directory import people
from ca.store import tables
from ca.store.engine import reading, writing
from sshd_hook.policy import ADMIN, CONTRIBUTOR, NO_ROLE, OWNER, VIEWER
from tests.directory import log_in
from tests.web import ISSUER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ca.services import Services

SHOP, MAIN = "abcdefg123456", "main-bvxea6i"
VIEWERS = ("alice", "pia", "paul", "vera", "carl", "ed", "stan", "mia")
MEMBERS = "\n".join(
    ('olga = "owner"', 'bob = "admin"\ndora = "admin"', *(f'{one} = "viewer"' for one in VIEWERS))
)
HERE = "\n".join(
    (
        *(
            f'[users.{name}]\nname = "{name.title()}"\nemail = "{name}@acme.example"'
            for name in (
                *("olga", "bob", "alice", "pia", "paul", "vera", "carl", "ed", "stan"),
                *("dora", "mia", "zoe", "mallory", "sam", "nina"),
            )
        ),
        '[hosts."ssh.acme.example"]',
        *(f"[organizations.{name}.members]\n{MEMBERS}" for name in ("acme", "empty")),
        '[organizations.acme.requirement]\namr = ["mfa"]',
        '[organizations.sister]\nmembers = { olga = "owner", bob = "admin", nina = "viewer" }',
        '[organizations.empty.requirement]\namr = ["mfa"]',
        '[organizations.evil]\nmembers = { mallory = "owner" }',
        f'[projects.{SHOP}]\norganization = "acme"\ntitle = "The shop"',
        f'[projects.{SHOP}.environments]\n{MAIN} = {{ type = "production" }}',
        f"[projects.{SHOP}.access]",
        'pia = { project = "viewer" }\npaul = { project = "admin" }\nzoe = { project = "admin" }',
        'vera = { production = "viewer" }\ncarl = { production = "contributor" }',
        'ed = { production = "admin" }\nstan = { staging = "contributor" }',
        '[projects.evilevilevil1]\norganization = "evil"',
        '[projects.evilevilevil1.access]\nmallory = { project = "admin" }',
        f'[services.{SHOP}-{MAIN}--app]\nhost = "ssh.acme.example"',
    )
)


@dataclass(frozen=True)
class Person:
    """What somebody is in acme, in its shop, and on the shop's production."""

    member: int = NO_ROLE
    project: int = NO_ROLE
    production: int = NO_ROLE
    known: bool = True
    """Whether there is a session at all."""
    exempt: bool = False


PEOPLE = {
    "nobody": Person(known=False),
    "dora": Person(known=False),  # an admin, but disabled
    "sam": Person(),
    "mallory": Person(),  # who owns another organization
    "olga": Person(OWNER, ADMIN, ADMIN),
    "bob": Person(ADMIN, ADMIN, ADMIN),
    "alice": Person(VIEWER),
    "pia": Person(VIEWER, VIEWER, VIEWER),
    "paul": Person(VIEWER, ADMIN, ADMIN),
    "vera": Person(VIEWER, VIEWER, VIEWER),
    "carl": Person(VIEWER, VIEWER, CONTRIBUTOR),
    "ed": Person(VIEWER, VIEWER, ADMIN),
    "stan": Person(VIEWER, VIEWER),
    "zoe": Person(NO_ROLE, ADMIN, ADMIN),  # who is no member
    "robot": Person(NO_ROLE, VIEWER, CONTRIBUTOR),  # a service user
    "droid": Person(NO_ROLE, VIEWER, CONTRIBUTOR, exempt=True),
}

LOGINS: dict[str, tuple[tuple[str, ...], int]] = {
    "password": (("pwd",), 0),
    "mfa": (("pwd", "otp"), 700),
    "fresh": (("pwd", "otp"), 5),
}
"""What a login showed, and how many seconds ago."""

OK, INVALID, STEP_UP, DENIED, MISSING = "ok", "invalid_token", "step-up", "denied", "missing"


def expected(rule: Rule, person: Person, login: str) -> str:
    """What the rule says, on acme and its shop."""
    if not person.known:
        return INVALID
    enough = login != "password" or person.exempt
    steps = {
        ORGANIZATION: ((person.member, VIEWER, MISSING), (person.member, rule.needed, DENIED)),
        PROJECT: (
            (person.project, VIEWER, MISSING),
            (person.project, min(rule.needed, ADMIN), DENIED),
        ),
        ENVIRONMENT: (
            (person.project, VIEWER, MISSING),
            (max(person.production, VIEWER * (person.project == ADMIN)), VIEWER, MISSING),
            (person.project if rule.needed == ADMIN else ADMIN, rule.needed, DENIED),
        ),
    }[rule.what]
    if rule.what == PROJECT and rule.needed == OWNER:  # its organization's to say
        steps += ((person.member, VIEWER, MISSING), (person.member, ADMIN, DENIED))
    for role, needed, otherwise in steps:
        if role < needed:
            return otherwise
        if not enough:
            return STEP_UP
    if rule.login == PROVIDER:  # nobody here has one: tests/test_sso.py requires one
        return STEP_UP
    return STEP_UP if rule.login == FRESH_MFA and login != "fresh" else OK


class Ask(NamedTuple):
    """How a route is asked: what stands in its path, and its body."""

    path: Mapping[str, str] = MappingProxyType({})
    body: Any = None


SERVICE = {"app": "jobs", "host": "ssh.acme.example"}
ASKS = {
    "DELETE /organizations/{organization_id}": Ask({"organization_id": "empty"}),
    "PATCH /organizations/{organization_id}": Ask(body={"label": "Acme Limited"}),
    "POST /organizations/{organization_id}/members": Ask(body={"user_id": "@nina"}),
    "PATCH /organizations/{organization_id}/members/{user_id}": Ask(body={"role": "admin"}),
    "POST /organizations/{organization_id}/projects": Ask(body={"region": "", "title": "New"}),
    "POST /organizations/{organization_id}/service-users": Ask(
        body={"username": "golem", "name": "Golem"}
    ),
    "PATCH /organizations/{organization_id}/service-users/{user_id}": Ask(
        {"user_id": "@robot"}, {"name": "Robot"}
    ),
    "GET /organizations/{organization_id}/service-users/{user_id}": Ask({"user_id": "@robot"}),
    "DELETE /organizations/{organization_id}/service-users/{user_id}": Ask({"user_id": "@robot"}),
    "POST /organizations/{organization_id}/invitations": Ask(
        body={"email": "new@elsewhere.example", "role": "viewer"}
    ),
    "POST /organizations/{organization_id}/sso": Ask(
        body={"slug": "other", "issuer": "https://idp.example", "client_id": "amrgate"}
    ),
    "PATCH /organizations/{organization_id}/sso/{slug}": Ask(body={"label": "Acme's"}),
    "PATCH /projects/{project_id}": Ask(body={"title": "The other shop"}),
    "POST /projects/{project_id}/user-access": Ask(
        body=[{"user_id": "@mia", "permissions": ["viewer"]}]
    ),
    "GET /projects/{project_id}/user-access/{user_id}": Ask({"user_id": "@pia"}),
    "PATCH /projects/{project_id}/user-access/{user_id}": Ask(
        {"user_id": "@pia"}, {"permissions": ["admin"]}
    ),
    "DELETE /projects/{project_id}/user-access/{user_id}": Ask({"user_id": "@pia"}),
    "POST /projects/{project_id}/environments": Ask(body={"name": "next", "type": "staging"}),
    "PATCH /projects/{project_id}/environments/{environment_id}": Ask(body={"status": "inactive"}),
    "POST /projects/{project_id}/environments/{environment_id}/services": Ask(body=SERVICE),
    "PATCH /projects/{project_id}/environments/{environment_id}/services/{app}": Ask(
        body={"forwards": []}
    ),
}
"""Requests that would be granted. What a path's name stands for without one is in `Stage`."""
WITHOUT_BODY = {
    "POST /organizations/{organization_id}/mfa-enforcement/enable",
    "POST /organizations/{organization_id}/mfa-enforcement/disable",
    "POST /organizations/{organization_id}/mfa/remind",
    "POST /organizations/{organization_id}/sso/{slug}/enable",
    "POST /organizations/{organization_id}/sso/{slug}/disable",
}

MATRIX = [name for name, rule in RULES.items() if rule.what]
OTHERS = {"organization_id": "evil", "project_id": "evilevilevil1"}


class Stage:
    """The service, everybody's tokens, and the database as it is at the start of each request."""

    def __init__(self, services: Services, data: Path) -> None:
        self.services = services
        self._file, self._first = data / "ca.sqlite", data / "first.sqlite"
        self.http = TestClient(create_app(services), base_url=ISSUER, client=("192.0.2.7", 1))
        with reading(services.engine) as connection:
            rows = connection.execute(select(tables.users.c.username, tables.users.c.id))
            self.ids = {row.username: row.id for row in rows}
        self.tokens = {
            (name, login): log_in(services, name, *amr, ago=ago).http.headers["authorization"]
            for name in PEOPLE
            if name != "nobody"
            for login, (amr, ago) in LOGINS.items()
        }
        people.disable(services.engine, "dora", "operator test", int(time.time()))
        self._save()

    def ask(self, name: str, who: str, login: str, **named: str) -> Any:
        """Send a request of the table, as somebody; `named` says what else is in its path."""
        method, _, path = name.partition(" ")
        ask = ASKS.get(name, Ask())
        usual = {
            "organization_id": "acme",
            "project_id": SHOP,
            "environment_id": MAIN,
            "app": "app",
            "user_id": "@mia",
            "invitation_id": "invitation",
            "token_id": "nothing",
            "serial": "1",
            "key_id": "nothing",
            "session_id": "nothing",
            "identity_id": "nothing",
            "slug": "acme",
            "service": "nothing",
            "host_id": "nothing",
        }
        filled = {part: self._id(value) for part, value in {**usual, **ask.path, **named}.items()}
        body = self._id(ask.body)
        headers = {"authorization": self.tokens[who, login]} if who != "nobody" else {}
        return self.http.request(method, path.format(**filled), json=body, headers=headers)

    def restore(self) -> None:
        """Undo what was granted."""
        with sqlite3.connect(self._first) as kept, sqlite3.connect(self._file) as database:
            kept.backup(database)

    def _save(self) -> None:
        with sqlite3.connect(self._file) as database, sqlite3.connect(self._first) as kept:
            database.backup(kept)

    def _id(self, value: Any) -> Any:
        """`value`, in which "@name" stands for somebody's id."""
        if isinstance(value, dict):
            return {key: self._id(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._id(one) for one in value]
        is_name = isinstance(value, str) and value.startswith("@")
        return self.ids[value[1:]] if is_name else value


def add_what_no_file_holds(services: Services) -> None:
    now = int(time.time())
    with writing(services.engine) as connection:
        acme = connection.execute(
            select(tables.organizations.c.id).where(tables.organizations.c.name == "acme")
        ).scalar_one()
        for name in ("robot", "droid"):
            user_id = str(uuid.uuid4())
            connection.execute(
                insert(tables.users).values(
                    id=user_id,
                    username=name,
                    email=name,
                    name=name.title(),
                    kind="service",
                    created_at=now,
                )
            )
            connection.execute(
                insert(tables.service_users).values(
                    user_id=user_id, organization_id=acme, exempt=name == "droid"
                )
            )
            connection.execute(
                insert(tables.project_access).values(
                    project_id=SHOP, user_id=user_id, scope="production", role="contributor"
                )
            )
        connection.execute(insert(tables.sso_providers).values(slug="acme", organization_id=acme))
        connection.execute(
            insert(tables.oidc_clients).values(
                slug="acme",
                label="Acme",
                issuer="https://idp.acme.example",
                client_id="amrgate",
                scopes=["openid"],
                mfa_values=[],
                domains=[],
                tested_at=now,
            )
        )
        connection.execute(
            insert(tables.invitations).values(
                id="invitation",
                organization_id=acme,
                email="somebody@elsewhere.example",
                role="viewer",
                projects=[],
                invited_by="",
                token_hash="0" * 64,
                created_at=now,
                expires_at=now + 3600,
            )
        )


def kind_of(response: Any) -> str:
    """Which of the answers of the table this is."""
    error = response.json().get("error") if response.status_code >= 400 else ""
    known = {
        (401, "unauthorized"): INVALID,
        (401, "invalid_token"): INVALID,
        (401, "insufficient_user_authentication"): STEP_UP,
        (403, "access_denied"): DENIED,
        (404, "not_found"): MISSING,
    }
    if response.is_success:
        return OK
    return known.get((response.status_code, error), str(response.text))
