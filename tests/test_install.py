"""The installed programs: real files of root's, compiled, run by the Python that they name."""

from __future__ import annotations

import marshal
import os
import re
import stat
import subprocess
import sys
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sshd_hook
from sshd_hook import joined, paths
from sshd_hook.install import LAUNCHERS, PYTHON, InstallError, install_below, remove_below
from tests.hook_host import lets_in
from tests.questions import good

if TYPE_CHECKING:
    from tests.hook_host import HookHost

SOURCE = Path(sshd_hook.__file__).parent
PROGRAMS = (*LAUNCHERS, paths.ACCOUNT)
UNCHECKED_HASH = 0b01


def below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    before = os.umask(0o077)  # as of a careful operator
    try:
        install_below(tmp_path)
    finally:
        os.umask(before)
    return tmp_path


def test_programs_are_real_files_that_all_can_run_and_root_alone_writes(root: Path) -> None:
    for path in (below(root, paths.PROGRAMS), *below(root, paths.PROGRAMS).rglob("*")):
        status = path.lstat()
        assert status.st_uid == os.geteuid()
        assert stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
        executable = stat.S_ISDIR(status.st_mode) or str(path) in {
            str(below(root, program)) for program in PROGRAMS
        }
        assert stat.S_IMODE(status.st_mode) == (0o755 if executable else 0o644), path


def test_programs_are_on_the_disk_before_anything_leads_to_them(tmp_path: Path) -> None:
    """As strace sees it: else a power cut leaves files with nothing in them, which refuse everybody."""
    trace, target = tmp_path / "trace", tmp_path / "target"
    target.mkdir()
    install = "import sys; from sshd_hook.install import *; install_below(Path(sys.argv[1]))"
    strace = ["strace", "-f", "-y", "-qq", "-o", str(trace), "-e", "trace=fsync"]
    subprocess.run([*strace, sys.executable, "-c", install, str(target)], check=True)

    programs = str(below(target, paths.PROGRAMS))
    synced = set(re.findall(r"fsync\(\d+<(.*?)>\) += 0", trace.read_text()))
    synced = {path.replace("/lib.new", "/lib").removesuffix(".new") for path in synced}
    assert {programs, *map(str, below(target, paths.PROGRAMS).rglob("*"))} <= synced


def test_launchers_name_the_distributions_python_alone_and_isolated(root: Path) -> None:
    for program in PROGRAMS:
        first = below(root, program).read_text().splitlines()[0]
        assert first == ("#!/bin/sh" if program == paths.ACCOUNT else "#!/usr/bin/python3 -IS")


def test_every_module_is_there_and_compiled_for_good(hook_python: str, tmp_path: Path) -> None:
    install_below(tmp_path, hook_python)
    library = below(tmp_path, paths.LIBRARY)
    tag = ask(hook_python, "import sys; print(sys.implementation.cache_tag)")
    names = {path.relative_to(SOURCE) for path in SOURCE.rglob("*.py")}
    assert names == {path.relative_to(library / "sshd_hook") for path in library.rglob("*.py")}
    for name in names:
        source = library / "sshd_hook" / name
        compiled = source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc"
        header = compiled.read_bytes()[:8]
        assert int.from_bytes(header[4:], "little") == UNCHECKED_HASH


def ask(python: str, code: str, *arguments: str) -> str:
    ran = subprocess.run(
        [python, "-IS", "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


def test_compiled_files_say_where_they_will_be(root: Path) -> None:
    tag = f"cpython-3{ask(PYTHON, 'import sys; print(sys.version_info[1])')}"
    path = below(root, paths.LIBRARY) / "sshd_hook" / "__pycache__" / f"wire.{tag}.pyc"
    data = path.read_bytes()
    assert data[:4] == MAGIC_NUMBER, "the tests run under the distribution's Python"
    assert marshal.loads(data[16:]).co_filename == f"{paths.LIBRARY}/sshd_hook/wire.py"
    for name, modules in joined.MODULES.items():
        run = below(root, paths.LIBRARY) / f"{name}.{tag}"
        codes = next(
            value for value in marshal.loads(run.read_bytes()).co_consts if type(value) is tuple
        )
        assert [module for module, _ in codes] == [f"sshd_hook{module}" for module in modules]
        assert codes[3][1].co_filename == f"{paths.LIBRARY}/sshd_hook/wire.py"


IMPORTED = """
import contextlib, posix, sys
end, posix._exit = posix._exit, lambda status: None
sys.argv[1:] = []
path = {program!r}
with contextlib.suppress(ValueError):  # there is no word to show
    exec(compile(open(path).read(), path, "exec"))
modules = [module for name, module in sys.modules.items() if name.startswith("sshd_hook")]
print(*sorted(module.__name__ for module in modules if module.__spec__))
"""


@pytest.mark.parametrize("program", [paths.PRINCIPALS, paths.REFUSE, paths.REFUSED])
def test_all_that_a_login_needs_is_in_the_one_file(
    hook_host: HookHost, hook_python: str, program: str
) -> None:
    """What was imported in the usual way has a `__spec__`."""
    ran = hook_host.run(hook_python, "-IS", "-c", IMPORTED.format(program=program))
    assert (ran.out, ran.err) == (b"\n", b"")


def test_another_python_than_at_the_installation_is_only_slower(hook_host: HookHost) -> None:
    expected = hook_host.ask(good()).out
    for file in hook_host.path(paths.LIBRARY).glob("at-login.*"):
        file.rename(file.with_name(f"away.{file.name}"))
    try:
        ran = hook_host.ask(good())
    finally:
        for file in hook_host.path(paths.LIBRARY).glob("away.*"):
            file.rename(file.with_name(file.name.removeprefix("away.")))
    assert lets_in(ran)
    assert ran.out == expected


def test_a_file_whose_source_is_newer_is_still_run_as_compiled(hook_host: HookHost) -> None:
    """Whoever could set a time could otherwise make root compile, or sshd wait."""
    source = hook_host.path(f"{paths.LIBRARY}/sshd_hook/refusal.py")
    before = source.read_text()
    source.write_text("raise SystemExit(0)\n")
    try:
        ran = hook_host.ask(good("abcdefg123456-main-bvxea6i--nothing"))
    finally:
        source.write_text(before)
    assert ran.status == 0
    assert b"command=" in ran.out


def test_installing_again_replaces_all_and_leaves_nothing_old(root: Path) -> None:
    stale = below(root, paths.LIBRARY) / "sshd_hook" / "stale.py"
    stale.write_text("")
    below(root, paths.ACCOUNT).write_text("#!/bin/false\n")
    before = sorted(path.name for path in below(root, paths.PROGRAMS).iterdir())
    install_below(root)
    assert not stale.exists()
    assert below(root, paths.ACCOUNT).read_text() == (SOURCE / "files" / "account").read_text()
    assert before == sorted(path.name for path in below(root, paths.PROGRAMS).iterdir())


def test_what_cannot_be_compiled_leaves_the_old_in_place(root: Path) -> None:
    before = {path: path.stat().st_ino for path in below(root, paths.PROGRAMS).rglob("*")}
    for python in ("/nowhere/python3", "/bin/false"):
        with pytest.raises(InstallError, match=python):
            install_below(root, python)
    assert before == {path: path.stat().st_ino for path in below(root, paths.PROGRAMS).rglob("*")}


def test_removed_is_removed(root: Path) -> None:
    remove_below(root)
    assert not below(root, paths.PROGRAMS).exists()
    remove_below(root)
