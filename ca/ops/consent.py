"""What an operator sees, and is asked, before somebody is locked out."""

import contextlib
import sys
from collections.abc import Callable

import click


def ask(show: Callable[[], None], question: str, *, yes: bool) -> bool:
    """Tell what will come of it, on stderr; at a terminal, go on only with leave, or with `yes`.

    Scripts have no terminal, and go on. Returns whether somebody was asked.

    Raises:
        click.Abort: no.
    """
    with contextlib.redirect_stdout(sys.stderr):
        show()
    asks = not yes and sys.stdin.isatty() and sys.stderr.isatty()
    if asks:
        click.confirm(question, default=True, abort=True, err=True)
    return asks
