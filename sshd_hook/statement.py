"""The word that names the key which signs what hosts obey: its form, for the CA and for hosts.

A statement is a text that people can read before they sign it offline:

    amrgate-keys 1
    number 1795500000
    bundle ssh-ed25519 AAAA…

`number` grows: it is the time when the statement was made, in seconds since the epoch. The armored
signature (SSHSIG, namespace `amrgate-keys`) follows the text in the same file.
"""

from __future__ import annotations

import re

NAMESPACE = "amrgate-keys"
HEAD = "amrgate-keys 1"
BEGIN = "-----BEGIN SSH SIGNATURE-----\n"
END = "-----END SSH SIGNATURE-----\n"
FORM = re.compile(rf"{HEAD}\nnumber ([1-9][0-9]{{0,17}})\nbundle (ssh-ed25519 [A-Za-z0-9+/]+=*)\n")
MAX_SIGNED = 4096  # characters


class StatementError(ValueError):
    """It is no statement about keys."""


class Statement:
    """From its `number` on, `bundle_key` (`ssh-ed25519 AAAA…`) signs what hosts obey."""

    __slots__ = ("bundle_key", "number")

    def __init__(self, number: int, bundle_key: str) -> None:
        self.number = number
        self.bundle_key = bundle_key


def render(statement: Statement) -> str:
    """The text that is signed."""
    return f"{HEAD}\nnumber {statement.number}\nbundle {statement.bundle_key}\n"


def parse(text: str) -> Statement:
    """Read the text that is signed.

    Raises:
        StatementError: it is another one, or not written as `render` does.
    """
    found = FORM.fullmatch(text)
    if found is None:
        raise StatementError("not a statement about the bundle key")
    return Statement(int(found[1]), found[2])


def split(signed: str) -> tuple[str, str]:
    """The text of a signed statement, and its signature.

    Raises:
        StatementError: one of them is missing, or more follows.
    """
    text, begin, rest = signed.partition(BEGIN)
    if len(signed) > MAX_SIGNED or not begin or not rest.endswith(END) or rest.count(END) != 1:
        raise StatementError("not one statement and its signature")
    return text, begin + rest


def split_file(content: str) -> list[str]:
    """The signed statements in a file that holds any number of them, one after the other."""
    return [f"{one}{END}" for one in content.split(END)[:-1]]
