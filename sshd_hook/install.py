"""Put the hook's programs where sshd and PAM run them: a folder, launchers, compiled files.

sshd checks the launcher, but neither its interpreter nor what it imports. So the launcher names
the distribution's Python itself, with -I (nothing of anybody's home or environment) and -S; and the
compiled files are taken as they are, never compared with a time that somebody else could set.

Where Debian's package put them there (`lay_out` made what is in it), they are the package's: then
`install` has nothing to do and `remove` leaves them.
"""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

from sshd_hook import atomic, joined, paths

PYTHON = "/usr/bin/python3"
PACKAGE = "amrgate-sshd-hook"
PACKAGED = f"{paths.PROGRAMS}/packaged"  # is there while the programs are the package's
SECONDS = 60  # for compiling all of it
AT_FDCWD = -100  # of fcntl.h
RENAME_EXCHANGE = 2  # of linux/fs.h

LAUNCHER = """\
#!{python} -IS
import sys

sys.path.insert(0, "{library}")
from sshd_hook.{module} import {function}

sys.exit({function}())
"""

# What `sshd_hook.joined` made is run, if it was made by the same Python; else it is only slower.
# It is also one whole version of our modules while an upgrade replaces them one by one.
# The library comes last in the path, because what is still to be imported is Python's.
QUICK_LAUNCHER = """\
#!{python} -IS
import marshal, posix, sys

sys.path.append("{library}")
try:
    fd = posix.open("{library}/{joined}." + sys.implementation.cache_tag, posix.O_RDONLY)
    exec(marshal.loads(posix.read(fd, posix.fstat(fd).st_size)))
    posix.close(fd)
except FileNotFoundError:
    pass
from sshd_hook.{module} import {function}

{function}()
"""


LAUNCHERS = {  # the program, how it is started, and the function that it calls
    paths.PRINCIPALS: (QUICK_LAUNCHER, "principals", "main"),
    paths.REFUSE: (QUICK_LAUNCHER, "refuse", "refuse"),
    paths.REFUSED: (QUICK_LAUNCHER, "refuse", "refused"),
    paths.ENTER: (LAUNCHER, "enter", "main"),
    paths.SSHD_HOOK: (LAUNCHER, "main", "main"),
}


class InstallError(Exception):
    """The programs cannot be put there; the message says why."""


def install() -> None:
    """Install, or replace whole, the programs of this machine.

    Raises:
        InstallError: its Python cannot compile them, or they are the package's and not of this one.
        OSError: a file cannot be written.
    """
    if not is_packaged():
        install_below(Path("/"))
    elif not Path(__file__).is_relative_to(paths.LIBRARY):
        raise InstallError(f"the package {PACKAGE} is installed here: use its /usr/bin/sshd-hook")


def is_packaged() -> bool:
    """Whether Debian's package put the programs there."""
    return os.path.exists(PACKAGED)


def install_below(root: Path, python: str = PYTHON) -> None:
    """Install, or replace whole, the programs below `root`, to be run by `python`.

    Raises:
        as `install`.
    """
    library = _below(root, paths.LIBRARY)
    new = library.with_name("lib.new")
    shutil.rmtree(new, ignore_errors=True)
    try:
        _copy_package(new / "sshd_hook")
        compile_library(new, python)
        if library.exists():
            _exchange(new, library)
        else:
            new.rename(library)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    _write_programs(root, python)


def lay_out(root: Path) -> None:
    """Put the programs below `root` for a package: not compiled, for nobody knows by which Python."""
    _copy_package(_below(root, paths.LIBRARY) / "sshd_hook")
    _write_programs(root, PYTHON)
    marker = _below(root, PACKAGED)
    marker.write_text(f"{PACKAGE}\n")
    marker.chmod(0o644)


def compile_library(library: Path = Path(paths.LIBRARY), python: str = PYTHON) -> None:
    """Compile the modules in `library`, which is or will be at its place.

    Each file is replaced whole, and last the ones that logins run: what is at its place can be used
    at every moment.

    Raises:
        InstallError: `python` cannot compile them.
    """
    folder = str(library)
    _remove_stale(library)
    compileall = ("-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")
    _run(python, *compileall, "-s", folder, "-p", paths.LIBRARY, folder)
    _run(python, str(library / "sshd_hook" / "joined.py"), folder, paths.LIBRARY)
    # Before anything leads to them: after a power cut files would be there with nothing in them.
    for path in (*library.rglob("*"), library):
        atomic.sync(path)


def remove() -> None:
    """Remove what `install` made. PAM's lines that name the account program must be gone before."""
    if not is_packaged():
        remove_below(Path("/"))


def remove_below(root: Path) -> None:
    """Remove what `install_below` made."""
    shutil.rmtree(_below(root, paths.PROGRAMS), ignore_errors=True)


def _write_programs(root: Path, python: str) -> None:
    for path, (launcher, module, function) in LAUNCHERS.items():
        text = launcher.format(
            python=python,
            library=paths.LIBRARY,
            module=module,
            function=function,
            joined=joined.FILES.get(module),
        )
        _write_program(_below(root, path), text)
    account = Path(__file__).with_name("files") / "account"
    _write_program(_below(root, paths.ACCOUNT), account.read_text())


def _exchange(one: Path, other: Path) -> None:
    """Exchange two folders, so that neither's place is ever empty (renameat2(2)).

    Raises:
        OSError: the kernel or the file system does not.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(AT_FDCWD, bytes(one), AT_FDCWD, bytes(other), RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))


def _remove_stale(library: Path) -> None:
    """Remove compiled files whose source an upgrade took away."""
    for compiled in library.rglob("__pycache__/*.pyc"):
        source = compiled.parent.parent / f"{compiled.name.split('.')[0]}.py"
        if not source.exists():
            compiled.unlink()


def _copy_package(target: Path) -> None:
    source = Path(__file__).parent
    for file in sorted(source.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            copy = target / file.relative_to(source)
            _make_folders(copy.parent)
            copy.write_bytes(file.read_bytes())
            copy.chmod(0o644)


def _run(python: str, *arguments: str) -> None:
    try:
        subprocess.run(
            (python, "-IS", *arguments),
            check=True,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            umask=0o022,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise InstallError(f"{python} cannot compile the hook: {error}") from error


def _write_program(path: Path, text: str) -> None:
    """Replace a program: sshd and PAM find the old one or the new one, and both can be run."""
    _make_folders(path.parent)
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.chmod(0o755)
    atomic.sync(new)
    os.replace(new, path)
    atomic.sync(path.parent)


def _make_folders(folder: Path) -> None:
    """Make a folder and those above it that are missing, readable by all and written by root."""
    for path in (*reversed(folder.parents), folder):
        if not path.exists():
            path.mkdir()
            path.chmod(0o755)


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")
