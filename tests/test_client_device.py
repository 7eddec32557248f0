"""Logging in by a code that is typed elsewhere, and by an API token."""

from __future__ import annotations

import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.authorities import API_TOKEN
from tests.terminals import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.authorities import Engineer, Liar

DEVICE, TOKEN = "/oauth2/device_authorization", "/oauth2/token"
PENDING = (400, {"error": "authorization_pending"})


def code(liar: Liar, **changed: Any) -> tuple[int, dict[str, Any]]:
    """What the authority answers to a device that begins."""
    right = {
        "device_code": "a-device-code",
        "user_code": "WDJB-MJHT",
        "verification_uri": f"{liar.url}/device",
        "expires_in": 600,
        "interval": 1,
    }
    return 200, right | changed


# --- by a code ------------------------------------------------------------------------------


def test_a_code_typed_elsewhere_logs_in(engineer: Engineer, liar: Liar) -> None:
    liar.in_turn = {DEVICE: [code(liar)], TOKEN: [PENDING, (503, "busy"), liar.give_tokens()]}

    ran = engineer.run("login", "--device", "--ca", liar.url, "--method", "mfa", "--max-age", "600")

    assert ran.status == 0, ran.err
    assert f"    {liar.url}/device\n" in ran.err
    assert "    WDJB-MJHT\n" in ran.err
    assert "You are logged in as alice" in ran.out
    asked = {seen.path: seen.fields for seen in liar.seen}
    assert (asked[DEVICE]["amr"], asked[DEVICE]["max_age"]) == ("mfa", "600")
    assert asked[TOKEN]["device_code"] == "a-device-code"
    assert engineer.has("ssh/id_ed25519-cert.pub")


@pytest.mark.attack(106)
def test_who_is_told_to_slow_down_does(engineer: Engineer, liar: Liar) -> None:
    slow = (400, {"error": "slow_down"})
    liar.in_turn = {DEVICE: [code(liar, expires_in=5)], TOKEN: [slow, *[PENDING] * 9]}

    ran = engineer.run("login", "--device", "--ca", liar.url)

    # Once after a second; then six seconds are more than the code has.
    assert liar.paths().count(f"POST {TOKEN}") == 2
    assert ran.status == 3
    assert "Nobody typed the code in time" in ran.err


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ("expired_token", "Nobody typed the code in time"),
        ("access_denied", "The login was refused"),
        ("invalid_grant", "You are not logged in"),
        ("\x1b[2J", "You are not logged in"),
    ],
)
def test_a_code_that_comes_to_nothing_leaves_the_login_before(
    alice: Engineer, liar: Liar, error: str, sentence: str
) -> None:
    before = (alice.state / "session.json").read_bytes()
    liar.in_turn = {DEVICE: [code(liar)], TOKEN: [(400, {"error": error})]}

    ran = alice.run("login", "--device")

    assert (ran.status, sentence in ran.err) == (3, True)
    assert "\x1b" not in ran.err
    assert (alice.state / "session.json").read_bytes() == before


@pytest.mark.attack(78)
@pytest.mark.parametrize(
    "changed",
    [
        {"verification_uri": "https://evil.example/device"},
        {"verification_uri": None},
        {"user_code": ""},
        {"device_code": 7},
    ],
)
def test_a_person_is_sent_to_our_own_authority_alone(
    engineer: Engineer, liar: Liar, changed: dict[str, Any]
) -> None:
    liar.in_turn = {DEVICE: [code(liar, **changed)]}

    ran = engineer.run("login", "--device", "--ca", liar.url)

    assert (ran.status, ran.err.count("\n")) == (1, 1)
    assert "evil" not in ran.err
    assert f"POST {TOKEN}" not in liar.paths()


def test_ctrl_c_leaves_nothing(engineer: Engineer, liar: Liar) -> None:
    liar.in_turn = {DEVICE: [code(liar)], TOKEN: [PENDING] * 99}
    with Terminal(engineer, "login", "--device", "--ca", liar.url) as terminal:
        terminal.wait_for("Waiting for you there: 9 minutes left.")

        terminal.type("\x03")

        assert terminal.end() == 1
    assert "Traceback" not in terminal.shown
    assert not engineer.state.exists()


def test_where_there_is_no_browser_a_code_is_offered(engineer: Engineer, liar: Liar) -> None:
    liar.in_turn = {DEVICE: [code(liar)], TOKEN: [liar.give_tokens()]}
    far = replace(engineer, more=(("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22"),))
    with Terminal(far, "login", "--ca", liar.url) as terminal:
        terminal.wait_for("No browser can be opened here.")
        terminal.wait_for("[Y/n]")
        terminal.type("\n")
        terminal.wait_for("WDJB-MJHT")

        assert terminal.end() == 0, terminal.shown


def test_a_screen_that_is_missing_is_no_reason_to_insist(engineer: Engineer, liar: Liar) -> None:
    with Terminal(engineer, "login", "--ca", liar.url) as terminal:
        terminal.wait_for("`amrgate login --device`")
        terminal.wait_for("Open this page and log in:")
        terminal.wait_for("S256\n")
        engineer.browse(next(word for word in terminal.shown.split() if word.startswith(liar.url)))

        assert terminal.end() == 0, terminal.shown


# --- by an API token ------------------------------------------------------------------------


def test_a_token_is_read_from_standard_input_and_kept_to_oneself(
    engineer: Engineer, liar: Liar
) -> None:
    ran = engineer.run("login", "--api-token", "--ca", liar.url, typed=f"{API_TOKEN}\n")

    assert ran.status == 0, ran.err
    file = engineer.state / "session.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert API_TOKEN not in ran.out + ran.err
    liar.tokens.clear()  # what it was exchanged for has ended
    assert engineer.run("whoami").status == 0
    assert engineer.run("logout").status == 0
    assert not file.exists()


@pytest.mark.parametrize("typed", ["", "\n", "\x1b[2J\n", "tök\n"])
def test_what_is_no_token_is_not_sent(engineer: Engineer, liar: Liar, typed: str) -> None:
    assert engineer.run("login", "--api-token", "--ca", liar.url, typed=typed).status == 2
    assert not liar.seen


def test_a_token_that_is_not_taken_leaves_the_login_before(alice: Engineer, liar: Liar) -> None:
    before = (alice.state / "session.json").read_bytes()

    ran = alice.run("login", "--api-token", typed="amrgate_wrong\n")

    assert (ran.status, "not accepted" in ran.err) == (3, True)
    assert "amrgate_wrong" not in ran.err
    assert (alice.state / "session.json").read_bytes() == before
    assert liar.paths()[-1] == f"POST {TOKEN}"


def test_a_token_of_the_environment_is_the_login_and_is_kept_nowhere(
    alice: Engineer, liar: Liar
) -> None:
    before = (alice.state / "session.json").read_bytes()
    given = (("AMRGATE_API_TOKEN", API_TOKEN), ("AMRGATE_CA", liar.url))
    program = replace(alice, more=given)

    assert [program.run("whoami").status for _ in range(2)] == [0, 0]
    assert program.run("ssh-cert", "load").status == 0
    assert program.run("login").status == 2

    assert liar.paths().count(f"POST {TOKEN}") == 1  # what it was exchanged for is kept
    assert (alice.state / "session.json").read_bytes() == before
    for file in _files(alice.home):
        assert API_TOKEN.encode() not in file.read_bytes()
    refused = replace(program, more=(("AMRGATE_API_TOKEN", "amrgate_x"), given[1])).run("whoami")
    assert (refused.status, "not accepted" in refused.err) == (3, True)


def test_a_program_is_not_asked_to_log_in(alice: Engineer, liar: Liar) -> None:
    liar.step_up = {"amr": ["mfa"]}
    given = (("AMRGATE_API_TOKEN", API_TOKEN), ("AMRGATE_CA", liar.url))

    with Terminal(replace(alice, more=given), "whoami") as terminal:
        assert terminal.end() == 3

    assert "Multi-factor authentication (MFA) is required." in terminal.shown
    assert "make another" in terminal.shown
    assert "[Y/n]" not in terminal.shown


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
