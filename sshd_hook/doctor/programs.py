"""What our programs run on: sshd checks the launcher, but not its interpreter nor what it imports."""

from __future__ import annotations

import _imp
import contextlib
import os
import re
import stat

from sshd_hook import entry, install, paths
from sshd_hook.doctor import examined, placement
from sshd_hook.doctor.examined import Unknown
from sshd_hook.doctor.findings import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sshd_hook.doctor.examined import Examined

FIRST_LINE = re.compile(r"#!(/\S+) -IS\n")
ABOUT = "import _frozen_importlib_external as e, sys; print(sys.implementation.cache_tag, e.MAGIC_NUMBER.hex())"
HEADER = 16  # bytes of a compiled file: magic, flags, hash of the source (PEP 552)
BY_HASH, CHECKED = 1, 2  # flags


def check_launchers(_host: Examined) -> Iterator[Finding]:
    """That each program is started by a fixed Python, which takes nothing from its environment."""
    for path, line in _first_lines().items():
        if not FIRST_LINE.fullmatch(line):
            yield Finding("interpreter-options", f"{path} begins with {line.strip()!r}")


def check_interpreters(_host: Examined) -> Iterator[Finding]:
    """That nobody but root can exchange that Python."""
    for python in _interpreters():
        for path in sorted(_on_the_way(python)):
            why = _why_unsafe(path)
            if why:
                yield Finding("interpreter-unsafe", f"{path} {why}")


def check_compiled(_host: Examined) -> Iterator[Finding]:
    """That each module was compiled by that Python, from the source that is beside it."""
    for python in _interpreters():
        answer = examined.ask((python, "-IS", "-c", ABOUT))
        if answer is None:
            raise Unknown
        tag, magic = answer.split()
        for source in _sources():
            folder, name = os.path.split(source)
            compiled = os.path.join(folder, "__pycache__", f"{name[:-3]}.{tag}.pyc")
            code = _look(source, compiled, bytes.fromhex(magic))
            if code:
                yield Finding(code, compiled)
                break  # one stands for all


def _look(source: str, compiled: str, magic: bytes) -> str:
    """The code of what is wrong with a compiled file, or nothing."""
    try:
        with open(compiled, "rb") as file:
            header = file.read(HEADER)
    except FileNotFoundError:
        return "compiled-missing"
    if len(header) != HEADER or header[:4] != magic:
        return "compiled-missing"  # Python looks no further, and compiles the source
    flags = int.from_bytes(header[4:8], "little")
    if flags & BY_HASH and not flags & CHECKED:
        with open(source, "rb") as file:
            expected = _imp.source_hash(int.from_bytes(magic, "little"), file.read())
        if header[8:] != expected:
            return "compiled-stale"
    return ""


def _first_lines() -> dict[str, str]:
    found = {}
    for path in install.LAUNCHERS:
        if os.path.isfile(path):  # another check says so if not
            with open(path, encoding="utf-8", errors="replace") as file:
                found[path] = file.readline(256)
    return found


def _interpreters() -> list[str]:
    matches = map(FIRST_LINE.fullmatch, _first_lines().values())
    return sorted({match[1] for match in matches if match})


def _sources() -> Iterator[str]:
    for folder, _folders, files in os.walk(paths.LIBRARY):
        yield from (os.path.join(folder, name) for name in sorted(files) if name.endswith(".py"))


def _on_the_way(path: str) -> set[str]:
    """A file, every folder above it, and the same of all that it leads to if it is a link."""
    found: set[str] = set()
    while path not in found:
        found |= placement.with_parents({path})
        if os.path.islink(path):
            path = os.path.join(os.path.dirname(path), os.readlink(path))
    return found | placement.with_parents({os.path.realpath(path)})


def _why_unsafe(path: str) -> str:
    status = os.stat(path)
    if status.st_uid != placement.ROOT:
        return f"belongs to {status.st_uid}"
    if status.st_mode & placement.OF_OTHERS:
        return f"is {stat.S_IMODE(status.st_mode):04o}"
    return ""


def check_entries(_host: Examined) -> Iterator[Finding]:
    """The operator's file of entries, and the programs that it names."""
    try:
        text = _entries()
        named, told = entry.programs(text), entry.arguments(text)
    except entry.EntryError as error:
        yield Finding("entry-damaged", str(error))
        return
    for program in sorted(named):
        try:
            why = _why_unsafe(program)
            is_for_all = os.stat(program).st_mode & stat.S_IXOTH
        except OSError as error:
            yield Finding("entry-program", str(error))
            continue
        if why or not is_for_all:
            yield Finding("entry-program", f"{program} {why or 'is not for all to run'}")
    for path in sorted(told):
        why = _why_unsafe(path) if os.path.isfile(path) else ""  # what is not here may be inside
        if why:
            yield Finding("entry-program", f"{path} {why}")


def check_entered(host: Examined) -> Iterator[Finding]:
    """That each line of it is for services of this host."""
    with contextlib.suppress(entry.EntryError):
        for pattern in entry.unused(_entries(), host.accounts.live):
            yield Finding("entry-unused", pattern)


def _entries() -> str:
    """The file of entries, nothing if there is none.

    Raises:
        EntryError: it is empty, which the hook takes for a file that somebody is writing.
    """
    try:
        with open(paths.ENTRY, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except FileNotFoundError:
        return ""
    if not text:
        raise entry.EntryError(f"{paths.ENTRY} is empty")
    return text


CHECKS: tuple[Callable[[Examined], Iterator[Finding]], ...] = (
    check_launchers,
    check_interpreters,
    check_compiled,
    check_entries,
    check_entered,
)
