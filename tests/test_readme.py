"""Every command that the documents show is run, as it is shown, and prints what is shown."""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from machine.private import PrivateMachine
from tests.documents import PAGES, ROOT, Command, commands, fill_in, hidden, matches
from tests.hosts import wait_for
from tests.story import UNIT, Story

if TYPE_CHECKING:
    from pathlib import Path

README = ROOT / "README.md"
CANNOT_RUN = {
    "make test": "it runs this test; that its recipe exists is seen below",
    "make demo": "tests/test_demo.py runs it",
    ".venv/bin/uv pip compile": "it asks the package index: here it locks a project without needs",
    "apt-get install": "it changes folders that the private machine shares: `make releases` runs it",
    "systemctl": "the private machine has no systemd: tests/story.py does what the unit says",
}
"""All that is shown and not run as it is, and why."""
NEEDS_NOTHING = """
[project]
name = "nothing"
version = "1"
optional-dependencies = { dev = [] }
"""

SYSTEM = ("apt-get install", "systemctl")

SHOWN = [command for page in PAGES for command in commands(page)]
TYPED_IN_A_CHECKOUT = [one for one in SHOWN if not one.prompt and one.text.split()[0] != "POST"]


def exception(command: Command) -> str:
    """The entry of CANNOT_RUN that the command is; empty if it is none."""
    return next((entry for entry in CANNOT_RUN if f"{command.text} ".startswith(f"{entry} ")), "")


def test_the_readme_shows_its_two_commands() -> None:
    assert [one.text for one in commands(README)[:2]] == ["make demo", "make test"]


def test_nothing_else_is_left_out() -> None:
    assert set(CANNOT_RUN) == {"make test", "make demo", ".venv/bin/uv pip compile", *SYSTEM}
    assert {exception(one) for one in SHOWN} - {""} == set(CANNOT_RUN)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_command_stands_where_it_is_not_run(page: Path) -> None:
    assert hidden(page) == []


@pytest.mark.parametrize("command", TYPED_IN_A_CHECKOUT, ids=str)
def test_what_one_types_in_a_checkout_runs(command: Command, tmp_path: Path) -> None:
    program, *words = shlex.split(command.text)
    if exception(command) == ".venv/bin/uv pip compile":
        (tmp_path / "pyproject.toml").write_text(NEEDS_NOTHING)
        _run(str(ROOT / program), *words, folder=tmp_path)
        assert (tmp_path / "requirements.lock").exists()
    elif exception(command):
        _run("make", "-n", *words)
    else:
        _run(program, *words)


# --- the whole way, as one story ------------------------------------------------------------


def test_the_story_of_the_documents_is_true() -> None:
    others = [page for page in PAGES if page != README]
    requests = [one.text for one in SHOWN if one.text.startswith("POST ")]
    assert len(requests) == 4

    with PrivateMachine() as machine:
        story = Story(machine)
        carry_out(story, README)
        check_unit(machine)
        wait_until_the_host_obeys(machine)
        for page in others:
            if page.name == "hosts.md":
                story.forget_host()
            carry_out(story, page)
        for request in requests:
            story.ask("bob", request)


def check_unit(machine: PrivateMachine) -> None:
    verified = machine.run("systemd-analyze", "verify", UNIT)
    assert (verified.status, verified.err) == (0, "")


def wait_until_the_host_obeys(machine: PrivateMachine) -> None:
    """It refused the older policy of the restored CA, until that was changed."""
    log = machine.path("/var/log/host")
    wait_for(lambda: "obeying" in log.read_text().splitlines()[-1], 30)


def carry_out(story: Story, page: Path) -> None:
    """Run all that people type at their prompts; it fails where a failure is shown, only there."""
    for command in commands(page):
        if command.prompt:
            status, printed = story.carry_out(command)
            assert not command.shown or matches(command.shown, printed), f"{command}\n{printed}"
            fails = any(line.startswith(("Error: ", "fault ")) for line in command.shown)
            assert (status != 0) == fails, f"{command}: {status}\n{printed}"


# --- the reader of the documents ------------------------------------------------------------


def test_what_is_shown_must_be_what_is_printed() -> None:
    assert matches(("a", "…", "b … d"), "a\n1\n2\nb c d\n")
    assert matches(("a", "…"), "a\n")
    for shown in (("a",), ("a", "…", "b"), ("…", "b c d", "…", "e")):
        assert not matches(shown, "a\n1\n2\nb c d\n")


def test_a_word_that_was_cut_is_the_last_one_printed() -> None:
    assert fill_in("x --token join-…", "join-1\njoin-2_b end\n") == "x --token join-2_b"


def test_a_command_without_a_prompt_is_found_out(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("As in\n\n    amrgate login --now\n    $ sudo make mischief\n")

    assert commands(page) == []
    assert hidden(page) == ["amrgate login --now", "$ sudo make mischief"]


def test_make_alone_lists_the_targets() -> None:
    listed = _run("make")

    for target in ("demo", "test", "bench", "fuzz", "drills", "mutation", "serve"):
        assert re.search(rf"^ +make {target} +\w", listed, re.MULTILINE)


def test_set_up_has_nothing_to_do_the_second_time() -> None:
    _run("scripts/setup")

    again = subprocess.run(["scripts/setup"], cwd=ROOT, check=True, capture_output=True, timeout=60)

    assert (again.stdout, again.stderr) == (b"", b"")


def _run(*words: str, folder: Path = ROOT) -> str:
    ran = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
