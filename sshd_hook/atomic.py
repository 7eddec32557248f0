"""Files that others read at any moment: each is the old one or the new one, whole, also after a crash."""

from __future__ import annotations

import contextlib
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Placement:
    """Who may read a file: its mode and its owner's and group's ids."""

    __slots__ = ("gid", "mode", "uid")

    def __init__(self, mode: int, uid: int = 0, gid: int = 0) -> None:
        self.mode = mode
        self.uid = uid
        self.gid = gid


PUBLIC = Placement(0o644)
PRIVATE = Placement(0o600)


def write(
    path: str,
    data: bytes,
    placement: Placement = PRIVATE,
    check: "Callable[[str], None] | None" = None,
) -> None:
    """Put `data` at `path`, durably, or leave what is there untouched.

    The bytes stand in a hidden file beside `path` until they are on the disk; `check` may look at
    that file first and raise. One writer at a time: the hidden file's name is always the same, so
    that what a crash leaves behind is overwritten and never piles up.

    Raises:
        OSError: the disk is full, read-only or fails.
    """
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.new")
    try:
        _write_new(temporary, data, placement)
        if check is not None:
            check(temporary)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync(folder)


def remove(path: str) -> None:
    """Remove a file, durably. It is no error if there is none."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
        sync(os.path.dirname(path))


def sync(path: str | os.PathLike[str]) -> None:
    """Bring a file, or a folder's entries, to the disk: a power cut may undo a rename before that."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_new(path: str, data: bytes, placement: Placement) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fchown(fd, placement.uid, placement.gid)
        os.fchmod(fd, placement.mode)
        os.fsync(fd)
