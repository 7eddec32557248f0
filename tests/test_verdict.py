"""The note from the hook to the account program."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshd_hook import paths, verdict
from sshd_hook.policy import Claims
from sshd_hook.verdict import Connection, VerdictError
from tests.certificates import ALICE, HANDLE
from tests.questions import SERVICE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AUTHORITY = "SHA256:ETtM7Sry9u6Dy8BSyc5mdvCl6nPuQ+4cEbQr+cN0EOU"
KEY = "SHA256:71RkDR6KvembhNzWA7eu0CxFK+QR9MBXMnGURlNcIFM"
NOTE = (
    f"user {ALICE}\nservice {SERVICE}\nserial 18446744073709551615\nkey {KEY}\n"
    f"authority {AUTHORITY}\nsession {HANDLE}\n"
    "amr mfa,otp,pwd,sso:acme:mfa\nauth-time 1800000000\nvia device\n"
)


def connection(
    amr: frozenset[str] = frozenset({"mfa", "otp", "pwd", "sso:acme:mfa"}),
    auth_time: int | None = 1_800_000_000,
    via: str = "device",
) -> Connection:
    return Connection(
        user=ALICE,
        service=SERVICE,
        serial=2**64 - 1,
        key=KEY,
        authority=AUTHORITY,
        session=HANDLE,
        claims=Claims(amr, auth_time, via),
    )


def fields(of: Connection) -> tuple[object, ...]:
    claims = of.claims
    who = (of.user, of.service, of.serial, of.key, of.authority, of.session)
    return (*who, claims.amr, claims.auth_time, claims.via)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of notes of this user's, where nobody else's is looked at."""
    path = tmp_path / "verdict"
    path.mkdir(mode=0o700)
    monkeypatch.setattr(verdict, "VERDICTS", str(path))
    return path


def test_a_connection_is_nine_lines() -> None:
    assert verdict.render(connection()) == NOTE.encode()
    assert fields(verdict.parse(NOTE.encode())) == fields(connection())


@given(
    st.frozensets(st.sampled_from(["mfa", "pwd", "otp", "hwk", "sso:acme", "sso:acme:mfa"])),
    st.none() | st.integers(0, 10**12 - 1),
    st.sampled_from(["", "device"]),
)
def test_what_is_rendered_is_parsed(amr: frozenset[str], auth_time: int | None, via: str) -> None:
    made = connection(amr, auth_time, via)
    assert fields(verdict.parse(verdict.render(made))) == fields(made)


@pytest.mark.parametrize(
    "change",
    [
        ("user ", "usr "),
        (ALICE, "alice"),
        (SERVICE, "root"),
        (KEY, KEY[:-1]),
        (AUTHORITY, f"{AUTHORITY}A"),
        (KEY, KEY[:-1] + "\x1b"),
        (HANDLE, ""),
        ("mfa,", "root,"),
        ("mfa,", ","),
        ("serial 1", "serial -1"),
        ("serial 1", "serial 11"),
        ("auth-time 1", "auth-time x"),
        ("via device", "via browser"),
        ("via device\n", ""),
        ("via device\n", "via device"),
        ("via device\n", "via device\nvia device\n"),
        ("via device", "via dévice"),
    ],
    ids=repr,
)
def test_a_note_with_anything_wrong_is_none(change: tuple[str, str]) -> None:
    changed = NOTE.replace(*change)
    assert changed != NOTE
    with pytest.raises(ValueError, match=r"\w"):
        verdict.parse(changed.encode())


@given(st.binary(max_size=500))
def test_nothing_but_a_value_error_comes_of_garbage(noise: bytes) -> None:
    for note in (noise, NOTE.encode() + noise):
        if note != NOTE.encode():
            with pytest.raises(ValueError, match=r"\w"):
                verdict.parse(note)


def test_a_note_is_left_whole_replaced_and_removed(folder: Path) -> None:
    fd = verdict.open_folder()
    verdict.leave(fd, "12.34", verdict.REFUSED, b"no")
    assert verdict.read("12.34", verdict.REFUSED) == b"no"
    verdict.remove(fd, "12.34")
    verdict.leave(fd, "12.34", verdict.ALLOWED, b"yes")
    assert [path.name for path in folder.iterdir()] == ["12.34.allowed"]
    assert (folder / "12.34.allowed").stat().st_mode & 0o7777 == 0o600
    verdict.remove(fd, "12.34")
    verdict.remove(fd, "12.34")
    os.close(fd)
    assert not list(folder.iterdir())


def test_what_was_left_half_written_is_removed_and_never_read(folder: Path) -> None:
    (folder / "12.34.new").write_bytes(b"half")
    with pytest.raises(VerdictError):
        verdict.read("12.34", verdict.ALLOWED)
    fd = verdict.open_folder()
    verdict.remove(fd, "12.34")
    os.close(fd)
    assert not list(folder.iterdir())


def test_a_link_in_the_place_of_a_note_is_not_written_through(folder: Path) -> None:
    target = folder.parent / "target"
    (folder / "12.34.new").symlink_to(target)
    fd = verdict.open_folder()
    with pytest.raises(FileExistsError):
        verdict.leave(fd, "12.34", verdict.ALLOWED, b"yes")
    os.close(fd)
    assert not target.exists()


def test_the_folder_is_nobody_elses(folder: Path) -> None:
    folder.chmod(0o755)
    with pytest.raises(VerdictError, match="open to others"):
        verdict.open_folder()
    folder.chmod(0o700)
    os.chown(folder, 64321, -1)
    with pytest.raises(VerdictError, match="another's"):
        verdict.open_folder()
    folder.rmdir()
    with pytest.raises(VerdictError, match="not there"):
        verdict.open_folder()
    folder.symlink_to("/tmp")
    with pytest.raises(VerdictError, match="not there"):
        verdict.open_folder()


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _long(path: Path) -> None:
    path.write_bytes(b"x" * 4097)


@pytest.mark.parametrize(
    "spoil",
    [
        _link,
        _pipe,
        _long,
        lambda path: path.with_name("other").hardlink_to(path),
        lambda path: os.chown(path, 64322, -1),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["link", "pipe", "long", "second name", "another's", "folder"],
)
def test_a_note_that_the_hook_did_not_write_is_none(
    folder: Path, spoil: Callable[[Path], object]
) -> None:
    path = folder / "12.34.refused"
    path.write_bytes(b"no")
    assert verdict.read("12.34", verdict.REFUSED) == b"no"
    spoil(path)
    with pytest.raises(VerdictError):
        verdict.read("12.34", verdict.REFUSED)


def test_the_open_connections_are_the_good_notes(folder: Path) -> None:
    (folder / "12.34.allowed").write_text(NOTE)
    for name in ("13.35.refused", "14.36.new", "x.37.allowed", "15.allowed", "16.38.allowed.x"):
        (folder / name).write_text(NOTE)
    (folder / "17.39.allowed").write_text("rubbish")
    (folder / "18.40.allowed").symlink_to("12.34.allowed")
    ((pid, start, found),) = verdict.connections()
    assert (pid, start, fields(found)) == (12, "34", fields(connection()))


def test_a_process_is_named_by_its_id_and_start() -> None:
    pid, _, start = verdict.parent().partition(".")
    assert int(pid) == os.getppid()
    assert verdict.start_time(os.getppid()) == start
    with pytest.raises(VerdictError):
        verdict.start_time(2**22 + 1)


NAMED = """
import ctypes, sys
ctypes.CDLL(None).prctl(15, sys.argv[1].encode(), 0, 0, 0)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("name", ["sshd", ") R 1 1) (", "a\nb) S", "((((", "x 1 2 3 4 5 6 7"])
def test_the_name_of_a_process_cannot_forge_its_start(name: str) -> None:
    with subprocess.Popen(
        ["/usr/bin/python3", "-IS", "-c", NAMED, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as named:
        assert named.stdout is not None
        named.stdout.readline()
        with open(f"/proc/{named.pid}/stat", encoding="ascii") as file:  # noqa: PTH123 -- as sshd's account program
            expected = file.read().rpartition(")")[2].split()[19]
        assert verdict.start_time(named.pid) == expected
        assert int(expected) >= int(verdict.start_time(os.getpid()))


def test_notes_are_where_the_account_program_looks(account_program: str) -> None:
    assert f'"{paths.VERDICTS}/$PPID.${{20}}.{verdict.ALLOWED}"' in account_program
    assert f'exec {paths.REFUSED} "$PPID" "${{20}}"' in account_program


@pytest.fixture
def account_program() -> str:
    from pathlib import Path

    return (Path(verdict.__file__).with_name("files") / "account").read_text()
