"""What the commands show of an account, its tokens, sessions and organizations."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from ca.client import output
from ca.client.commands import (
    explain,
    login,
    mfa,
    org,
    session,
    ssh,
    ssh_cert,
    ssh_config,
    token,
    whoami,
)
from ca.console.pages import FOLDER
from ca.words import methods
from tests.certificates import ALICE
from tests.terminals import Terminal

if TYPE_CHECKING:
    import click

    from tests.authorities import Engineer, Liar

EVIL = "\x1b\u202e\n[bold]"
GROUPS = [
    *(login.login, login.logout, whoami.whoami, ssh.ssh),
    *(
        explain.explain,
        mfa.mfa,
        org.org,
        session.session,
        token.token,
        ssh_cert.ssh_cert,
        ssh_config.ssh_config,
    ),
]


def commands(of: list[click.Command]) -> list[click.Command]:
    """These, and those below them."""
    below = [one for group in of for one in getattr(group, "commands", {}).values()]
    return [*of, *below]


@pytest.mark.parametrize("command", commands(GROUPS), ids=lambda command: str(command.name))
def test_every_command_has_an_example(command: click.Command) -> None:
    assert "Example:\n    " + "    amrgate " in (command.help or "")
    assert "\b\n" in (command.help or "")  # click leaves its lines alone


def test_pages_name_commands_that_do_something_by_themselves() -> None:
    """`amrgate org` alone is not one: it wants to know what to do."""
    named = {
        tuple(words.split())
        for page in (FOLDER / "templates").iterdir()
        for words in re.findall(r"amrgate ([a-z -]+)<", page.read_text())
    }
    runs: set[tuple[str | None, ...]] = {
        (one.name,) for one in GROUPS if getattr(one, "invoke_without_command", True)
    }
    runs |= {(group.name, name) for group in GROUPS for name in getattr(group, "commands", {})}

    assert named
    assert {tuple(word for word in one if word[0] != "-") for one in named} <= runs


@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize("more", [(), (("NO_COLOR", "1"),), (("TERM", "dumb"),)])
def test_tables_fit_the_terminal_and_cannot_drive_it(
    alice: Engineer, liar: Liar, columns: int, more: tuple[tuple[str, str], ...]
) -> None:
    items = [
        {"name": "backup", "id": ALICE, "mfa_on_creation": True, "last_used_at": EVIL},
        {"name": EVIL, "id": 7, "expires_at": "9999-99-99"},
        "no object",
    ]
    liar.answers[f"/users/{ALICE}/api-tokens"] = (200, items)

    with Terminal(replace(alice, more=more), "token", "list", columns=columns) as screen:
        assert screen.end() == 0, screen.shown

    plain = re.sub(r"\x1b\[[0-9;]*m", "", screen.shown)
    assert {char for char in plain if not char.isprintable()} == {"\n"}
    assert max(map(cell_len, plain.splitlines())) <= columns
    assert plain.count("[bold]") == 1
    assert ALICE in plain
    assert plain.startswith("NAME" if columns == 80 else "name: backup\n")
    if more:
        assert "\x1b[3" not in screen.shown


def test_keys_and_sessions_are_called_what_they_are(alice: Engineer, liar: Liar) -> None:
    keys = [
        {"name": "phone", "amr": "swk", "backed_up": False},
        {"name": "stick", "amr": "hwk", "backed_up": False},
    ]
    liar.answers[f"/users/{ALICE}/webauthn"] = (200, keys)
    sessions = [
        {"id": "1", "client_id": "", "via": None},
        {"id": "2", "client_id": "amrgate", "via": "device"},
        {"id": "3", "client_id": "amrgate", "api_token": "backup"},
    ]
    liar.answers[f"/users/{ALICE}/sessions"] = (200, sessions)

    listed = alice.run("mfa", "keys").out.splitlines()
    begun = alice.run("session", "list").out.splitlines()

    assert [" passkey " in line for line in listed] == [False, True, False]
    assert [" security key " in line for line in listed] == [False, False, True]
    assert [line.split("  ")[1].strip() for line in begun[1:]] == [
        "a browser",
        "amrgate, by device code",
        "amrgate",
    ]
    assert "API token backup" in begun[3]


@pytest.mark.parametrize("body", ["[" * 100_000, "x" * (5 << 20), "[]", "null", '{"items": 1}'])
def test_no_answer_is_too_much(alice: Engineer, liar: Liar, body: str) -> None:
    for path in (f"/users/{ALICE}/api-tokens", f"/users/{ALICE}/organizations"):
        liar.answers[path] = (200, body)

    for words in (("token", "list"), ("token", "create", "x"), ("org", "list")):
        ran = alice.run(*words)

        assert "Traceback" not in ran.err
        assert ran.err.count("\n") == 1
        assert ran.status in (0, 1)


@pytest.mark.parametrize(
    ("amr", "words"),
    [
        ([], "nothing"),
        (["pwd"], "password"),
        (["mfa", "otp", "pwd"], "password and authenticator code (multi-factor)"),
        (["hwk", "mfa", "sso:acme"], "security key and single sign-on (acme) (multi-factor)"),
        (["otp", "pwd", "swk"], "password, authenticator code and passkey"),
        (["pwd", "sso:acme", "sso:acme:mfa"], "password and single sign-on (acme, with MFA)"),
        (["sso:\x1b"], r"single sign-on (\x1b)"),
        (["new"], "new"),
    ],
)
def test_methods_in_words(amr: list[str], words: str) -> None:
    assert methods(amr) == words


def test_a_time_ahead_is_not_a_second_short() -> None:
    assert output.ahead({"at": "2999-01-01T00:00:00Z"}, "at").endswith(" days")
    assert output.ahead({"at": "1999-01-01T00:00:00Z"}, "at") == "over"
    assert output.ahead({"at": None}, "at") == "never"
