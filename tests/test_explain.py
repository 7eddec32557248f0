"""What is explained is what hosts answer: both are asked, with the same directory behind them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from ca import settings
from ca.directory import explain
from ca.hosts import bundle_writer
from ca.hosts.content import content_of
from ca.store import hosts, people
from ca.store.engine import reading
from sshd_hook import bundle, verdict
from sshd_hook.answer import Policy, answer_to
from sshd_hook.certificate import claims_of
from sshd_hook.refusal import from_fields, render
from tests.certificates import authority, extensions, user_certificate
from tests.databases import new_sqlite
from tests.directory import ACME, SERVICE, apply_text, log_in
from tests.operating import EXAMPLE, NAME, Ca
from tests.questions import SHARED_UID, arguments, statement
from tests.web import new_services

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ca.services import Services
    from sshd_hook.certificate import Certificate

HOST = "ssh.acme.example"
WORKER = f'\n[services.{SERVICE}--queue]\nhost = "{HOST}"\nrequirement = {{ amr = ["mfa"] }}\n'
STAGING = ACME.replace(
    'main-bvxea6i = { type = "production" }',
    'main-bvxea6i = { type = "production" }\nnext = { type = "staging" }\n'
    'old = { type = "production", active = false }',
) + "".join(
    f'\n[services.abcdefg123456-{name}--app]\nhost = "{HOST}"\n' for name in ("next", "old")
)
REQUIRED = '\n[organizations.acme.requirement]\namr = ["mfa"]\nmax_age = 3600\n'
REPORTED = REQUIRED + "report_only = true\n"
TEXTS = {
    "nothing asked": STAGING + WORKER,
    "required": STAGING + REQUIRED,
    "reported": STAGING + REPORTED + WORKER,
    "reported by the host": (STAGING + REQUIRED).replace(
        f'[hosts."{HOST}"]', f'[hosts."{HOST}"]\nreport_only = true'
    ),
    "networks": STAGING + '\n[organizations.acme.requirement]\nnetworks = ["10.0.0.0/8"]\n',
    "nowhere": STAGING + "\n[organizations.acme.requirement]\nnetworks = []\n",
    "single sign-on": STAGING
    + '\n[organizations.acme.requirement]\namr = ["sso:acme"]\n'
    + '\n[projects.abcdefg123456.requirement]\namr = ["mfa"]\nreport_only = true\n',
}
ASKED = [
    *(SERVICE, f"{SERVICE}--0", f"{SERVICE}--queue", "abcdefg123456-next--app"),
    *("abcdefg123456-old--app", "abcdefg123456-main-bvxea6i--nothing", "zyxwvut987654-main--app"),
]
LOGINS = [
    *((amr, 60, "") for amr in ("pwd", "mfa,otp,pwd", "sso:acme", "mfa,otp,sso:acme", "sso:evil")),
    ("mfa,otp,pwd", 7200, ""),
    ("mfa,otp,pwd", 60, "device"),
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A service on SQLite: nothing here depends on the database."""
    data = tmp_path_factory.mktemp("explain")
    with new_services(new_sqlite(data), data) as services:
        yield services


def of_host(services: Services, certificate: Certificate, name: str, now: int) -> tuple[str, str]:
    """The code and the text of what the hook answers by the bundle that the host would get."""
    with reading(services.engine) as connection:
        host = hosts.find_host(connection, HOST)
        assert host
        content = content_of(connection, host, (authority().public_key,))
    reader = bundle.from_bytes(bundle_writer.write(content))
    policy = Policy(reader, statement(now), SHARED_UID)
    found = answer_to(arguments(certificate, name), now, lambda: policy)
    shown = render(from_fields(found.note)) if found.ending == verdict.REFUSED else ""
    return found.code, shown


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_explained_is_what_the_host_answers(shop: Services, text: str) -> None:
    apply_text(shop.engine, TEXTS[text])
    now = int(time.time())
    seen = set()
    for username in ("alice", "carol", "bob", "mallory"):
        with reading(shop.engine) as connection:
            user = people.find_user_by_name(connection, username)
            assert user
            for name in ASKED:
                service = explain.find(connection, name)
                terms = explain.terms(connection, service) if service else explain.NOTHING
                access = explain.access(connection, service, user) if service else None
                for amr, ago, via in LOGINS:
                    shown = extensions(
                        amr=amr, auth_time=str(now - ago), name=user.name, via=via or None
                    )
                    certificate = user_certificate(
                        key_id=user.id,
                        principals=(user.id,),
                        extensions=shown,
                        valid_after=now - 60,
                        valid_before=now + 3600,
                    )
                    found = explain.answer(terms, access, claims_of(certificate), None, now)
                    ours = found.code, explain.text(found, name, user)
                    assert ours == of_host(shop, certificate, name, now), (username, name, amr)
                    seen.add(found.code)
    assert {"no_access"} < seen or text == "nowhere"


# --- the API --------------------------------------------------------------------------------


def asked_of(services: Services, username: str, *amr: str, name: str = SERVICE) -> Any:
    return log_in(services, username, *amr).get(f"/services/{name}/access")


def test_the_api_says_what_the_callers_own_session_would_get(shop: Services) -> None:
    apply_text(shop.engine, TEXTS["required"])

    refused, allowed = asked_of(shop, "alice", "pwd"), asked_of(shop, "alice", "pwd", "otp")

    assert refused.status_code == allowed.status_code == 200
    assert (refused.json()["outcome"], allowed.json()["outcome"]) == (
        "more_authentication",
        "allowed",
    )
    assert (refused.json()["amr"], refused.json()["max_age"]) == (["mfa"], 3600)
    assert refused.json()["missing"] == ["mfa"]
    assert refused.json()["text"].startswith(f"Error: Access denied\nService: {SERVICE}\nUser: ")
    assert allowed.json()["text"] == ""
    link = allowed.json()["_links"]["pf:ssh"]["href"]
    assert link == f"ssh://{SERVICE}@{HOST}"
    apply_text(shop.engine, TEXTS["reported"])
    reported = asked_of(shop, "alice", "pwd").json()
    assert (reported["outcome"], reported["amr"]) == ("report_only", ["mfa"])


def test_nobody_learns_which_services_there_are(shop: Services) -> None:
    """No such service, no role, another organization's, inactive, from elsewhere: one answer."""
    apply_text(shop.engine, TEXTS["required"])
    names = [*ASKED[4:], "nothing", "abcdefg123456", "%00", "a" * 300, f"{SERVICE}--x--y--0"]
    answers = [asked_of(shop, "alice", "pwd", "otp", name=name) for name in names]
    answers += [asked_of(shop, name, "pwd", "otp") for name in ("mallory",)]
    apply_text(shop.engine, TEXTS["networks"])
    answers.append(asked_of(shop, "alice", "pwd", "otp"))

    assert {one.status_code for one in answers} == {404}
    assert len({one.content for one in answers}) == 1


@pytest.mark.attack(121)
def test_nor_by_how_long_it_takes_to_say_no(shop: Services) -> None:
    """The database is asked the same, whether or not there is a service that is not the caller's."""
    apply_text(shop.engine, TEXTS["required"])
    mallory = log_in(shop, "mallory", "pwd", "otp")
    asked: dict[str, list[str]] = {}
    for name in SERVICE, ASKED[5]:
        statements = asked[name] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            statements.append(statement)  # noqa: B023 -- it is removed before the next

        event.listen(shop.engine, "before_cursor_execute", note)
        assert mallory.get(f"/services/{name}/access").status_code == 404
        event.remove(shop.engine, "before_cursor_execute", note)

    assert asked[SERVICE] == asked[ASKED[5]] != []


# --- the operator ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Expected:
    """What `host explain` ends with."""

    status: int
    says: str


@pytest.mark.parametrize(
    ("user", "service", "expected"),
    [
        ("alice", SERVICE, Expected(3, "next step     they log in: amrgate login\n")),
        (
            "mallory",
            SERVICE,
            Expected(4, "next step     give them the role contributor on production"),
        ),
        ("alice", f"{SERVICE}--none", Expected(4, "this host serves no such service")),
    ],
)
def test_the_operator_is_told_who_what_why_and_the_next_step(
    ca: Ca, user: str, service: str, expected: Expected
) -> None:
    ca.check("apply", EXAMPLE)

    result = ca.run("host", "explain", NAME, user, service)

    assert result.exit_code == expected.status, result.output
    assert expected.says in result.output
    assert f"user          {user} (" in result.output


def test_the_operator_is_told_of_each_session(shop: Services, answers: Operator) -> None:
    apply_text(shop.engine, TEXTS["required"])
    log_in(shop, "carol", "pwd")
    mfa = log_in(shop, "carol", "pwd", "otp")

    status, found = answers.json("carol", SERVICE)

    assert (status, found["outcome"]) == (0, "allowed")
    by_session = {one["session"]: one for one in found["sessions"]}
    assert by_session[mfa.session.handle]["outcome"] == "allowed"
    (weak,) = (one for one in found["sessions"] if one["amr"] == ["pwd"])
    assert (weak["outcome"], weak["missing"]) == ("more_authentication", ["mfa"])
    assert weak["text"].startswith("Error: Access denied\n")
    shown = answers.text("carol", SERVICE)
    assert "  answer      refused: more authentication is needed\n" in shown
    assert '  | Parameters: {"amr":["mfa"],"max_age":3600}\n' in shown
    assert "asked for     mfa, a login of the last 60 minutes, by organization acme\n" in shown


def test_who_is_unknown_is_an_error(ca: Ca) -> None:
    ca.check("apply", EXAMPLE)

    assert "no user 'zoe'" in ca.error("host", "explain", NAME, "zoe", SERVICE)
    assert "no host 'elsewhere'" in ca.error("host", "explain", "elsewhere", "alice", SERVICE)


@dataclass(frozen=True)
class Operator:
    """Runs `host explain` on the service of these tests."""

    ca: Ca

    def json(self, user: str, service: str) -> tuple[int, dict[str, Any]]:
        result = self.ca.run("host", "explain", HOST, user, service, "--json")
        return result.exit_code, json.loads(result.stdout)

    def text(self, user: str, service: str) -> str:
        return self.ca.run("host", "explain", HOST, user, service).stdout


@pytest.fixture
def answers(shop: Services) -> Operator:
    data = shop.settings.data
    (data / settings.SETTINGS_FILE).write_text(settings.render(shop.settings))
    return Operator(Ca(data, shop.engine))
