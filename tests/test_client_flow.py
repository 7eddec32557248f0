"""The command and the real service: what engineers and admins do, from the password to the shell."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx2
from selenium.webdriver.common.keys import Keys

from demo.browser import App, Browser, form_of
from tests.authorities import Engineer
from tests.ca_server import PASSWORD, CaServer
from tests.certificates import keygen
from tests.directory import SERVICE
from tests.terminals import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.authorities import Liar
    from tests.chromium import Chromium


def at_home(folder: Path, browser: Browser) -> Engineer:
    home = folder / browser.username
    home.mkdir(mode=0o700)
    return Engineer(home, browser.log_in)


def set_up_app(engineer: Engineer, browser: Browser) -> str:
    """Run `amrgate mfa setup`, and type what the app shows for the secret that it names."""
    process = engineer.start("mfa", "setup")
    assert process.stdin is not None
    assert process.stdout is not None
    shown = ""
    while not (found := re.search(r"secret into it: (\w+)$", shown, re.MULTILINE)):
        line = process.stdout.readline()
        assert line, process.communicate()
        shown += line
    browser.app = App(found[1])
    out, err = process.communicate(f"mistyped\n{browser.app.code()}\n", timeout=60)
    assert process.returncode == 0, err
    assert "code" in err, "it asks again, for the app would have another secret else"
    return shown + out


def amr(engineer: Engineer) -> list[str]:
    info = engineer.run("ssh-cert", "info", "--json")
    found: list[str] = json.loads(info.out)["amr"]
    return found


# Alice has no app yet.


def test_an_account_from_the_terminal(ca_server: CaServer, tmp_path: Path) -> None:
    """Tokens, sessions and organizations of somebody with the real authority."""
    dave = at_home(tmp_path, Browser("alice", PASSWORD))
    assert dave.log_in("--ca", ca_server.url).status == 0

    made = dave.run("token", "create", "backup", "--expires", "30d")
    (listed,) = json.loads(dave.run("token", "list", "--json").out)

    assert made.status == 0, made.err
    assert re.fullmatch(r"amrgate_\w+\n", made.out)
    assert "in 30 days" in made.err
    assert made.out.strip() not in made.err
    assert (listed["name"], listed["last_used_at"]) == ("backup", None)
    program = replace(dave, more=(("AMRGATE_API_TOKEN", made.out), ("AMRGATE_CA", ca_server.url)))
    who = json.loads(program.run("whoami", "--json").out)
    assert (who["username"], who["amr"]) == ("alice", ["pwd"])
    ended = program.run("logout")
    assert "AMRGATE_API_TOKEN in the environment logs each command in again" in ended.err
    refused = program.run("token", "create", "another")
    assert (refused.status, "Log in to do that" in refused.err) == (1, True), refused.err
    assert dave.run("token", "remove", listed["id"]).status == 0
    assert dave.run("token", "list").err == "There are none.\n"
    assert program.run("ssh-cert", "load").status == 3

    assert dave.run("org", "list").out.splitlines()[1].startswith("acme ")
    assert "logins: MFA is not required\n" in dave.run("org", "show", "acme").out
    found = json.loads(dave.run("org", "members", "acme", "--json").out)
    assert {"alice", "bob", "carol"} <= {one["user"]["username"] for one in found}
    assert dave.run("org", "invite", "acme", "x@acme.example").status == 1

    sessions = json.loads(dave.run("session", "list", "--json").out)
    (present,) = [one for one in sessions if one["current"]]
    assert re.fullmatch(r"amrgate/[\w.]+ \(Linux\)", present["user_agent"])
    assert present["ip"] == "127.0.0.1"
    assert dave.run("session", "end", "--others").status == 0
    assert [one["id"] for one in json.loads(dave.run("session", "list", "--json").out)] == [
        present["id"]
    ]
    assert dave.run("session", "end", present["id"]).status == 0
    assert dave.run("whoami").status == 3


def test_the_real_authority_takes_a_code(ca_server: CaServer, engineer: Engineer) -> None:
    process = engineer.start("login", "--device", "--ca", ca_server.url)
    assert process.stderr is not None
    said = ""
    while (found := re.search(r"^ +(\w{4}-\w{4})$", said, re.MULTILINE)) is None:
        line = process.stderr.readline()
        assert line, said
        said += line

    _type_code(f"{ca_server.url}/device", found[1])

    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Proved: password, by a code on another device." in out
    who = json.loads(engineer.run("whoami", "--json").out)
    assert (who["username"], who["via"]) == ("alice", "device")


def _type_code(address: str, user_code: str) -> None:
    typed = {
        "/login": {"username": "alice", "password": PASSWORD},
        "/device": {"user_code": user_code},
        "/device/confirm": {"decision": "allow"},
    }
    with httpx2.Client(follow_redirects=True, trust_env=False) as http:
        page = http.get(address)
        for _ in range(len(typed)):
            form = form_of(page.text)
            assert form is not None, page.text
            origin = {"Origin": address.removesuffix("/device")}
            page = http.post(
                page.url.join(form.action), data=form.hidden | typed[form.action], headers=origin
            )


def test_from_a_password_to_an_app(ca_server: CaServer, tmp_path: Path) -> None:
    browser = Browser("alice", PASSWORD)
    alice = at_home(tmp_path, browser)

    first = alice.log_in("--ca", ca_server.url)

    assert first.status == 0, first.err
    assert "You are logged in as Alice Archer (alice@acme.example)." in first.out
    assert "You are logged in" in browser.pages[-1]
    assert "amr: pwd\n" in alice.run("ssh-cert", "info").out
    listed = keygen("-L", "-f", alice.state / "ssh/id_ed25519-cert.pub")
    assert re.search(r"amr@amrgate UNKNOWN OPTION: 00000003707764 \(len 7\)", listed)
    me = json.loads(alice.run("whoami", "--json").out)
    assert (me["username"], me["amr"]) == ("alice", ["pwd"])
    assert "has no second factor" in alice.run("mfa").out

    shown = set_up_app(alice, browser)

    assert "Verified and saved." in shown
    assert "recovery codes" in shown
    assert shown.count("█") + shown.count("▀") + shown.count("▄") > 100  # the picture
    assert max(map(len, shown.splitlines())) <= 80
    assert "did not prove it" in alice.run("mfa").out
    assert amr(alice) == ["pwd"]

    again = alice.log_in("-f")

    assert again.status == 0, again.err
    assert amr(alice) == ["mfa", "otp", "pwd"]
    assert "this login proved it" in alice.run("mfa").out
    assert alice.run("ssh-cert", "load", "--force").status == 0
    assert alice.run("logout").status == 0
    assert alice.run("ssh-cert", "load").status == 3


def test_a_real_browser_comes_back_to_the_command(
    ca_server: CaServer, scripted: Chromium, tmp_path: Path
) -> None:
    """Chromium obeys the pages' policies: it also says where a form may lead."""
    home = tmp_path / "carol"
    home.mkdir(mode=0o700)

    def browse(url: str) -> None:
        scripted.open(url)
        scripted.type("carol" + Keys.TAB)
        scripted.enter(PASSWORD)
        scripted.press("Allow")

    ran = Engineer(home, browse).log_in("--ca", ca_server.url)

    assert "You are logged in" in scripted.text
    assert scripted.complaints() == []
    assert ran.status == 0, ran.err
    assert "Proved: password." in ran.out


def test_an_admin_requires_a_second_factor(ca_server: CaServer, tmp_path: Path) -> None:
    window = Browser("bob", PASSWORD)
    bob, carol = at_home(tmp_path, window), at_home(tmp_path, Browser("carol", PASSWORD))
    assert carol.log_in("--ca", ca_server.url).status == 0
    assert bob.log_in("--ca", ca_server.url).status == 0
    refused = bob.run("org", "mfa", "acme", "on")
    set_up_app(bob, window)
    assert bob.log_in("-f").status == 0

    allowed = carol.run("explain", SERVICE)
    reported = bob.run("org", "mfa", "acme", "report", "--max-age", "1h")
    lacking = carol.run("explain", SERVICE)
    with_device = bob.run("org", "mfa", "acme", "report", "--device").out
    without = bob.run("org", "mfa", "acme", "report", "--no-device").out
    preview = json.loads(bob.run("org", "mfa", "acme", "preview", "--json").out)
    with Terminal(bob, "org", "mfa", "acme", "on") as terminal:
        terminal.wait_for("Require it now? [Y/n]")
        terminal.type("\n")
        assert terminal.end() == 0
    seen = carol.run("org", "mfa", "acme")
    explained = carol.run("explain", SERVICE)
    nowhere = carol.run("explain", f"{SERVICE}--nowhere")
    disabled = bob.run("org", "mfa", "acme", "off")

    assert refused.status != 0
    assert (allowed.status, allowed.out) == (0, f"{SERVICE} on ssh.acme.example lets you in.\n")
    assert "1 hour, but only reported: whoever lacks it is let in.\n" in reported.out, reported.err
    assert lacking.status == 0
    assert ("device" in with_device, "device" in without) == (True, False)
    assert "not held against it yet:\n - Multi-factor authentication (MFA)\n" in lacking.out
    next_step = "Next step: amrgate mfa setup, then amrgate login --method mfa --max-age 1h\n"
    assert lacking.out.endswith(next_step)
    assert "carol" in {one["username"] for one in preview["locked_out"]}
    assert "Open connections that would be ended: 0." in terminal.shown
    assert "acme: MFA is required, from a login within 1 hour.\n" in terminal.shown
    assert seen.status == explained.status == 3
    assert "amrgate login --method mfa --max-age 1h" in seen.err
    assert explained.out.startswith(f"Error: Access denied\nService: {SERVICE}\nUser: Carol")
    assert '\nParameters: {"amr":["mfa"],"max_age":3600}\n' in explained.out
    assert (nowhere.status, nowhere.out) == (1, "")
    assert "The service doesn't exist or you do not have access to it." in nowhere.err
    assert disabled.out == "acme: MFA is not required.\n", disabled.err
    assert carol.run("org", "mfa", "acme").status == 0
    assert carol.run("org", "mfa", "elsewhere").status == 1


def test_a_step_up_is_offered_to_a_person(alice: Engineer, liar: Liar) -> None:
    liar.step_up = {"amr": ["mfa"], "max_age": 300}
    terminal, process = _at_a_terminal(alice, "whoami")
    shown = _until(terminal, "[Y/n]")
    os.write(terminal, b"\n")
    shown += _until(terminal, "max_age=300\r\n")
    liar.step_up = None
    found = re.search(r"(http\S+max_age=300)", shown)
    assert found
    alice.browse(found[1])

    out, _ = process.communicate(timeout=60)

    os.close(terminal)
    assert (process.returncode, "id: " in out) == (0, True)
    assert "Re-authentication is required." in shown
    assert (liar.asked["amr"], liar.asked["max_age"]) == ("mfa", "300")


def test_who_says_no_to_a_step_up_is_told_the_command(alice: Engineer, liar: Liar) -> None:
    liar.step_up = {"amr": ["mfa"]}
    terminal, process = _at_a_terminal(alice, "whoami")
    _until(terminal, "[Y/n]")
    os.write(terminal, b"n\n")

    shown = _until(terminal, "--method mfa")

    process.communicate(timeout=60)
    assert process.returncode == 3
    assert "amrgate login --method mfa" in shown
    os.close(terminal)


def _at_a_terminal(engineer: Engineer, *arguments: str) -> tuple[int, subprocess.Popen[str]]:

    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "ca.client.main", *arguments],
        env=engineer.environment(),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    return ours, process


def _until(terminal: int, text: str) -> str:
    shown = ""
    while text not in shown:
        ready, _, _ = select.select([terminal], [], [], 30)
        assert ready, shown
        shown += os.read(terminal, 4096).decode()
    return shown
