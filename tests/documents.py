"""What the documents show: the commands in their indented blocks, and what they print.

A command stands after a prompt that says who types it where, `ca#` or `alice$`. It goes on behind
a `\\` at the end of a line, or up to the END of `<<'END'`. What follows until the next prompt is what
it prints; `…` is for what is left out: part of a line, or, alone, lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
PROMPT = re.compile(r"^ {4}(ca#|ssh#|offline#|(?:alice|bob|admin)\$) (.*)$")
# Without a prompt: what one types in a checkout of the project, and requests of the API.
BARE = re.compile(r"^ {4}((?:make|\.venv/bin/[a-z-]+|POST|GET) .*)$")
PROGRAMS = re.compile(r"^ *(?:amrgate|amrgate-ca|sshd-hook|ssh|scp|systemctl|python3|\w*\$) ")
LEFT_OUT = "…"


@dataclass(frozen=True)
class Command:
    """A command of a page, and the lines that it is shown to print."""

    page: str
    line: int
    prompt: str
    """Who types it; empty for what is typed in a checkout."""
    text: str
    shown: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.prompt} {self.text}"


def commands(page: Path) -> list[Command]:
    """The commands of a page, in their order."""
    return list(_commands(page))


def hidden(page: Path) -> list[str]:
    """Lines of blocks that look like commands, but stand where no command is looked for."""
    outputs = {line for command in commands(page) for line in command.shown}
    lines = [line for line in page.read_text().splitlines() if line.startswith("    ")]
    blocks = [line[4:] for line in lines if not PROMPT.match(line)]
    return [line for line in blocks if PROGRAMS.match(line) and line not in outputs]


def matches(shown: tuple[str, ...], printed: str) -> bool:
    """Whether that is what was printed, but for what is left out and the blanks at line ends."""
    pattern = "".join(
        r"(?:.*\n)*" if line == LEFT_OUT else _line_pattern(line) + r"[ \t]*\n" for line in shown
    )
    return re.fullmatch(pattern, printed.strip("\n") + "\n") is not None


def fill_in(text: str, printed: str) -> str:
    """A command with each word `begin…` made whole: as it was last printed."""

    def whole(found: re.Match[str]) -> str:
        words = re.findall(rf"{re.escape(found[1])}[\w-]+", printed)
        assert words, f"nothing was printed that begins with {found[1]}"
        return str(words[-1])

    return re.sub(rf"([\w:-]+){LEFT_OUT}", whole, text)


def _commands(page: Path) -> Iterator[Command]:
    lines = page.read_text().splitlines()
    number = 0
    while number < len(lines):
        start = number
        prompt, text = _typed(lines[number])
        number += 1
        if not text:
            continue
        while text.endswith("\\"):
            text = text[:-1].rstrip() + " " + lines[number].strip()
            number += 1
        if text.endswith("<<'END'"):
            end = lines.index("    END", number)
            text = "\n".join([text, *(line[4:] for line in lines[number : end + 1])])
            number = end + 1
        shown = number
        while prompt and number < len(lines) and _is_output(lines[number]):
            number += 1
        output = tuple(line[4:] for line in lines[shown:number])
        yield Command(page.name, start + 1, prompt, text, output)


def _typed(line: str) -> tuple[str, str]:
    """The prompt of a line and what is typed there; twice nothing where it is no command."""
    if found := PROMPT.match(line):
        return found[1], found[2]
    if bare := BARE.match(line):
        return "", re.sub(r"\s+# .*", "", bare[1])
    return "", ""


def _is_output(line: str) -> bool:
    return line.startswith("    ") and not PROMPT.match(line)


def _line_pattern(line: str) -> str:
    return ".*".join(map(re.escape, line.split(LEFT_OUT)))
