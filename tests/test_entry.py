"""A configured way into a service: sessions are inside, whatever client they use, and nobody else is."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.clients import FORMS, SERVICE
from machine.host import Service
from machine.private import PYTHON
from sshd_hook import entry, paths
from tests.containers import (
    BUILD,
    CONTAINER,
    ENTER_CONTAINER,
    RECIPES,
    ROOT,
    SECTION,
    install_engine,
    let_in,
    start_container,
)
from tests.hosts import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.host import Host
    from machine.private import Result


@pytest.fixture(params=RECIPES)
def recipe(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def inside(host: Host, recipe: str) -> Iterator[Host]:
    machine = host.machine
    if not machine.path(f"{ROOT}/home/where").exists():
        machine.check("sh", "-c", BUILD)
    if recipe == "nsenter" and not machine.path("/run/ns").exists():
        machine.check("sh", "-c", CONTAINER)
    if recipe == "exec" and not machine.path("/srv/bundle").exists():
        install_engine(machine)
    let_in(machine, recipe)
    yield host
    machine.path(paths.ENTRY).unlink()


END_REFUSED = """
import time
from sshd_hook.agent import connections
print(connections.end_refused(int(time.time())))
"""
INSIDE = [form for form in FORMS if form.name != "ssh -N -L"]  # which would stay
FILES = {"scp": "note-scp", "scp -O": "note-rcp", "sftp": "note-sftp", "rsync": "note-rsync"}


def test_every_client_is_inside(inside: Host, recipe: str) -> None:
    inside.certify("alice")
    for form in INSIDE:
        used = inside.use("alice", form)

        assert used.status == 0, (form.name, used)
        if form.name in FILES:
            file = inside.machine.path(f"{ROOT}/home/{FILES[form.name]}")
            assert file.read_text() == "a note of alice\n", form.name
            assert file.stat().st_uid == file.parent.stat().st_uid, form.name
            file.unlink()
        else:
            assert used.out.strip() in ("the-service", "root"), (form.name, used)
    where = inside.ssh("alice", "cat where; echo \"$HOME's 'a  b'\"; echo $WHERE; exit 7")
    home, kind = ("/home", "container") if recipe == "exec" else (f"/srv/amrgate/{SERVICE}", "")
    assert (where.status, where.out.splitlines()) == (7, ["inside", f"{home}'s 'a  b'", kind])
    assert inside.machine.run("ls", f"/srv/amrgate/{SERVICE}/note-scp").status != 0


def test_a_command_ends_as_it_does_elsewhere(inside: Host) -> None:
    inside.certify("alice")

    ended = inside.ssh("alice", "echo out; echo err >&2; sh -c 'kill -TERM $$'; exit $?")
    assert (ended.status, ended.out, ended.err) == (128 + 15, "out\n", "err\nTerminated\n")
    assert inside.ssh("alice", "kill -KILL $$").status in (128 + 9, 255)  # 255: sshd saw the signal
    asked = inside.ssh("alice", "--", "--version")  # what was asked for is no option of anything
    assert (asked.status, "Illegal option --" in asked.err) == (2, True)


def test_a_terminal_is_inside(inside: Host) -> None:
    inside.certify("alice")
    # A container's engine sets the size a moment after the shell has begun.
    size = "until stty size | grep -v '^0 0$'; do sleep 0.1; done"
    asked = f"test -t 0 && {size} && echo $TERM; trap 'exit 9' INT; echo ready; sleep 60 & wait"
    ssh = f"stty rows 33 cols 77; TERM=xterm-256color ssh -tt {SERVICE}@ssh.acme.example "
    words = ("script", "-qec", ssh + shlex.quote(asked), "/dev/null")
    with inside.machine.popen(words, user="alice") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        shown = [process.stdout.readline().strip() for _ in range(3)]
        process.stdin.write("\x03")
        process.stdin.flush()

        assert shown == ["33 77", "xterm-256color", "ready"]
        assert process.wait(20) == 9


def test_nothing_of_the_host_is_inside(inside: Host) -> None:
    inside.certify("alice")
    look = (
        'ls /etc /old; for fd in 3 4 5 6 7 8 9; do (eval : "<&$fd") 2>/dev/null && echo $fd; done'
    )

    seen = inside.ssh("alice", look)

    assert seen.out.split() == ["/etc:", "nsswitch.conf", "passwd", "/old:"], seen


def test_who_is_thrown_out_leaves_nothing_inside(inside: Host) -> None:
    inside.certify("alice")
    runs = ("pgrep", "-f", "^sleep 54321$")
    words = ("ssh", f"{SERVICE}@ssh.acme.example", "sleep 54321; :")
    with inside.machine.popen(words, user="alice") as process:
        wait_for(lambda: inside.machine.run(*runs).status == 0)
        inside.set_policy({SERVICE: Service(roles={})})
        ended = inside.machine.run(*PYTHON, "-c", END_REFUSED)

        assert (ended.out, process.wait(20)) == ("1\n", 255), ended
        assert inside.machine.run(*runs).status == 1


# A refusal is said before the way in is looked at, whichever that is.
@pytest.mark.parametrize("recipe", ["chroot"], indirect=True)
def test_who_was_refused_stays_refused(inside: Host) -> None:
    inside.require("mfa")
    inside.certify("bob", "pwd")
    for form in INSIDE:
        used = inside.use("bob", form)

        assert used.status in form.refused, (form.name, used)
        assert "Multi-factor authentication" in used.err
        assert used.out in ("", "sftp> put note note-sftp\n")


def test_other_services_are_where_they_were(inside: Host) -> None:
    other = "abcdefg123456-main--other"
    inside.set_policy({SERVICE: Service(), other: Service()})
    inside.certify("alice")

    assert inside.ssh("alice", "pwd", service=other).out == f"/srv/amrgate/{other}\n"
    assert inside.ssh("alice", "cat where", service=f"{SERVICE}--1").out == "inside\n"


# --- an engine's exec ------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["exec"], indirect=True)
def test_the_right_to_enter_is_no_right_to_more(inside: Host) -> None:
    """What a process of the service's on the host could try."""
    bad = (
        "LD_PRELOAD=/tmp/x.so",
        "PATH=/tmp",
        "SUDO_USER=root",
        "SUDO_UID=0",
        "SSH_TTY=/dev/pts/9",
    )

    def ran(*words: str, user: str = SERVICE) -> Result:
        opened = ("/bin/sh", "-c", 'exec 9</etc/passwd; exec /usr/bin/sudo -n "$@"', "sh")
        return inside.machine.run("env", *bad, *opened, *words, user=user)

    look = "id -u; cat /proc/1/comm; grep -c 'NoNewPrivs:.1' /proc/self/status; ls /proc/self/fd"
    uid = inside.machine.check("id", "-u", SERVICE).strip()
    entered = ran(ENTER_CONTAINER, "/bin/sh", "-c", f"{look}; env; : look_at_this")
    lines = entered.out.splitlines()
    assert lines[:7] == [uid, "sleep", "1", "0", "1", "2", "3"], entered  # 3 is of ls
    assert {line.split("=")[0] for line in lines[7:]} == {"HOME", "PATH", "PWD", "TERM", "WHERE"}
    log = inside.machine.path("/var/log/syslog").read_text()
    assert ("sudo: " in log, "look_at_this" in log) == (True, False)
    assert ran(ENTER_CONTAINER, "--user", "0:0", "/bin/sh", "-c", "id -u").out == ""
    for words in (
        ("/bin/sh",),
        ("/usr/bin/crun", "list"),
        ("-u", "admin", ENTER_CONTAINER, "id"),
        ("-E", ENTER_CONTAINER, "id"),
        ("LD_PRELOAD=/tmp/x.so", ENTER_CONTAINER, "id"),
        ("-e", ENTER_CONTAINER),
    ):
        refused = ran(*words)
        assert (refused.status, refused.out) == (1, ""), words
    assert ran(ENTER_CONTAINER, "id", user="mallory").status == 1


@pytest.mark.parametrize("recipe", ["exec"], indirect=True)
def test_a_container_that_does_not_run(inside: Host) -> None:
    machine = inside.machine
    inside.certify("alice")
    machine.check("crun", "kill", SERVICE, "KILL")
    wait_for(lambda: "stopped" in machine.check("crun", "state", SERVICE))
    try:
        for _ in ("stopped", "deleted"):
            told = inside.ssh("alice", "id")
            assert (told.status, told.out) == (126, "")
            assert told.err == "This service's container does not run now.\n"
            machine.run("crun", "delete", SERVICE)
    finally:
        start_container(machine)
    assert inside.ssh("alice", "cat where").out == "inside\n"


# --- the file is not right ------------------------------------------------------------------


def test_who_has_no_entry_can_be_kept_off_the_host(host: Host) -> None:
    (words,) = re.findall(r"`(\* /usr/sbin/nologin)`", SECTION)
    file = host.machine.path(paths.ENTRY)
    file.write_text(f"{SERVICE}  -\n{words}\n")
    other = "abcdefg123456-main--other"
    host.set_policy({SERVICE: Service(), other: Service()})
    host.certify("alice")
    try:
        kept = host.ssh("alice", "pwd", service=other)
        assert kept.out == "This account is currently not available.\n"
        assert host.admits("alice")
    finally:
        file.unlink()


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("nonsense", 0o644),
        ("", 0o644),  # as while an editor writes it, or once a full disk was in the way
        (f"{SERVICE} relative\n* -\n", 0o644),
        ("* /usr/bin/env\n", 0o666),
        (f"{SERVICE}  /usr/bin/none\n* -\n", 0o644),
        ("zyxwvut987654-*  /usr/bin/env\n", 0o644),  # whose last lines are lost
    ],
)
def test_a_file_that_is_not_right_lets_nobody_in(host: Host, text: str, mode: int) -> None:
    host.certify("alice")
    file = host.machine.path(paths.ENTRY)
    file.write_text(text)
    file.chmod(mode)
    try:
        assert not host.admits("alice")
        host.admin_login()
    finally:
        file.unlink()
    assert host.admits("alice")


def test_what_enters_knows_no_other_way(host: Host) -> None:
    """The forced command of a line that was printed before the entry was taken away."""
    program = paths.ENTER
    for words in ((SERVICE,), (), ("../x",), (SERVICE, "x")):
        ended = host.machine.run(program, *words, user="mallory")
        assert ended.status == 126
        assert ended.err.startswith("amrgate: there is no way into this service now: ")


# --- the file -------------------------------------------------------------------------------

TEXT = f"""
# comment
{SERVICE} /bin/a {{service}} x={{project}}
abcdefg123456-*  -
* /bin/b
"""


@pytest.mark.parametrize(
    ("service", "words"),
    [
        (SERVICE, ("/bin/a", SERVICE, "x=abcdefg123456")),
        ("abcdefg123456-main--other", None),
        ("zyxwvut987654-main--app", ("/bin/b",)),
    ],
)
def test_the_first_line_that_fits_counts(service: str, words: tuple[str, ...] | None) -> None:
    assert entry.find(TEXT, service) == words
    assert entry.find("", service) is None
    assert entry.programs(TEXT) == {"/bin/a", "/bin/b"}


def test_a_line_that_fits_nothing_is_found() -> None:
    text = f"{SERVICE}--1 -\nzyxwvut987654-* /bin/b\n{SERVICE}* /bin/b /c d\n{TEXT}"

    assert entry.unused(text, [SERVICE]) == [f"{SERVICE}--1", "zyxwvut987654-*"]
    assert entry.unused("* -\n", []) == []
    assert entry.arguments(text) == {"/c"}


@pytest.mark.parametrize(
    "line",
    ["*", "a*b /bin/x", "** /bin/x", "* x", "* /bin/x {user}", "* /bin/x {", "* /bin/\u00e9"],
)
def test_a_line_that_is_none_spoils_the_file_for_all(line: str) -> None:
    with pytest.raises(entry.EntryError, match="line 2"):
        entry.find(f"{SERVICE} /bin/a\n{line}\n", SERVICE)


def test_a_file_that_was_cut_short_at_any_byte_is_damaged() -> None:
    """Else those whose lines are lost would be on the host, or run half of a command."""
    assert entry.find(TEXT, SERVICE) is not None
    for length in range(1, len(TEXT)):
        with pytest.raises(entry.EntryError):
            entry.find(TEXT[:length], SERVICE)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_what_was_asked_for_is_one_word(asked: str) -> None:
    words = entry.inside(asked)

    assert words[:2] == ("/bin/sh", "-c")
    assert words[2:] in ((asked,), (entry.SFTP,))
    assert (words[2] == entry.SFTP) is (asked.split(" ", maxsplit=1)[0] in entry.SFTP_ON_THE_HOST)


def test_nothing_asked_for_is_a_shell() -> None:
    assert entry.inside(None) == ("/bin/sh", "-l")
