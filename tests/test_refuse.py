"""The two ways in which a refusal reaches the person, as functions and as installed programs."""

from __future__ import annotations

import binascii
import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshd_hook import paths, refuse
from sshd_hook.policy import MORE_AUTHENTICATION, NO_ACCESS, Decision
from sshd_hook.refusal import Refusal, render, to_fields
from tests.certificates import ALICE
from tests.hook_host import HOOK_ID, HookHost
from tests.questions import SERVICE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NO = Refusal(Decision(NO_ACCESS), SERVICE, "Zoë", ALICE)
MORE = Refusal(
    Decision(MORE_AUTHENTICATION, ("mfa", "sso:acme"), 3600, ("mfa", "max_age", "device")),
    SERVICE,
    "Alice",
    ALICE,
)
ACCOUNT_UID = 400001  # a service's


@pytest.mark.parametrize("refusal", [NO, MORE], ids=["no", "more"])
def test_a_word_is_read_back(refusal: Refusal) -> None:
    word = refuse.to_word(refusal)
    assert render(refuse.from_word(word)) == render(refusal)
    assert word.replace("-", "").replace("_", "").isalnum()


def test_each_byte_of_a_word_counts() -> None:
    word = refuse.to_word(MORE)
    for bad in (
        *(f"{word[:n]}{'A' if word[n] != 'A' else 'B'}{word[n + 1 :]}" for n in range(len(word))),
        *(word[:n] for n in range(len(word))),
        *(word + more for more in ("=", "A", "\n", " ", "é")),
        "A" * 5000,
    ):
        try:
            shown = render(refuse.from_word(bad))
        except ValueError:
            continue
        assert all(line.isprintable() for line in shown.replace("\t", "").splitlines())
        assert shown != render(MORE)


@given(st.text(), st.binary(max_size=300))
def test_nothing_but_a_value_error_comes_of_garbage(text: str, data: bytes) -> None:
    word = binascii.b2a_base64(data, newline=False).decode().rstrip("=")
    for bad in (text, word):
        with pytest.raises(ValueError, match=r"\w"):
            refuse.from_word(bad)


# --- the forced command ---------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [NO, MORE], ids=["no", "more"])
def test_the_forced_command_shows_the_text_as_the_services_account(
    hook_host: HookHost, refusal: Refusal
) -> None:
    command = f"{paths.REFUSE} {refuse.to_word(refusal)}"  # as sshd runs it, by the user's shell
    for locale in ("C", "C.UTF-8", "xx"):
        env = {"LC_ALL": locale, "SSH_ORIGINAL_COMMAND": "id; rm -rf /"}
        ran = hook_host.run("/bin/sh", "-c", command, user=ACCOUNT_UID, env=env)
        assert (ran.status, ran.out, ran.err) == (1, b"", render(refusal).encode())


@pytest.mark.parametrize(
    "words",
    [[], [""], ["--help"], ["bm8"], [b"\xff\xfe"], [refuse.to_word(NO), "x"], ["A" * 100_000]],
    ids=str,
)
def test_the_forced_command_shows_nothing_that_the_hook_did_not_write(
    hook_host: HookHost, words: list[str | bytes]
) -> None:
    ran = hook_host.run(paths.REFUSE, *words, user=ACCOUNT_UID)
    assert (ran.status, ran.out, ran.err) == (1, b"", b"")


# --- the account program --------------------------------------------------------------------


def leave(host: HookHost, ending: str, data: bytes = b"") -> Path:
    """Leave a note for this process's connection as the hook does."""
    note = host.note(ending)
    note.write_bytes(data)
    os.chown(note, HOOK_ID, HOOK_ID)
    note.chmod(0o600)
    return note


def account(host: HookHost, name: str = SERVICE) -> tuple[int, bytes, bytes]:
    ran = host.run(paths.ACCOUNT, user=0, env={"PAM_USER": name, "PAM_TYPE": "account"})
    return ran.status, ran.out, ran.err


NOTHING = (1, b"", b"")


def test_whoever_was_allowed_comes_in(hook_host: HookHost) -> None:
    leave(hook_host, "allowed", b"user")
    assert account(hook_host) == (0, b"", b"")


@pytest.mark.parametrize("refusal", [NO, MORE], ids=["no", "more"])
def test_whoever_was_refused_reads_why(hook_host: HookHost, refusal: Refusal) -> None:
    leave(hook_host, "refused", to_fields(refusal))
    assert account(hook_host) == (1, render(refusal).encode(), b"")
    assert not hook_host.logged()


def test_without_a_verdict_nobody_comes_in_by_our_names(hook_host: HookHost) -> None:
    for name in (SERVICE, "abcdefg123456", ""):
        assert account(hook_host, name) == NOTHING
    (line,) = hook_host.run(paths.ACCOUNT, user=0, env={"PAM_USER": SERVICE}).logged
    assert f"code=no_verdict service={SERVICE} " in line
    assert hook_host.run(paths.ACCOUNT, user=0).status == 1


@pytest.mark.parametrize("name", ["backup-admin1-x--y", "administrator", "root", "zoë", "a b"])
def test_other_names_come_in(hook_host: HookHost, name: str) -> None:
    assert account(hook_host, name) == (0, b"", b"")


def test_a_verdict_of_another_connection_is_not_this_ones(hook_host: HookHost) -> None:
    pid, _, start = hook_host.connection.partition(".")
    for name in (
        f"{pid}.{int(start) + 1}",
        f"{int(pid) + 1}.{start}",
        f"{pid}.",
        f"{pid}.{start}x",
    ):
        path = hook_host.path(f"{paths.VERDICTS}/{name}.allowed")
        path.touch()
    assert account(hook_host) == NOTHING


def test_a_refusal_is_about_one_service(hook_host: HookHost) -> None:
    leave(hook_host, "refused", to_fields(NO))
    assert account(hook_host, "abcdefg123456-main-bvxea6i--other") == NOTHING


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)
    os.chown(path, HOOK_ID, HOOK_ID)


def _folder_of(uid: int) -> Callable[[Path], None]:
    return lambda path: os.chown(path.parent, uid, uid)


@pytest.mark.parametrize(
    "spoil",
    [
        _link,
        _pipe,
        lambda path: path.with_name("second").hardlink_to(path),
        lambda path: os.chown(path, ACCOUNT_UID, ACCOUNT_UID),
        lambda path: path.write_bytes(b"x" * 4097),
        lambda path: path.write_bytes(path.read_bytes() + b"\n"),
        lambda path: path.write_bytes(path.read_bytes().replace("Zoë".encode(), b"\x1b[2J")),
        lambda path: path.write_bytes(b""),
        lambda path: path.parent.chmod(0o755),
        _folder_of(ACCOUNT_UID),
        lambda path: path.parent.parent.chmod(0o777),
    ],
    ids=[
        "link",
        "pipe",
        "second name",
        "another's",
        "too long",
        "a line more",
        "escape",
        "empty",
        "open folder",
        "another's folder",
        "folder that others can exchange",
    ],
)
def test_a_refusal_that_the_hook_did_not_write_is_not_shown(
    hook_host: HookHost, spoil: Callable[[Path], object]
) -> None:
    path = leave(hook_host, "refused", to_fields(NO))
    folder = path.parent
    try:
        spoil(path)
        assert account(hook_host) == NOTHING
    finally:
        os.chown(folder, HOOK_ID, HOOK_ID)
        folder.chmod(0o700)
        folder.parent.chmod(0o755)


@pytest.mark.parametrize(
    "words",
    [[], ["1"], ["1", "2", "3"], ["../x", "1"], ["1", "/etc/passwd"], [b"\xff", "1"], ["", ""]],
    ids=str,
)
def test_the_reader_takes_nothing_but_a_process_and_its_start(
    hook_host: HookHost, words: list[str | bytes]
) -> None:
    ran = hook_host.run(paths.REFUSED, *words, user=0, env={"PAM_USER": SERVICE})
    assert (ran.status, ran.out, ran.err) == NOTHING


NAMED = """
import ctypes, os, subprocess, sys
from sshd_hook import verdict
ctypes.CDLL(None).prctl(15, sys.argv[1].encode(), 0, 0, 0)
name = f"{verdict.VERDICTS}/{os.getpid()}.{verdict.start_time(os.getpid())}.allowed"
before = subprocess.run(sys.argv[2:]).returncode
open(name, "w").close()
print(before, subprocess.run(sys.argv[2:]).returncode)
"""


@pytest.mark.parametrize("name", ["sshd", ") R 1 1) (", "a\nb) S", "* $(id)", "\n\n", "%s\\n"])
def test_the_name_of_the_parent_cannot_mislead_the_account_program(
    hook_host: HookHost, name: str
) -> None:
    library = f"import sys; sys.path.insert(0, {paths.LIBRARY!r})\n"
    words = ("/usr/bin/python3", "-IS", "-c", library + NAMED, name, paths.ACCOUNT)
    ran = hook_host.run(*words, user=0, env={"PAM_USER": SERVICE})
    assert (ran.status, ran.out) == (0, b"1 0\n")


def test_the_account_program_uses_builtins_only(hook_host: HookHost) -> None:
    """It runs for each login, as root, and must not depend on what a PATH or a folder holds."""
    leave(hook_host, "allowed")
    env = {"PAM_USER": SERVICE, "IFS": "0123456789", "ENV": "/nowhere/x"}
    ran = hook_host.run("/usr/bin/env", "PATH=/nowhere", paths.ACCOUNT, user=0, env=env)
    assert (ran.status, ran.out, ran.err) == (0, b"", b"")


def test_a_killed_reader_lets_nobody_in(hook_host: HookHost) -> None:
    leave(hook_host, "refused", to_fields(NO))
    word = f'ulimit -t 0; exec {paths.REFUSED} "$@"'
    ran = hook_host.run("/bin/sh", "-c", word, "sh", "1", "2", user=0, env={"PAM_USER": SERVICE})
    assert ran.status in (-signal.SIGKILL, 1, 137)
    assert ran.out == b""
