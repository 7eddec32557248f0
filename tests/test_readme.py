"""Every command that the documents show is one that works: run here, or at least understood."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ca.client.main import main as amrgate
from ca.ops.main import main as amrgate_ca

if TYPE_CHECKING:
    import click

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")],
    key=lambda page: page.name,
)
PROGRAMS = r"make|amrgate|amrgate-ca|\.venv/bin/\w+"
GROUPS: dict[str, click.Command] = {"amrgate": amrgate, "amrgate-ca": amrgate_ca}


def commands(page: Path) -> list[str]:
    """Indented lines that begin with a program of ours, without their comments."""
    text = page.read_text().replace("\\\n", " ")
    shown = re.findall(rf"^ {{4}}((?:{PROGRAMS})(?: .*)?)$", text, re.MULTILINE)
    return [re.sub(r"\s+# .*", "", command).strip() for command in shown]


SHOWN = [(page.name, command) for page in PAGES for command in commands(page)]


def test_the_readme_shows_its_two_commands() -> None:
    assert commands(ROOT / "README.md")[:2] == ["make demo", "make test"]


@pytest.mark.parametrize(("page", "command"), SHOWN)
def test_a_command_that_is_shown_is_understood(page: str, command: str) -> None:
    """Each option and target exists: nothing is carried out but by the tests below."""
    program, *arguments = shlex.split(command)
    if program == "make":
        subprocess.run(["make", "-n", *arguments], cwd=ROOT, check=True, capture_output=True)
    elif program in GROUPS:
        _parse(GROUPS[program], program, arguments)
    else:
        assert (ROOT / program).is_file(), f"{page}: {command}"


def _parse(command: click.Command, name: str, arguments: list[str]) -> None:
    """Have click read a command line down to the last option, without running anything."""
    import click

    context = command.make_context(name, list(arguments))
    while isinstance(command, click.Group):
        found, following, words = command.resolve_command(context, context.args)
        assert following is not None
        name, command = str(found), following
        context = command.make_context(name, words, parent=context)


def test_make_alone_lists_the_targets() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, check=True, capture_output=True, text=True).stdout

    for target in ("demo", "test", "bench", "fuzz", "mutation", "serve"):
        assert re.search(rf"^ +make {target} +\w", listed, re.MULTILINE)


def test_set_up_has_nothing_to_do_the_second_time() -> None:
    subprocess.run(["scripts/setup"], cwd=ROOT, check=True, capture_output=True, timeout=600)

    again = subprocess.run(["scripts/setup"], cwd=ROOT, check=True, capture_output=True, timeout=9)

    assert (again.stdout, again.stderr) == (b"", b"")
