"""What a terminal of any width can show: colours, lines folded on purpose, the seconds that pass."""

import contextlib
import os
import shutil
import sys
import textwrap
import threading
from collections.abc import Iterator, Sequence

PROSE = 80  # columns; wider text is hard to read
NARROW = 40  # columns; less room is left to the terminal
INDENT = "    "
COLOURS = {"title": "1;34", "person": "1;32", "note": "2", "good": "32", "bad": "1;31"}


def width() -> int:
    """The columns of the terminal, or $COLUMNS, or 80."""
    return max(NARROW, shutil.get_terminal_size().columns)


def paint(kind: str, text: str) -> str:
    """`text` in its colour, where that can be seen and is wanted; no meaning rests on it."""
    if os.environ.get("NO_COLOR") or not _is_terminal():
        return text
    return f"\033[{COLOURS[kind]}m{text}\033[0m"


def fold_prose(text: str) -> list[str]:
    """`text` as lines behind a "# "."""
    return [f"# {line}" for line in textwrap.wrap(text, min(width(), PROSE) - 2)]


def fold_command(chunks: Sequence[str], used: int) -> str:
    r"""A command of `chunks` that a shell reads as it was run; long ones go on after a `\`.

    `used` columns of the first line are taken.
    """
    folded, column = "", used
    for chunk in chunks:
        if folded and column + len(chunk) + len("  \\") > width():
            folded += f" \\\n{INDENT}{chunk}"
            column = len(INDENT)
        else:
            folded += f" {chunk}" if folded else chunk
            column += 1
        column = column + len(chunk) if "\n" not in chunk else len(chunk.rpartition("\n")[2])
    return folded


def fold_output(line: str) -> list[str]:
    """What a program printed; where it is too wide it goes on, indented.

    A word that is itself too wide, such as an address or a certificate, ends in "…".
    """
    wide = line.expandtabs()
    if len(wide) <= width():
        return [line]
    text = wide.lstrip()
    margin = wide[: len(wide) - len(text)]
    room = width() - len(margin) - len(INDENT)
    words = [word if len(word) <= room else f"{word[: room - 1]}…" for word in text.split(" ")]
    return textwrap.wrap(
        " ".join(words),
        width(),
        initial_indent=margin,
        subsequent_indent=margin + INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


@contextlib.contextmanager
def ticking() -> Iterator[None]:
    """On a terminal, count the seconds of what takes longer than one."""
    if not _is_terminal():
        yield
        return
    is_over = threading.Event()

    def tick() -> None:
        seconds = 0
        while not is_over.wait(1):
            seconds += 1
            print(f"\r… {seconds} s", end="", flush=True)  # noqa: T201
        if seconds:
            print("\r\033[K", end="", flush=True)  # noqa: T201

    clock = threading.Thread(target=tick, daemon=True)
    clock.start()
    try:
        yield
    finally:
        is_over.set()
        clock.join()


def _is_terminal() -> bool:
    """Whether the output goes to a terminal that can do more than print."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
