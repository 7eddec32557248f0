"""The installed principals command and what lies on the disk: nothing others could have written."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from ca.hosts import bundle_writer
from sshd_hook import paths
from tests.hook_host import HOOK_ID, HookHost, code, lets_in, refuses
from tests.questions import DAY, SHARED_UID, arguments, certified, content, good

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# --- files ----------------------------------------------------------------------------------

FILES = (paths.BUNDLE, paths.FRESH, paths.SHARED_UID)


@pytest.mark.attack(38)
@pytest.mark.parametrize("file", FILES)
def test_a_part_of_the_policy_is_missing_or_empty(hook_host: HookHost, file: str) -> None:
    hook_host.path(file).unlink()
    refuses(hook_host, hook_host.ask(good()), "policy_missing")
    hook_host.set_file(file, b"")
    refuses(hook_host, hook_host.ask(good()), "policy_damaged")
    hook_host.set_file(file, b"\xff" * 2048)
    refuses(hook_host, hook_host.ask(good()), "policy_damaged", "policy_untrusted")


@pytest.mark.attack(38)
def test_no_policy_at_all(hook_host: HookHost) -> None:
    hook_host.path(paths.POLICY).rename(hook_host.path(f"{paths.STATE}/away"))
    try:
        refuses(hook_host, hook_host.ask(good()), "policy_missing")
    finally:
        hook_host.path(f"{paths.STATE}/away").rename(hook_host.path(paths.POLICY))


@pytest.mark.attack(38)
def test_no_ca_is_trusted(hook_host: HookHost) -> None:
    nobody = content()
    nobody.authorities = ()
    hook_host.set_policy(nobody)
    refuses(hook_host, hook_host.ask(good()), "authority_unknown")


def _link(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to("real")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.unlink()
    os.mknod(path, 0o20644, os.makedev(1, 3))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _socket(path: Path) -> None:
    path.unlink()
    os.mknod(path, 0o140644)


def _clean(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    path.with_name("real").unlink(missing_ok=True)


@pytest.mark.attack(48)
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    "spoil",
    [
        _link,
        _pipe,
        _device,
        _folder,
        _socket,
        lambda path: path.chmod(0o666),
        lambda path: path.chmod(0o660),
        lambda path: os.chown(path, HOOK_ID, HOOK_ID),
        lambda path: os.chown(path, 400001, 0),
    ],
    ids=["link", "pipe", "device", "folder", "socket", "0666", "0660", "the hook's", "another's"],
)
def test_a_file_that_others_could_have_written_is_not_read(
    hook_host: HookHost, file: str, spoil: Callable[[Path], object]
) -> None:
    assert lets_in(hook_host.ask(good()))
    path = hook_host.path(file)
    spoil(path)
    try:
        ran = hook_host.ask(good())
        refuses(hook_host, ran, "policy_untrusted", "policy_missing")
    finally:
        _clean(path)


@pytest.mark.attack(49)
@pytest.mark.parametrize("folder", [paths.POLICY, paths.STATE, "/var/lib", "/var"])
@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775, None])
def test_a_folder_in_which_others_could_exchange_it(
    hook_host: HookHost, folder: str, mode: int | None
) -> None:
    path = hook_host.path(folder)
    before = path.stat()
    if mode is None:
        os.chown(path, HOOK_ID, -1)
    else:
        path.chmod(mode)
    try:
        refuses(hook_host, hook_host.ask(good()), "policy_untrusted")
    finally:
        os.chown(path, before.st_uid, before.st_gid)
        path.chmod(before.st_mode & 0o7777)
    assert lets_in(hook_host.ask(good()))


@pytest.mark.attack(49)
@pytest.mark.parametrize("folder", [paths.POLICY, paths.STATE])
def test_a_folder_behind_a_link(hook_host: HookHost, folder: str) -> None:
    path = hook_host.path(folder)
    away = path.rename(path.with_name(f"{path.name}.away"))
    path.symlink_to(away.name)
    try:
        refuses(hook_host, hook_host.ask(good()), "policy_untrusted")
    finally:
        path.unlink()
        away.rename(path)


@pytest.mark.attack(41)
def test_a_damaged_bundle_is_no_traceback(hook_host: HookHost) -> None:
    data = bundle_writer.write(content())
    expected = hook_host.ask(good()).out
    for offset in range(0, len(data), 41):
        bad = data[:offset] + bytes((data[offset] ^ 0xFF,)) + data[offset + 1 :]
        hook_host.set_file(paths.BUNDLE, bad)
        ran = hook_host.ask(good())
        assert ran.err == b""
        if ran.status:
            refuses(hook_host, ran, "policy_damaged", "bundle_damaged", "authority_unknown")
        else:
            assert ran.out == expected


@pytest.mark.attack(44)
def test_a_statement_that_ran_out_a_second_ago(hook_host: HookHost) -> None:
    now = int(time.time())
    hook_host.set_policy(issued_at=now - DAY - 1, not_after=now - 1)
    refuses(hook_host, hook_host.ask(good()), "policy_stale")
    hook_host.set_policy(issued_at=now + 400, not_after=now + DAY)
    refuses(hook_host, hook_host.ask(good()), "policy_stale")


def test_a_service_without_an_account_of_its_own(hook_host: HookHost) -> None:
    refuses(hook_host, hook_host.ask(arguments(certified(), uid=SHARED_UID)), "no_account")


# --- the folder of verdicts -----------------------------------------------------------------


@pytest.mark.parametrize("how", ["away", "0755", "another's", "link", "file system full"])
def test_without_a_place_for_the_verdict_nothing_is_printed(hook_host: HookHost, how: str) -> None:
    folder = hook_host.path(paths.VERDICTS)
    away = folder.with_name("away")
    if how == "0755":
        folder.chmod(0o755)
    elif how == "another's":
        os.chown(folder, 400001, 400001)
    elif how == "file system full":
        _mount(hook_host, "mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=2,mode=700", "t")
        os.chown(folder, HOOK_ID, HOOK_ID)
        (folder / "ballast").write_bytes(b"x" * 4096)
    else:
        folder.rename(away)
        if how == "link":
            folder.symlink_to("away")
    try:
        ran = hook_host.ask(good())
        assert (ran.status, ran.out, ran.err) == (1, b"", b"")
        expected = "not_answered" if how == "file system full" else "no_verdict_folder"
        assert code(ran) == expected
    finally:
        if how == "file system full":
            _mount(hook_host, "umount")
        if away.exists():
            folder.unlink(missing_ok=True)
            away.rename(folder)
        os.chown(folder, HOOK_ID, HOOK_ID)
        folder.chmod(0o700)


def _mount(host: HookHost, *words: str) -> None:
    assert host.run(*words, paths.VERDICTS, user=0).status == 0
