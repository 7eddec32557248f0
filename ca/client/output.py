"""What commands print: data to standard output, for people or as JSON; and how to read answers."""

import json
import math
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from ca import words

GAP = 2  # columns between two of a table
WIDE = 10_000  # columns, where no terminal limits them


def as_json(value: object) -> None:
    """Print it for programs. What an authority said is escaped: JSON is read on terminals, too."""
    click.echo(json.dumps(value, indent=2))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their heads; where the terminal is too narrow, each as lines of its own.

    Takes text of any origin.
    """
    from rich.cells import cell_len

    if not rows:
        click.echo("There are none.", err=True)
        return
    safe = [[words.safe(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(heads, *safe, strict=True)]
    if sum(widths) + GAP * (len(widths) - 1) <= width():
        _print_table(heads, safe)
    else:
        _print_blocks(heads, safe)


def width() -> int:
    """How many columns there are: for a file or a pipe, enough for everything."""
    # Not rich's: for it, every dumb terminal has 80.
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDE


def fields(pairs: Sequence[tuple[str, str]]) -> None:
    """Print names and values, one pair a line; what has no value is left out."""
    for name, value in pairs:
        if value:
            click.echo(f"{name}: {words.safe(value)}")


def items(answer: object) -> list[dict[str, Any]]:
    """The objects of a list, which may stand alone or under `items`."""
    found = answer.get("items") if isinstance(answer, dict) else answer
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def text(item: object, name: str) -> str:
    """The text under a name; empty if there is none."""
    value = item.get(name) if isinstance(item, dict) else None
    return value if isinstance(value, str) else ""


def texts(item: object, name: str) -> list[str]:
    """The texts in the list under a name."""
    value = item.get(name) if isinstance(item, dict) else None
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def ago(item: object, name: str, default: str = "never") -> str:
    """How long ago the time under a name was (RFC 3339), in words."""
    at = _moment(text(item, name))
    if at is None:
        return default
    passed = int(time.time() - at)
    return f"{words.roughly(passed)} ago" if passed > 0 else "now"


def ahead(item: object, name: str) -> str:
    """In how long the time under a name is, in words."""
    at = _moment(text(item, name))
    if at is None:
        return "never"
    left = math.ceil((at - time.time()) / 60) * 60  # "in 30 days", a second after it was asked for
    return f"in {words.roughly(left)}" if left > 0 else "over"


def _moment(written: str) -> float | None:
    try:
        return datetime.fromisoformat(written).timestamp()
    except (ValueError, OverflowError):
        return None


def _print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    for head in heads:
        shown.add_column(Text(head), no_wrap=True)
    for row in rows:
        shown.add_row(*map(Text, row))
    console = Console(highlight=False, width=width())
    with console.capture() as captured:
        console.print(shown)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def _print_blocks(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for number, row in enumerate(rows):
        if number:
            click.echo()
        fields([(head.lower(), cell) for head, cell in zip(heads, row, strict=True)])
