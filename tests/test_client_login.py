"""Logging in: what the command takes from a browser and an authority, and what it refuses."""

from __future__ import annotations

import json
import re
import socket
import stat
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tests.authorities import Engineer

if TYPE_CHECKING:
    from tests.authorities import Liar

SECRETS = ("session.json", "ssh/id_ed25519", "ssh/id_ed25519-cert.pub")


def test_a_login_keeps_tokens_key_and_certificate_to_oneself(
    engineer: Engineer, liar: Liar
) -> None:
    ran = engineer.log_in("--ca", liar.url)

    assert ran.status == 0, ran.err
    assert "You are logged in as alice (alice@acme.example)." in ran.out
    for name in SECRETS:
        assert stat.S_IMODE((engineer.state / name).stat().st_mode) == 0o600
    for folder in (engineer.state, engineer.state / "ssh"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    kept = json.loads((engineer.state / "session.json").read_text())
    assert {kept["access_token"], kept["refresh_token"]} == liar.tokens


def test_the_request_is_bound_to_the_answer(engineer: Engineer, liar: Liar) -> None:
    engineer.log_in("--ca", liar.url, "-f", "--method", "mfa,sso:acme", "--max-age", "5m")

    assert liar.asked["amr"] == "mfa sso:acme"
    assert liar.asked["max_age"] == "300"
    assert liar.asked["prompt"] == "login"
    assert liar.asked["code_challenge_method"] == "S256"
    assert len(liar.asked["state"]) >= 43
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", liar.asked["redirect_uri"])


def test_the_browser_is_told_when_it_is_done(engineer: Engineer, liar: Liar) -> None:
    pages: list[httpx2.Response] = []

    def browse(url: str) -> None:
        pages.append(httpx2.get(url, follow_redirects=True))

    Engineer(engineer.home, browse).log_in("--ca", liar.url)

    assert "You are logged in" in pages[0].text
    assert "may be closed" in pages[0].text
    assert pages[0].headers["referrer-policy"] == "no-referrer"


@pytest.mark.attack(100)
@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        ({"state": None}, "not to this login"),
        ({"state": "somebody-else's"}, "not to this login"),
        ({"state": ""}, "not to this login"),
        ({"iss": None}, "did not come from"),
        ({"iss": "https://ca.evil.example"}, "did not come from"),
        ({"code": None}, "no code"),
        ({"code": ""}, "no code"),
        ({"code": None, "error": "access_denied"}, "access_denied"),
    ],
)
def test_an_answer_to_another_question_is_refused(
    engineer: Engineer, liar: Liar, returned: dict[str, str | None], sentence: str
) -> None:
    liar.returned = returned

    for _ in range(2):
        ran = engineer.log_in("--ca", liar.url)

        assert ran.status == 3
        assert sentence in ran.err
        assert not any(engineer.has(name) for name in SECRETS)
    assert not liar.seen  # the code was not redeemed


@pytest.mark.attack(100)
def test_a_refused_answer_leaves_the_login_before(alice: Engineer, liar: Liar) -> None:
    before = (alice.state / "session.json").read_bytes()
    liar.returned = {"state": "somebody-else's"}

    assert alice.log_in("-f").status == 3

    assert (alice.state / "session.json").read_bytes() == before
    assert alice.run("whoami").status == 0


def test_only_the_answer_itself_reaches_the_loopback_port(engineer: Engineer, liar: Liar) -> None:
    statuses = []

    def browse(url: str) -> None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        back = query["redirect_uri"]
        statuses.append(httpx2.get(f"{back}/favicon.ico").status_code)
        statuses.append(httpx2.get(f"{back}/").status_code)
        # A name of somebody else's that resolves to the loopback address.
        stolen = {"Host": "evil.example"}
        statuses.append(httpx2.get(f"{back}/?code=x&state=x", headers=stolen).status_code)
        statuses.append(httpx2.get(f"{back}/?state=x&state={query['state']}").status_code)
        with socket.create_connection(("127.0.0.1", int(back.rsplit(":", 1)[1]))) as silent:
            httpx2.get(url, follow_redirects=True)
            silent.close()

    ran = Engineer(engineer.home, browse).log_in("--ca", liar.url)

    assert statuses == [404, 404, 404, 400]
    assert ran.status == 0, ran.err


def test_a_new_login_ends_the_one_before_and_takes_another_key(alice: Engineer, liar: Liar) -> None:
    old = json.loads((alice.state / "session.json").read_text())
    key = (alice.state / "ssh/id_ed25519").read_bytes()

    assert alice.log_in("-f").status == 0

    assert (alice.state / "ssh/id_ed25519").read_bytes() != key
    assert {old["access_token"], old["refresh_token"]}.isdisjoint(liar.tokens)
    paths = liar.paths()
    last = len(paths) - 1 - paths[::-1].index("POST /oauth2/token")
    assert paths[last + 1 : last + 3] == ["POST /oauth2/revoke"] * 2


def test_a_login_works_although_the_old_tokens_cannot_be_revoked(
    alice: Engineer, liar: Liar
) -> None:
    liar.answers["/oauth2/revoke"] = (503, {})

    assert alice.log_in("-f").status == 0
    assert alice.run("whoami").status == 0


def test_who_is_logged_in_is_not_asked_again(alice: Engineer) -> None:
    ran = alice.run("login")

    assert ran.status == 0
    assert "already logged in as alice" in ran.out


def test_logging_out_revokes_and_removes(alice: Engineer, liar: Liar) -> None:
    ran = alice.run("logout")

    assert (ran.status, ran.out) == (0, "You are logged out.\n")
    assert not liar.tokens
    assert not any(alice.has(name) for name in SECRETS)
    assert alice.run("whoami").status == 3
    assert alice.run("logout").out == "You were not logged in.\n"


def test_logging_out_removes_although_nothing_can_be_revoked(alice: Engineer, liar: Liar) -> None:
    liar.answers["/oauth2/revoke"] = (500, "")

    ran = alice.run("logout")

    assert ran.status == 1
    assert "not revoked" in ran.err
    assert not any(alice.has(name) for name in SECRETS)


def test_an_access_token_that_ended_is_renewed(alice: Engineer, liar: Liar) -> None:
    old = json.loads((alice.state / "session.json").read_text())
    liar.tokens.discard(old["access_token"])

    assert alice.run("whoami").status == 0

    new = json.loads((alice.state / "session.json").read_text())
    assert {new["access_token"], new["refresh_token"]} == liar.tokens


def test_two_commands_at_once_spend_a_refresh_token_once(alice: Engineer, liar: Liar) -> None:
    alice.end_token()

    both = [alice.start("whoami") for _ in range(4)]
    outputs = [process.communicate(timeout=60) for process in both]

    assert [process.returncode for process in both] == [0] * 4, outputs
    assert liar.paths().count("POST /oauth2/token") == 1


def test_an_ended_login_is_said_to_be_and_forgotten(alice: Engineer, liar: Liar) -> None:
    liar.tokens.clear()

    ran = alice.run("whoami")

    assert ran.status == 3
    assert ran.err == "Error: Your login has ended: run `amrgate login`.\n"
    assert not alice.has("session.json")


def test_an_outage_does_not_end_a_login(alice: Engineer, liar: Liar) -> None:
    liar.tokens.clear()
    liar.answers["/oauth2/token"] = (503, "busy")

    assert alice.run("whoami").status == 1
    assert alice.has("session.json")


def test_an_authority_that_is_away_is_a_sentence(engineer: Engineer) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        folder = engineer.state
        folder.mkdir(parents=True, mode=0o700)
        session = {"ca": url, "access_token": "a", "refresh_token": "r", "expires_at": 1 << 40}
        (folder / "session.json").write_text(json.dumps(session))

        ran = engineer.run("whoami")

    assert ran.status == 1
    assert "cannot be reached" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    "url",
    [
        "http://ca.example",
        "ftp://ca.example",
        "https://",
        "https://ca.example/path",
        "https://user@ca.example",
        "ca.example",
        "https://ca.example:99999",
        "https://[::1",
    ],
)
def test_an_address_that_is_none_or_not_safe_is_refused(engineer: Engineer, url: str) -> None:
    ran = engineer.run("login", "--ca", url)

    assert ran.status == 2
    assert "Traceback" not in ran.err
    assert not engineer.state.exists()


@pytest.mark.attack(78)
def test_what_the_authority_says_cannot_drive_the_terminal(alice: Engineer, liar: Liar) -> None:
    liar.answers["/users/me"] = (
        200,
        {
            "id": "\x1b]0;x\x07",
            "username": "a\nroot",
            "email": "\u202ee\x9b31m",
            "first_name": "\r",
        },
    )
    shown = alice.run("whoami").out + alice.run("whoami", "--json").out
    liar.answers["/users/me"] = (400, {"error_description": "\x1b[2J\nError: forged"})
    shown += alice.run("whoami").err

    assert {char for char in shown if not char.isprintable()} == {"\n"}
    assert "\nError: forged" not in shown


@pytest.mark.parametrize(
    "damaged", [b"", b"{", b"[]", b'{"ca": 1}', b"\xff\xfe", b'{"access_token": null}']
)
def test_a_damaged_file_asks_for_a_new_login(alice: Engineer, damaged: bytes) -> None:
    (alice.state / "session.json").write_bytes(damaged)

    ran = alice.run("whoami")

    assert (ran.status, ran.err) == (3, "Error: You are not logged in: run `amrgate login`.\n")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ({"amr": ["mfa"]}, "Multi-factor authentication (MFA) is required."),
        ({"amr": ["sso:acme"]}, "Single sign-on (SSO) is required, provider: acme."),
        ({"amr": ["mfa", "sso:acme"], "max_age": 300}, "Re-authentication is required."),
        ({"max_age": 3600}, "More recent authentication is required."),
        ({}, "Re-authentication is required."),
        ({"amr": "mfa", "max_age": "1; rm -rf /"}, "Re-authentication is required."),
        ({"amr": ["$(id)", 7, "mfa"]}, "Multi-factor authentication (MFA) is required."),
    ],
)
def test_a_step_up_without_a_person_names_the_command(
    alice: Engineer, liar: Liar, answer: dict[str, object], sentence: str
) -> None:
    liar.step_up = answer

    ran = alice.run("whoami")

    assert ran.status == 3
    assert sentence in ran.err
    command = re.search(r"`(amrgate login[^`]*)`", ran.err)
    assert command is not None
    assert re.fullmatch(r"amrgate login( --method [a-z:,]+)?( --max-age \d+[smhd])?", command[1])


def test_help_says_the_exit_statuses(engineer: Engineer) -> None:
    ran = engineer.run("--help")

    assert "3 when" in ran.out
    assert "must log in" in ran.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("login",),
        ("login", "--max-age", "0m"),
        ("login", "--max-age", "5x"),
        ("login", "--device", "--no-browser"),
        ("login", "--api-token", "--method", "mfa"),
        ("login", "--api-token", "--ca", "http://127.0.0.1:9"),
        ("session", "end"),
        ("session", "end", "--others", "an-id"),
        ("ssh",),
        ("ssh", "-p", "22"),
        ("login", "--method", "pwd"),
        ("login", "--method", "sso:../x"),
        ("nothing",),
        ("org", "mfa", "acme", "off", "--max-age", "5m"),
    ],
)
def test_a_command_line_that_cannot_be_meant_is_status_2(
    engineer: Engineer, arguments: tuple[str, ...]
) -> None:
    ran = engineer.run(*arguments)

    assert ran.status == 2
    assert "Traceback" not in ran.err
