"""The installed principals command as sshd runs it, under every Python: what goes in, what comes out.

This process is sshd: its process id and start name the connection.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sshd_hook import paths, verdict
from sshd_hook.log import MAX_DECISIONS
from sshd_hook.refusal import from_fields, render
from tests.certificates import ALICE
from tests.hook_host import HOOK_ID, HookHost, Ran, code, lets_in, refuses
from tests.questions import (
    GUARDED,
    MFA,
    NOWHERE,
    SERVICE,
    arguments,
    certified,
    content,
    good,
    record,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

STOPPED = -signal.SIGALRM


# --- three outcomes -------------------------------------------------------------------------


def test_each_outcome_leaves_its_verdict_before_its_line(hook_host: HookHost) -> None:
    ran = hook_host.ask(good())
    assert lets_in(ran)
    assert code(ran) == "allowed"
    assert hook_host.notes() == [hook_host.note("allowed").name]
    note = verdict.parse(hook_host.note("allowed").read_bytes())
    assert (note.user, note.service) == (ALICE, SERVICE)

    ran = hook_host.ask(arguments(certified("pwd"), GUARDED))
    assert ran.status == 0
    assert ran.out.startswith(b'restrict,pty,command="/usr/lib/amrgate/refuse ')
    assert code(ran) == "more_authentication"
    assert hook_host.notes() == [hook_host.note("refused").name]
    assert "mfa" in render(from_fields(hook_host.note("refused").read_bytes()))

    assert code(hook_host.ask(good(NOWHERE))) == "no_access"
    assert hook_host.notes() == [hook_host.note("refused").name]
    refuses(hook_host, hook_host.ask(good("root")), "other_name")


def test_a_note_is_the_hooks_alone(hook_host: HookHost) -> None:
    hook_host.ask(good())
    status = hook_host.note("allowed").stat()
    assert (status.st_uid, status.st_gid, status.st_mode) == (HOOK_ID, HOOK_ID, 0o100600)


@pytest.mark.attack(59)
def test_the_second_run_decides_whichever_way_the_policy_went(hook_host: HookHost) -> None:
    weak = arguments(certified("pwd"))
    strict = content(record(SERVICE, MFA))
    first = hook_host.ask(weak)
    assert lets_in(first)
    assert lets_in(hook_host.ask(weak))
    assert hook_host.ask(weak).out == first.out
    hook_host.set_policy(strict)
    assert not lets_in(hook_host.ask(weak))
    assert hook_host.notes() == [hook_host.note("refused").name]
    hook_host.set_policy()
    assert lets_in(hook_host.ask(weak))
    assert hook_host.notes() == [hook_host.note("allowed").name]


@pytest.mark.attack(198)
def test_a_run_without_an_answer_takes_the_last_verdict_with_it(hook_host: HookHost) -> None:
    bad_ones: list[list[str]] = [
        [],
        ["--help"],
        arguments(certified(valid_before=1)),
        good("root"),
    ]
    for bad in bad_ones:
        assert lets_in(hook_host.ask(good()))
        refuses(hook_host, hook_host.ask(bad), "bad_arguments", "not_valid_now", "other_name")


# --- arguments and environment --------------------------------------------------------------


@pytest.mark.attack(37)
def test_arguments_that_sshd_would_not_give(hook_host: HookHost) -> None:
    words: list[str | bytes] = [*good()]
    shapes: list[list[str | bytes]] = [
        [],
        words[:1],
        words[:6],
        [*words, "x"],
        words[::-1],
        ["--help"],
        ["-c", "print(1)"],
        ["-x", *words[1:]],
        *([*words[:n], b"\xff\xfe", *words[n + 1 :]] for n in range(7)),
        *([*words[:n], b"", *words[n + 1 :]] for n in range(7)),
        [*words[:6], "A" * 131_000],
    ]
    for bad in shapes:
        ran = hook_host.ask(bad)
        refuses(hook_host, ran, "bad_arguments", "other_name", "bad_certificate", "disagreement")


@pytest.mark.attack(39)
def test_a_hostile_environment_changes_nothing(hook_host: HookHost) -> None:
    trap = hook_host.path("/var/trap")
    trap.mkdir(exist_ok=True)
    for version in range(9, 14):
        site = trap / ".local" / "lib" / f"python3.{version}" / "site-packages"
        site.mkdir(parents=True, exist_ok=True)
        for folder in (trap, site):
            for name in ("json", "binascii", "resource", "syslog", "os", "usercustomize", "posix"):
                (folder / f"{name}.py").write_text("raise SystemExit(0)\n")
    hostile = {
        "PYTHONPATH": "/var/trap",
        "PYTHONSTARTUP": "/var/trap/os.py",
        "PYTHONHOME": "/var/trap",
        "PYTHONINSPECT": "1",
        "PYTHONWARNINGS": "error",
        "PYTHONIOENCODING": "utf-16",
        "HOME": "/var/trap",
        "LANG": "xx",
        "LC_ALL": "xx",
        "TZ": "junk/../junk",
        "PATH": "/tmp",
        "LD_PRELOAD": "",
    }
    words = good()
    clean = hook_host.ask(words)
    assert lets_in(clean)
    for env in ({name: value} for name, value in hostile.items()):
        assert dirty(hook_host, env, words).out == clean.out
    ran = dirty(hook_host, hostile, words)
    assert (ran.status, ran.out, ran.err) == (0, clean.out, b"")
    assert dirty(hook_host, hostile, good("root")).status == 1


def dirty(host: HookHost, env: dict[str, str], words: list[str]) -> Ran:
    settings = [f"{name}={value}" for name, value in env.items()]
    ran = host.run("/usr/bin/env", "-C", "/var/trap", "-i", *settings, paths.PRINCIPALS, *words)
    assert b"Traceback" not in ran.err
    return ran


@pytest.mark.attack(39)
def test_a_preloaded_library_of_whoever_runs_it_by_hand_changes_nothing(
    hook_host: HookHost,
) -> None:
    words = good()
    library = next(Path("/usr/lib").glob("*-linux-gnu*/libm.so.6"))
    ran = hook_host.run("/usr/bin/env", f"LD_PRELOAD={library}", paths.PRINCIPALS, *words)
    assert (ran.status, ran.out) == (0, hook_host.ask(words).out)


# --- descriptors ----------------------------------------------------------------------------


@pytest.mark.attack(40)
def test_a_terminal_as_standard_input_is_not_waited_for(hook_host: HookHost) -> None:
    ours, theirs = pty.openpty()
    try:
        assert lets_in(hook_host.ask(good(), stdin=theirs))
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.attack(40)
@pytest.mark.parametrize("shell", ['exec "$@" >&-', 'exec "$@" <&- >&- 2>&-', 'exec "$@" >&- 2>&-'])
def test_without_standard_output_no_file_is_taken_for_it(hook_host: HookHost, shell: str) -> None:
    ran = hook_host.run("/bin/sh", "-c", shell, "sh", paths.PRINCIPALS, *good())
    refuses(hook_host, ran, "no_verdict_folder")


@pytest.mark.attack(40)
@pytest.mark.parametrize("shell", ['ulimit -n 3; exec "$@"', 'ulimit -n 4; exec "$@"'])
def test_without_a_descriptor_to_answer_on_there_is_no_verdict(
    hook_host: HookHost, shell: str
) -> None:
    start = time.monotonic()
    ran = hook_host.run("/bin/sh", "-c", shell, "sh", paths.PRINCIPALS, *good())
    assert time.monotonic() - start < 3
    assert ran.status not in {0, None}
    assert ran.out == b""
    assert hook_host.notes() == []


@contextlib.contextmanager
def pipe_with_room(room: int) -> Iterator[int]:
    """The end to write to of a pipe that nobody reads, into which `room` bytes go."""
    reading, writing = os.pipe()
    filling = fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ) - room
    assert os.write(writing, b"x" * filling) == filling
    try:
        yield writing
    finally:
        os.close(writing)
        os.close(reading)


@pytest.mark.attack(40)
def test_a_full_pipe_is_not_waited_for(hook_host: HookHost) -> None:
    start = time.monotonic()
    with pipe_with_room(0) as writing:
        ran = hook_host.ask(good(), stdout=writing)
    assert ran.status == 1
    assert time.monotonic() - start < 3
    assert hook_host.notes() == []
    assert [line.split("code=")[1].split(" ")[0] for line in ran.logged] == [
        "allowed",
        "not_answered",
    ]


@pytest.mark.attack(40)
def test_a_line_that_is_taken_only_in_part_is_no_answer(hook_host: HookHost) -> None:
    many = tuple(f"host{number}.internal.example:{number}" for number in range(1, 250))
    service = record()
    service.forwards = many
    hook_host.set_policy(content(service))
    with pipe_with_room(4096) as writing:
        ran = hook_host.ask(good(), stdout=writing)
    assert ran.status == 1
    assert hook_host.notes() == []


def test_the_descriptor_that_it_answers_on_is_left_as_it_was(hook_host: HookHost) -> None:
    reading, writing = os.pipe()
    try:
        assert hook_host.ask(good(), stdout=writing).status == 0
        assert os.get_blocking(writing)
    finally:
        os.close(writing)
        os.close(reading)


BROKEN = """
import sys
sys.path.append("/usr/lib/amrgate/lib")
from sshd_hook import principals
def broken(arguments, now):
    raise RuntimeError("secret")
principals._run = broken
principals.main()
"""


def test_a_mistake_of_ours_is_one_line_in_the_log(hook_host: HookHost, hook_python: str) -> None:
    ran = hook_host.run(hook_python, "-IS", "-c", BROKEN, *good())
    refuses(hook_host, ran, "internal")
    assert ran.logged[0].endswith("code=internal error=RuntimeError")


def test_the_log_names_the_service_if_it_is_one(hook_host: HookHost) -> None:
    ran = hook_host.ask(arguments(certified(valid_before=1)))
    assert f" code=not_valid_now service={SERVICE} user={ALICE} serial=" in ran.logged[0]
    assert "service=" not in hook_host.ask(good("root")).logged[0]


@pytest.mark.attack(40)
def test_whoever_hung_up_gets_no_verdict(hook_host: HookHost) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert hook_host.ask(good(), stdout=writing).status != 0
    finally:
        os.close(writing)
    assert hook_host.notes() == []


# --- time and load --------------------------------------------------------------------------


def test_a_log_that_takes_nothing_ends_it_by_its_own_alarm(every_hook_host: list[HookHost]) -> None:
    """And what it may use until then is limited."""
    with ThreadPoolExecutor(len(every_hook_host)) as pool:
        for seconds, limits in pool.map(hang_at_the_log, every_hook_host):
            assert seconds < 4
            assert limits["Max cpu time"] == ["3", "3"]
            assert limits["Max address space"] == [str(256 << 20)] * 2
            assert limits["Max file size"] == [str(MAX_DECISIONS)] * 2


def hang_at_the_log(hook_host: HookHost) -> tuple[float, dict[str, list[str]]]:
    """How long it took until its alarm ended it, and the limits that it had."""
    with hook_host.deaf_log():
        start = time.monotonic()
        with subprocess.Popen(
            hook_host.command([paths.PRINCIPALS, *good()], HOOK_ID), stdout=subprocess.PIPE
        ) as hung:
            while not hook_host.note("allowed").exists():
                time.sleep(0.01)
            with open(f"/proc/{hung.pid}/limits", encoding="ascii") as file:  # noqa: PTH123
                limits = {line[:25].strip(): line[25:].split()[:2] for line in file}
            assert hung.stdout is not None
            assert hung.stdout.read() == b""
            assert hung.wait() == STOPPED
        return time.monotonic() - start, limits


def test_lower_limits_than_its_own_are_kept(hook_host: HookHost) -> None:
    shell = 'ulimit -t 2; ulimit -f 8; exec "$@"'
    assert lets_in(hook_host.run("/bin/sh", "-c", shell, "sh", paths.PRINCIPALS, *good()))


PARENT = '"$@"; exit $?'  # a shell that stays, as sshd's process of one connection does


EACH = 10  # of four kinds of questions, at the same moment


@pytest.mark.attack(58)
def test_many_at_once_are_each_answered_rightly(hook_host: HookHost) -> None:
    """A few dozen for each interpreter; `make drills DRILL=logins` has 200 at a real sshd."""
    words = {
        "in": good(),
        "mfa": arguments(certified("pwd"), GUARDED),
        "no": good(NOWHERE),
        "bad": arguments(certified(valid_before=1)),
    }
    one = {name: hook_host.ask(asked) for name, asked in words.items()}
    asked = [
        (
            name,
            subprocess.Popen(
                hook_host.command(
                    ["sh", "-c", PARENT, "sh", paths.PRINCIPALS, *words[name]], HOOK_ID
                ),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            ),
        )
        for name in [*words] * EACH
    ]
    for name, process in asked:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (one[name].status, one[name].out, b"")
    notes = [name.rpartition(".")[2] for name in hook_host.notes()]
    assert notes.count("allowed") == EACH
    assert notes.count("refused") == 2 * EACH
