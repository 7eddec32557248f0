"""Files that hold keys and tokens: made with O_EXCL and renamed, never written through a link.

Somebody who could write into one of our folders, once, may have planted there a link that sends a
key elsewhere, or a FIFO that hands it to a reader. What is not a plain file of our own is refused,
for reading as for writing.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from ca.errors import Misconfigured

MAX_SIZE = 1 << 20  # bytes of a file that we read

_SAFE = os.O_NOFOLLOW | os.O_CLOEXEC


def read(path: Path) -> bytes | None:
    """The contents of our file, None if there is none.

    Raises:
        Misconfigured: it is not a plain file of our own, or its folder is not ours alone.
    """
    with contextlib.suppress(FileNotFoundError), _folder(path.parent) as folder:
        descriptor = _open(path, os.O_RDONLY | os.O_NONBLOCK, folder)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(MAX_SIZE)
    return None


def write(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put `data` in the place of the file at once: a reader finds the old or the new, whole.

    Raises:
        Misconfigured: what is there is not a plain file of our own, or the folder not ours alone.
    """
    with _folder(path.parent) as folder:
        _refuse_planted(path, folder)
        temporary = f".{path.name}.{secrets.token_hex(8)}"
        new = os.open(temporary, _SAFE | os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
        try:
            with os.fdopen(new, "wb") as file:
                os.fchmod(new, mode)
                file.write(data)
                file.flush()
                os.fsync(new)
            os.rename(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(temporary, dir_fd=folder)
            raise


def remove(path: Path) -> None:
    """Remove the file, if there is one. A link is removed itself."""
    path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder that only we can enter, and those above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file: of two processes the second waits here until the first is done."""
    with _folder(path.parent) as folder:
        descriptor = _open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[int]:
    """A descriptor of the folder: a name looked up in it cannot be led astray by a swap of it."""
    try:
        descriptor = os.open(path, _SAFE | os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        raise Misconfigured(f"{path} is not a folder of its own: move it away.") from error
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise Misconfigured(f"{path} belongs to somebody else: move it away.")
        if found.st_mode & 0o022:
            raise Misconfigured(f"Others may write into {path}: run `chmod go-w {path}`.")
        yield descriptor
    finally:
        os.close(descriptor)


def _open(path: Path, flags: int, folder: int) -> int:
    try:
        descriptor = os.open(path.name, _SAFE | flags, 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise
        raise _planted(path) from error
    found = os.fstat(descriptor)
    if not _is_ours(found):
        os.close(descriptor)
        raise _planted(path)
    return descriptor


def _refuse_planted(path: Path, folder: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not _is_ours(os.stat(path.name, dir_fd=folder, follow_symlinks=False)):
            raise _planted(path)


def _is_ours(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()


def _planted(path: Path) -> Misconfigured:
    return Misconfigured(f"{path} is not a plain file of yours: look who put it there, remove it.")
