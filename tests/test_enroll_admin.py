"""An administrator's own way in is tried by a real login, before the switch and after it."""

from __future__ import annotations

import os
import select
import subprocess
from typing import TYPE_CHECKING

import pytest

from machine.private import PYTHON, as_user
from machine.sshd import start_sshd
from sshd_hook import accounts, hostfiles, paths, ways_in
from sshd_hook.agent import host as agent_host
from tests.hosts import FOLDER, URL, Host
from tests.test_enroll import state

if TYPE_CHECKING:
    from machine.private import Result

KEY = "/home/admin/.ssh/id_ed25519"
LINE = ("enroll", "--ca", URL, "--token", "join-token", "--name", "ssh1")
# Lets nobody log in any more, but services: what enrolling must never bring about.
DENY = "account required pam_deny.so"


@pytest.fixture
def host(fresh_host: Host) -> Host:
    """A machine with an sshd that runs, and an administrator with a key."""
    machine = fresh_host.machine
    machine.check("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", KEY, user="admin")
    machine.check("cp", f"{KEY}.pub", "/home/admin/.ssh/authorized_keys", user="admin")
    start_sshd(machine)
    return fresh_host


def enroll(host: Host, *words: str) -> Result:
    return host.command(*LINE, *words)


def requests(host: Host) -> bool:
    return host.machine.path(f"{FOLDER}/requests").exists()


def test_their_key_lets_them_in_before_and_after(host: Host) -> None:
    done = enroll(host, "--admin", "admin", "--admin-key", KEY)

    assert done.status == 0, done.err
    log = host.machine.path("/var/log/sshd.log").read_text()
    assert log.count("Accepted publickey for admin") == 2


NO_WAY_IN = (
    (("--admin", "bob", "--admin-key", KEY), "bob cannot log in by ssh: "),
    (("--admin", "admin:23", "--admin-key", KEY), "Connection refused"),
    (("--admin", "admin", "--admin-key", "/none"), "admin cannot log in by ssh: "),
    (("--admin", "admin"), "admin has to log in: give --admin-key"),
    (("--admin=-oProxyCommand=x",), "is not USER"),
    ((), "say who administers this machine"),
)


def test_without_a_way_in_nothing_is_begun(host: Host) -> None:
    before = state(host)
    for words, reason in NO_WAY_IN:
        ended = enroll(host, *words)

        assert ended.status == 1
        assert reason in ended.err
        assert state(host) == before
        assert not requests(host)


def lock_out(host: Host) -> Result:
    """Enroll as if our lines did what they must not: the template of the installed code is another."""
    machine = host.machine
    machine.check("cp", "-r", "/opt/amrgate/sshd_hook", "/root/")
    lines = machine.path("/root/sshd_hook/files/pam-account")
    lines.write_text(f"{DENY}\n{lines.read_text()}")
    program = ("env", "-C", "/root", "/usr/bin/python3", "-m", "sshd_hook.main")
    ended = machine.run(*program, *LINE, "--admin", "admin", "--admin-key", KEY)
    machine.check("rm", "-r", "/root/sshd_hook")
    assert ended.status == 1
    assert "admin cannot log in by ssh" in ended.err
    assert "everything is as it was before" in ended.err
    return ended


def test_whoever_is_locked_out_by_the_switch_gets_it_undone(host: Host) -> None:
    before = state(host)

    lock_out(host)

    assert [line for line in state(host) if "sshd_hook" not in line] == before
    again = ways_in_ssh(host)
    assert again.status == 0, again.err


def test_who_would_join_anew_and_is_locked_out_has_the_old_policy_whole(host: Host) -> None:
    """Which is what logins go on by: a CA's keys without its uids would let nobody in."""
    policy = (paths.BUNDLE, paths.FRESH, paths.USER_CA, paths.REVOKED, agent_host.RECORD)
    assert enroll(host, "--admin", "none").status == 0
    before, live = [host.read(path) for path in policy], host.installed()
    host.ca.services = ("abcdefg123456-main--other",)
    host.ca.keys["user_ca"] = host.ca.keys["other"]
    host.ca.krl_version = 7
    host.publish()
    host.machine.path(f"{FOLDER}/forgotten").touch()

    lock_out(host)

    assert [host.read(path) for path in policy] == before
    assert host.installed() == live
    assert "abcdefg123456-main--other" in accounts.parse(host.read(paths.UIDS)).gone


def ways_in_ssh(host: Host) -> Result:
    options = ("-i", KEY, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no")
    return host.machine.run("ssh", *options, "admin@127.0.0.1", "true", user="admin")


def test_at_a_terminal_they_are_asked_for_and_log_in_from_elsewhere(host: Host) -> None:
    terminal, end = os.openpty()
    program = (*PYTHON, "-m", "sshd_hook.main", *LINE)
    words = (*host.machine.prefix, *as_user("root", {}), *program)
    with subprocess.Popen(words, stdin=end, stdout=end, stderr=end) as process:
        os.close(end)
        screen, logins = "", 0
        while "This is the host" not in screen:
            assert select.select([terminal], [], [], 60)[0], screen
            try:
                screen += os.read(terminal, 65536).decode()
            except OSError:
                break
            if screen.endswith("User, or none: "):
                os.write(terminal, b"admin\n")
            if screen.endswith("(within 180 s): "):
                logins += 1
                options = ("-i", KEY, "-o", "StrictHostKeyChecking=no")
                host.machine.check("ssh", *options, "admin@127.0.0.1", "sleep 0.5", user="admin")
        os.close(terminal)
        process.wait(60)

    assert process.returncode == 0, screen
    assert (logins, screen.count("seen.")) == (2, 2)
    assert hostfiles.PAM in screen


def test_others_cannot_pass_for_them(host: Host) -> None:
    """A process that is only named like a session of theirs is none."""
    fake = ("bash", "-c", "exec -a 'sshd: admin@pts/0' sleep 60")
    program = (
        "import time; from sshd_hook.ways_in import _sessions;"
        "time.sleep(1); print(list(_sessions('admin')))"
    )

    with host.machine.popen(fake, user="mallory") as faking:
        seen = host.machine.check(*PYTHON, "-c", program)
        faking.kill()

    assert seen == "[]\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", None),
        ("admin", ways_in.Administrator("admin")),
        ("admin@192.0.2.1", ways_in.Administrator("admin", "192.0.2.1")),
        ("admin:2222", ways_in.Administrator("admin", port=2222)),
        ("a@ssh.example:22", ways_in.Administrator("a", "ssh.example", 22)),
    ],
)
def test_how_they_are_named(text: str, expected: ways_in.Administrator | None) -> None:
    assert ways_in.parse(text, None) == expected


@pytest.mark.parametrize("text", ["", "-x", "a b", "a@", "@b", "a@-x", "a:", "a:x", "a@b@c"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ways_in.NoWayIn):
        ways_in.parse(text, None)
