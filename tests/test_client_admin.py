"""Commands of admins, and a step-up by single sign-on, at a real terminal and the real service."""

from __future__ import annotations

import json
import re
import threading
from contextlib import contextmanager
from dataclasses import replace
from email import message_from_bytes, policy
from typing import TYPE_CHECKING

import httpx2
import pytest

from demo.browser import Browser
from demo.provider import Provider
from tests.ca_server import PASSWORD, CaServer, running
from tests.directory import ACME, SERVICE
from tests.terminals import Terminal
from tests.test_client_flow import amr, at_home, set_up_app
from tests.test_client_stepup import Refusing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.authorities import Engineer

DEPLOY = '\n[organizations.acme.service_users.deploy]\nname = "Deployer"\n'
ACCESS = ACME.replace("carol = {", 'deploy = { production = "contributor" }\ncarol = {')
REQUIREMENT = '\n[organizations.acme.requirement]\namr = ["mfa"]\n'
ASKS_FOR_SSO = """Error: Access denied
Service: abcdefg123456-main-bvxea6i--app
User: Alice Archer (u-1)
Parameters: {"amr":["sso:acme"]}
Detail: Additional authentication is required:
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaServer]:
    with running(tmp_path_factory.mktemp("service"), ("127.0.0.0/8",)) as one:
        yield one


@pytest.fixture(scope="module")
def bob(server: CaServer, tmp_path_factory: pytest.TempPathFactory) -> Engineer:
    """An admin who is logged in with an app."""
    browser = Browser("bob", PASSWORD)
    engineer = at_home(tmp_path_factory.mktemp("homes"), browser)
    assert engineer.log_in("--ca", server.url).status == 0
    set_up_app(engineer, browser)
    assert engineer.log_in("-f").status == 0
    return engineer


def said(engineer: Engineer, *arguments: str, ends: int = 0) -> str:
    """What a command says at a terminal."""
    with Terminal(engineer, *arguments) as terminal:
        assert terminal.end() == ends, terminal.shown
    return re.sub(r"\x1b\[\d+m", "", terminal.shown)


def mail_to(server: CaServer, address: str) -> str:
    """The last one."""
    files = sorted((server.folder / "ca" / "mail").glob("*.eml"))
    mails = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]
    return next(str(mail.get_content()) for mail in reversed(mails) if mail["To"] == address)


def test_who_is_invited_gets_a_link(server: CaServer, bob: Engineer) -> None:
    dora = ("org", "invite", "acme", "dora@acme.example")

    assert said(bob, *dora, "--role", "admin") == (
        "dora@acme.example was invited to acme as admin.\n"
    )

    assert said(bob, *dora, ends=1) == (
        "Error: dora@acme.example was invited a moment ago. Try again later.\n"
    )
    (link,) = re.findall(r"http\S+", mail_to(server, "dora@acme.example"))
    assert link.startswith(f"{server.url}/invitation?token=")
    assert "invites <strong>dora@acme.example</strong>" in httpx2.get(link, trust_env=False).text
    made = json.loads(said(bob, "org", "invite", "acme", "erin@acme.example", "--json"))
    assert (made["email"], made["role"]) == ("erin@acme.example", "viewer")
    assert said(bob, "org", "invite", "acme", "alice@acme.example", ends=1) == (
        "Error: alice@acme.example is a member already.\n"
    )


def test_members_without_a_second_factor_are_reminded_once_an_hour(
    server: CaServer, bob: Engineer
) -> None:
    assert said(bob, "org", "mfa", "acme", "remind").split("\n")[1:-1] == [
        "alice   A reminder was sent.",
        "carol   A reminder was sent.",
    ]
    assert "Bob Baker of Acme Corporation asks you" in mail_to(server, "carol@acme.example")
    assert said(bob, "org", "mfa", "acme", "remind").count("within the last hour") == 2


def test_a_service_user_gets_a_token_that_logs_in(server: CaServer, bob: Engineer) -> None:
    file = server.folder / "with-deploy.toml"
    file.write_text(ACCESS + DEPLOY)
    server.operate("apply", str(file))
    (robot,) = json.loads(bob.run("org", "service-users", "acme", "--json").out)
    deploy = robot["id"]
    assert said(bob, "org", "service-users", "acme").split() == [
        *("NAME", "LABEL", "EXEMPT", "USED", "ID"),
        *("deploy", "Deployer", "no", "never", deploy),
    ]

    shown = said(bob, "token", "create", "pipeline", "--user", deploy, "--scope", "ssh")
    (listed,) = json.loads(bob.run("token", "list", "--user", deploy, "--json").out)

    assert "The token pipeline ends in 90 days. It is shown only now:" in shown
    assert said(bob, "token", "list", "--user", deploy).split() == [
        *("NAME", "ID", "MFA", "ENDS", "USED"),
        *("pipeline", "(ssh)", listed["id"], "no", "in", "90", "days", "never"),
    ]
    (secret,) = re.findall(r"^amrgate_\w+$", shown, re.MULTILINE)
    program = replace(
        bob, home=bob.home / "job", more=(("AMRGATE_API_TOKEN", secret), ("AMRGATE_CA", server.url))
    )
    program.home.mkdir()
    whoami = program.run("whoami")
    assert (whoami.status, "Deployer" in whoami.out) == (0, True), whoami.err
    limited = program.run("org", "list")
    assert (limited.status, limited.err) == (
        1,
        "Error: This token may only get SSH certificates.\n",
    )
    assert "never" not in said(bob, "org", "service-users", "acme")
    previewed = said(bob, "org", "mfa", "acme", "preview")
    assert "Service users locked out, until an owner exempts them: deploy.\n" in previewed
    (server.folder / "strict.toml").write_text(f"{ACCESS}{DEPLOY}{REQUIREMENT}")
    server.operate("apply", str(server.folder / "strict.toml"))
    refused = program.run("explain", SERVICE)
    server.operate("apply", str(file))
    assert refused.status == 3, refused.err
    assert "Next step: A service user logs in no other way" in refused.out
    assert said(bob, "token", "remove", listed["id"], "--user", deploy).startswith("The token is")
    assert program.run("whoami").status == 3


def test_new_codes_and_the_end_of_an_app(server: CaServer, tmp_path: Path) -> None:
    browser = Browser("carol", PASSWORD)
    carol = at_home(tmp_path, browser)
    assert carol.log_in("--ca", server.url).status == 0
    set_up_app(carol, browser)
    assert carol.log_in("-f").status == 0

    codes = re.findall(r"[0-9a-z]{4}(?:-[0-9a-z]{4}){5}", said(carol, "mfa", "codes", "--yes"))
    assert len(set(codes)) == 10

    with Terminal(carol, "mfa", "remove", "app") as terminal:
        terminal.wait_for("[y/N]")
        terminal.type("n\n")
        assert terminal.end() == 1
    assert "this login proved it" in said(carol, "mfa")
    with Terminal(carol, "mfa", "remove", "app") as terminal:
        terminal.wait_for("[y/N]")
        terminal.type("y\n")
        assert terminal.end() == 0
    assert "Removed: the authenticator app and its recovery codes." in terminal.shown
    assert "no second factor" in said(carol, "mfa")


@contextmanager
def provider_of(server: CaServer) -> Iterator[Provider]:
    """Acme's single sign-on, registered."""
    provider = Provider(0, f"{server.url}/login/sso/acme/back")
    provider.issuer = f"http://127.0.0.1:{provider.server_port}"
    threading.Thread(target=provider.serve_forever, args=(0.05,), daemon=True).start()
    asked = f'issuer = "{provider.issuer}"\nclient_id = "amrgate"'
    file = server.folder / "with-sso.toml"
    table = "[organizations.acme.sso.acme]"
    file.write_text(ACME.replace(table, f"{table}\n{asked}"))
    server.operate("apply", str(file))
    yield provider
    provider.shutdown()
    provider.server_close()


def test_a_host_that_asks_for_single_sign_on_gets_it(server: CaServer, tmp_path: Path) -> None:
    browser = Browser("alice", PASSWORD)
    alice = at_home(tmp_path, browser)
    assert alice.log_in("--ca", server.url).status == 0
    (user_id,) = json.loads(alice.run("ssh-cert", "info", "--json").out)["principals"]
    answer = httpx2.get(f"{server.url}/ssh/authority", trust_env=False).json()
    host = Refusing(tmp_path, f"{answer['authorities'][0]}\n")
    host.refuse(ASKS_FOR_SSO)
    with provider_of(server):
        browser.link(server.url)
        with Terminal(alice, *host.words("id", "-un")) as terminal:
            terminal.wait_for("[Y/n]")
            assert "Single sign-on (SSO) is required, provider: acme." in terminal.shown
            terminal.type("\n")
            terminal.wait_for("amr=sso")
            host.let_in(user_id)
            page = next(word for word in terminal.shown.split() if word.startswith(server.url))
            alice.browse(page)

            assert terminal.end() == 0, terminal.shown
        assert terminal.shown.endswith("root\n")
    assert amr(alice) == ["pwd", "sso:acme"]
