"""PAM's lines for sshd: there is no program that says what PAM would do, so its file is read."""

from __future__ import annotations

import glob
import os

from sshd_hook import hostfiles, paths, preflight
from sshd_hook.doctor.findings import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sshd_hook.doctor.examined import Examined

FOLDER = "/etc/pam.d"
MAX_INCLUDES = 32  # pam_handlers.c, PAM_SUBSTACK_MAX_LEVEL
INCLUDING = ("include", "substack")


def account_lines(path: str = hostfiles.PAM, depth: int = 0) -> Iterator[list[str]]:
    """The words of each account line for sshd, in the order in which PAM asks them."""
    if depth > MAX_INCLUDES or not os.path.isfile(path):
        return
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = file.read().replace("\\\n", " ").splitlines()
    for line in lines:
        words = line.split("#", maxsplit=1)[0].split()
        kind, control, *rest = (*words, "", "")
        if kind == "@include":
            yield from account_lines(os.path.join(FOLDER, control), depth + 1)
        elif kind.lstrip("-").lower() == "account":
            if control in INCLUDING:
                yield from account_lines(os.path.join(FOLDER, rest[0]), depth + 1)
            else:
                yield words


def is_in_place() -> bool:
    """Whether PAM asks our program before anything else."""
    return list(account_lines())[:2] == _ours()


def check_lines(_host: Examined) -> Iterator[Finding]:
    """That our two lines are there, to the letter, and first."""
    if is_in_place():
        return
    lines, ours = list(account_lines()), _ours()
    pairs = list(zip(lines, lines[1:]))
    if tuple(ours) in pairs:
        yield Finding("pam-line-not-first", f"before them: {' '.join(lines[0])}")
    elif any(paths.ACCOUNT in words for words in lines):
        yield Finding("pam-line-changed")
    else:
        yield Finding("pam-line-missing")


def check_modules(_host: Examined) -> Iterator[Finding]:
    """That the modules are there that our lines name."""
    for name in preflight.PAM_MODULES:
        if not any(glob.glob(f"{folder}/security/{name}") for folder in preflight.LIBRARIES):
            yield Finding("pam-module-missing", name)


def check_program(_host: Examined) -> Iterator[Finding]:
    """That the program is ours, to the letter."""
    try:
        with open(paths.ACCOUNT, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except FileNotFoundError:
        return  # another check says so
    if text != hostfiles.template("account"):
        yield Finding("account-program-changed", paths.ACCOUNT)


def _ours() -> list[list[str]]:
    return [line.split() for line in hostfiles.template("pam-account").splitlines()]


CHECKS: tuple[Callable[[Examined], Iterator[Finding]], ...] = (
    check_lines,
    check_modules,
    check_program,
)
