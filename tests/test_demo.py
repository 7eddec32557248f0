"""The demo, whole: every step checks itself against the letter of what a person must read."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from demo.terminal import fold_command, fold_output
from machine import needs
from machine.needs import MachineError
from machine.private import PrivateMachine
from tests.hosts import wait_for

ROOT = Path(__file__).parent.parent
DEMO = (sys.executable, "-m", "demo")
FORMS = ("ssh -N -L", "scp note", "scp -O note", "sftp", "rsync note")
CHECKOUT = "/opt/amrgate"
PYTHON = f"{CHECKOUT}/.venv/bin/python"


def test_the_demo_shows_the_main_job_to_an_ordinary_user() -> None:
    """Who has less than root, whose machines all other tests use."""
    place = "mount -t tmpfs x /mnt; mkdir '/mnt/a b'; mount --rbind /opt/amrgate '/mnt/a b'"
    with PrivateMachine() as machine:  # whose alice is an ordinary user
        machine.check("sh", "-ec", place)
        command = ("sh", "-c", 'umask 0002; cd "$0"; exec "$@"', "/mnt/a b")  # as Debian 13 has it
        ran = machine.run(*command, ".venv/bin/python", "-m", "demo", user="alice", seconds=600)
        left = machine.run("pgrep", "-u", "alice").out

    assert ran.status == 0, ran.out + ran.err
    assert [int(n) for n in re.findall(r"^(\d)\. ", ran.out, re.MULTILINE)] == list(range(1, 10))
    assert ran.out.count("✓ alice is in") == 5
    assert ran.out.count("✓ refused, to the letter") == 14
    both = "Proved: password, authenticator code and single sign-on (acme) (multi-factor)."
    assert ran.out.count(both) == 2
    for form in FORMS:
        assert f"alice$ {form}" in ran.out
    assert "✓ this machine's sshd, PAM and users are untouched" in ran.out
    assert [line for line in ran.out.splitlines() if len(line.expandtabs()) > 80] == []
    assert "\033" not in ran.out, "colours are for terminals"
    assert left == ""


@pytest.mark.parametrize(
    ("changed", "root", "said"),
    [
        ("rm /etc/subuid", "/", "usermod --add-subuids 1000000-1065535"),
        ("echo alice:100000:9999 > /etc/subgid", "/", "usermod --add-subuids 1000000-1065535"),
        ("mount --bind /dev/null /usr/bin/newuidmap", "/", "--no-install-recommends uidmap\n"),
        # Whoever is in a chroot may make no user namespace (user_namespaces(7)).
        ("mount --rbind / /mnt", "/mnt", "sysctl user.max_user_namespaces=10000"),
    ],
    ids=["no range", "a small range", "no program", "the kernel"],
)
def test_what_an_ordinary_user_lacks_is_named(changed: str, root: str, said: str) -> None:
    with PrivateMachine() as machine:
        machine.check("sh", "-c", changed)
        alice = ("chroot", "--userspec=alice:alice", "--groups=", root)

        ran = machine.run(*alice, "env", "-C", CHECKOUT, PYTHON, "-m", "demo")

    assert ran.status == 1
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_a_checkout_that_only_its_owner_may_read_is_named(tmp_path: Path) -> None:
    for name in needs.READ[1:]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch() if Path(name).suffix else (tmp_path / name).mkdir()
    for closed in needs.READ:
        for name in needs.READ:
            (tmp_path / name).chmod(0o700 if name == closed else 0o755)
        with pytest.raises(MachineError, match=f"chmod -R go.rX {tmp_path}"):
            needs.check(tmp_path)
    (tmp_path / closed).chmod(0o755)
    needs.check(tmp_path)


def test_set_up_names_what_only_root_can_install() -> None:
    with PrivateMachine() as machine:
        machine.check("sed", "-i", "/^Package: wrk$/,/^$/d", "/var/lib/dpkg/status")

        ran = machine.run(f"{CHECKOUT}/scripts/setup", user="alice")

    assert ran.status == 1
    assert "only root can install them" in ran.err
    assert "\n    apt-get install --no-install-recommends wrk\n" in ran.err


def environment() -> dict[str, str]:
    """One that tells a run's processes from all others."""
    return {**os.environ, "AMRGATE_RUN": str(uuid.uuid4()), "NO_COLOR": "1", "TERM": "xterm"}


def processes_of(settings: dict[str, str]) -> list[str]:
    """The command lines of what runs with these settings: a machine's first process has them."""
    mark = f"AMRGATE_RUN={settings['AMRGATE_RUN']}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it has ended, or is no process's any more
            continue
    return found


@pytest.mark.parametrize("moment", ["", "amrgate-ca init", "amrgate-ca apply"])
def test_an_interrupt_takes_everything_down(moment: str) -> None:
    settings = environment()
    terminal, inner = pty.openpty()
    process = subprocess.Popen(
        DEMO,
        cwd=ROOT,
        env=settings,
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
    )
    os.close(inner)
    wait_for(lambda: len(processes_of(settings)) > 2)
    shown = read_until(terminal, moment)

    os.killpg(process.pid, 2)  # what a terminal does at Ctrl-C

    assert process.wait(timeout=20) == 130
    shown += read_until(terminal, "taken down")
    assert "Traceback" not in shown
    assert "\033[1" not in shown, "NO_COLOR is set"
    # A machine that was being made just then ends with the one who made it, a moment later.
    wait_for(lambda: not processes_of(settings))


def read_until(terminal: int, text: str) -> str:
    """What a terminal shows up to `text`."""
    shown = ""
    while text not in shown:
        shown += os.read(terminal, 65536).decode()
    return shown


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_what_is_too_wide_is_folded_on_purpose(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    words = ["amrgate-ca", "init", *(f"--option{number}" for number in range(20)), "it's"]

    command = fold_command([shlex.quote(word) for word in words], used=6)
    read = subprocess.check_output(("sh", "-c", f"printf '%s\n' {command}"), text=True)
    output = fold_output("\tsee " + "one two " * 20 + "http://127.0.0.1/" + "x" * 200)

    rows = command.split("\n")
    assert read.split() == words, "a shell reads what was run"
    assert len(rows[0]) + 6 <= columns
    assert max(map(len, rows + output)) <= columns
    assert output[0].startswith(" " * 8 + "see one two")
    assert output[-1].endswith("x…")
    assert fold_output("\t - as it is") == ["\t - as it is"]
