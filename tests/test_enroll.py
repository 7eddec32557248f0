"""Becoming a host: all of it or nothing, and back again to the letter."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING

import pytest

from machine.private import PYTHON
from sshd_hook import accounts, changes, paths
from sshd_hook.agent import host as agent_host
from tests.hosts import FOLDER, SERVICE, URL, Host, keygen, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

# Every file that enrolling may touch: what it is, whose, and its content.
STATE = r"""
find /etc /usr/lib/amrgate /var/lib/amrgate /srv /run/amrgate /run/systemd ! -name '*-' \
    ! -name .pwd.lock -printf '%p %y %m %U:%G %l\n' 2>/dev/null | sort
find /etc /var/lib/amrgate -type f ! -name '*-' -exec sha256sum {} + | sort -k 2
"""
EARLIER = "/etc/ssh/sshd_config.d/00-a.conf"
PASSWORDS = "Match User *\n    PasswordAuthentication yes\n"
NSSWITCH = "/etc/nsswitch.conf"
PAM = "/etc/pam.d/sshd"


def state(host: Host) -> list[str]:
    return host.machine.run("sh", "-c", STATE).out.splitlines()


def write(host: Host, path: str, text: str) -> None:
    host.machine.path(path).write_text(text)


@pytest.mark.parametrize("criterion", ["LocalPort 2222", "LocalAddress 192.0.2.1", "RDomain red"])
def test_a_block_for_one_of_the_hosts_doors_is_not_in_the_way(
    fresh_host: Host, criterion: str
) -> None:
    write(fresh_host, EARLIER, f"Match {criterion}\n    X11Forwarding no\n")

    enrolled = fresh_host.enroll()

    assert enrolled.status == 0, enrolled.err


def test_enroll_and_unenroll_leave_what_was_there_but_the_services_files(fresh_host: Host) -> None:
    before = state(fresh_host)

    enrolled = fresh_host.enroll()
    during = state(fresh_host)
    fresh_host.machine.check("touch", f"{paths.HOMES}/{SERVICE}/file")
    undone = fresh_host.machine.run(paths.SSHD_HOOK, "unenroll")
    after = state(fresh_host)

    assert (enrolled.status, undone.status) == (0, 0), enrolled.err + undone.err
    assert any(paths.SSHD_DROP_IN in line for line in during)
    assert [line for line in before if line not in after] == []
    kept = {line.split()[0] if line[0] == "/" else line.split()[1] for line in after}
    kept -= {line.split()[0] if line[0] == "/" else line.split()[1] for line in before}
    homes = f"{paths.HOMES}/{SERVICE}"
    assert kept == {paths.STATE, paths.UIDS, paths.HOMES, homes, f"{homes}/file"}
    assert accounts.parse(fresh_host.read(paths.UIDS)).gone == {SERVICE: 400_001}


def test_what_was_stopped_half_way_is_finished_the_next_time(fresh_host: Host) -> None:
    """As where a hook of a login that began before still runs: its user cannot be removed."""
    machine = fresh_host.machine
    assert fresh_host.enroll().status == 0
    as_hook = ("setpriv", f"--reuid={paths.HOOK_USER}", "--clear-groups", "sleep", "60")
    pid = machine.spawn(*as_hook, log="/dev/null")
    machine.check("rm", "-r", paths.HOMES)  # tidied up too well

    busy = fresh_host.command("unenroll")
    machine.check("kill", str(pid))
    undone = fresh_host.command("unenroll")
    again = fresh_host.command("unenroll")

    assert (busy.status, "currently used" in busy.err) == (1, True), busy.err
    assert undone.status == 0, undone.err
    assert machine.run("getent", "passwd", paths.HOOK_USER, paths.USERDB_USER).out == ""
    assert (again.status, "not enrolled" in again.err) == (1, True)


def test_the_umask_of_who_enrolls_changes_nothing(fresh_host: Host) -> None:
    words = (*PYTHON, "-m", "sshd_hook.main", *fresh_host.enrolling())

    enrolled = fresh_host.machine.run("sh", "-c", 'umask 077; exec "$@"', "sh", *words)

    assert enrolled.status == 0, enrolled.err
    ours = (paths.PROGRAMS, paths.CONFIGURATION, paths.STATE, paths.RUN)
    modes = fresh_host.machine.check("stat", "-c", "%a", *ours)
    assert modes == "755\n" * len(ours)


def test_a_host_that_comes_back_goes_on_with_its_uids(fresh_host: Host) -> None:
    other = "abcdefg123456-main--other"
    fresh_host.ca.services = (SERVICE, other)
    fresh_host.publish()
    assert fresh_host.enroll().status == 0
    first = accounts.parse(fresh_host.read(paths.UIDS)).live
    fresh_host.machine.check("touch", f"{paths.HOMES}/{SERVICE}/file")
    fresh_host.machine.check(paths.SSHD_HOOK, "unenroll")
    # Even if somebody tidied up too well: the file's owner stays its owner.
    fresh_host.machine.check("rm", paths.UIDS)
    fresh_host.ca.services = ("abcdefg123456-main--aaa", other)
    fresh_host.publish()

    assert fresh_host.enroll().status == 0

    again = accounts.parse(fresh_host.read(paths.UIDS))
    assert again.gone == {SERVICE: first[SERVICE]}
    assert first[SERVICE] not in again.live.values()


def test_sockets_that_nobody_listens_at_go_as_well(fresh_host: Host) -> None:
    assert fresh_host.enroll().status == 0
    bind = "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])"
    for path in (paths.USERDB_SOCKET, paths.USERDB_ROOT_SOCKET):
        fresh_host.machine.check("/usr/bin/python3", "-c", bind, path)

    undone = fresh_host.machine.run(paths.SSHD_HOOK, "unenroll")

    assert undone.status == 0, undone.err
    assert fresh_host.machine.check("ls", "-A", "/run/systemd/userdb") == ""


def test_a_damaged_map_of_uids_is_left_behind(fresh_host: Host) -> None:
    """As the doctor's cure for it says: unenroll, and enroll again."""
    assert fresh_host.enroll().status == 0
    first = accounts.parse(fresh_host.read(paths.UIDS)).live
    fresh_host.machine.check("touch", f"{paths.HOMES}/{SERVICE}/file")
    write(fresh_host, paths.UIDS, "damaged\n")

    undone = fresh_host.machine.run(paths.SSHD_HOOK, "unenroll")

    assert undone.status == 0, undone.err
    assert f"it is {paths.UIDS}.damaged now" in undone.out
    fresh_host.publish()
    assert fresh_host.enroll().status == 0
    assert accounts.parse(fresh_host.read(paths.UIDS)).live == first


def test_what_the_operator_configured_stays_for_the_next_time(fresh_host: Host) -> None:
    assert fresh_host.enroll().status == 0
    write(fresh_host, paths.ENTRY, "* /usr/bin/env\n")
    before = state(fresh_host)

    told = fresh_host.machine.run(paths.SSHD_HOOK, "unenroll", "--dry-run")
    assert state(fresh_host) == before
    gone, kept = told.out.split("Would keep:\n")
    assert {f"    {path}" for path in (PAM, NSSWITCH, paths.AGENT)} <= set(gone.splitlines())
    assert kept.split() == [paths.HOMES, paths.UIDS, paths.ENTRY]

    undone = fresh_host.machine.run(paths.SSHD_HOOK, "unenroll")

    assert undone.status == 0, undone.err
    assert fresh_host.machine.check("ls", paths.CONFIGURATION) == "entry\n"


def test_a_dry_run_changes_nothing_and_says_what_would(fresh_host: Host) -> None:
    before = state(fresh_host)

    enrolled = fresh_host.enroll("--dry-run")

    assert state(fresh_host) == before
    assert enrolled.status == 0
    for path in (paths.SSHD_DROP_IN, NSSWITCH, PAM, paths.HOMES, "AuthorizedPrincipalsCommand"):
        assert path in enrolled.out
    assert enrolled.out.endswith("and its host certificates;\nmake sshd read its configuration;\n")
    assert not fresh_host.machine.path(f"{FOLDER}/requests").exists()
    nothing = fresh_host.command("unenroll", "--dry-run")
    assert nothing.status == 1
    assert "this host is not enrolled: there is nothing to undo" in nothing.err


def refuse(host: Host) -> None:
    host.machine.path(f"{FOLDER}/refuse").touch()


def spoil_policy(host: Host) -> None:
    host.publish(bundle_signature="")


def spoil_answer(host: Host) -> None:
    write(host, f"{FOLDER}/joined.json", "{}")


def spoil_certificate(host: Host) -> None:
    joined = host.ca.joined() | {"host_certificates": ["ssh-../../x-cert-v01@openssh.com AAAA"]}
    write(host, f"{FOLDER}/joined.json", json.dumps(joined))


FAILURES = [
    pytest.param(refuse, "answered 403", id="the CA refuses"),
    pytest.param(spoil_answer, "missing from the CA's answer", id="the CA talks nonsense"),
    pytest.param(spoil_policy, "signature", id="the first policy is not the CA's"),
    pytest.param(spoil_certificate, "unknown type", id="a host certificate is a path"),
    pytest.param(
        lambda h: write(h, EARLIER, PASSWORDS),
        "passwordauthentication",
        id="something before our file wins",
    ),
    pytest.param(
        lambda h: write(h, "/etc/ssh/sshd_config", "UsePAM yes\n"),
        "includes",
        id="sshd does not read our file",
    ),
    pytest.param(
        lambda h: write(h, "/etc/ssh/sshd_config", "Nonsense yes\n"),
        "Nonsense",
        id="sshd's configuration is broken before",
    ),
    pytest.param(
        lambda h: write(h, "/etc/ssh/sshd_config", "UsePAM no\n"), "UsePAM", id="without PAM"
    ),
    pytest.param(
        lambda h: h.machine.check("useradd", "--badname", "backupadmin12-x--y"),
        "backupadmin12-x--y",
        id="somebody has a name that a service can have",
    ),
    pytest.param(
        lambda h: write(h, "/etc/subuid", "a:100000:400000\n"), "no range", id="no uid is free"
    ),
    pytest.param(
        lambda h: write(h, NSSWITCH, "passwd: files [!UNAVAIL=return]\n"),
        "do not resolve",
        id="the name service stops before us",
    ),
    pytest.param(lambda h: h.machine.check("rm", PAM), PAM, id="PAM has no file for sshd"),
]


@pytest.mark.parametrize(("spoil", "reason"), FAILURES)
def test_whatever_fails_all_is_as_it_was(
    fresh_host: Host, spoil: Callable[[Host], object], reason: str
) -> None:
    spoil(fresh_host)
    before = state(fresh_host)

    enrolled = fresh_host.enroll()

    assert enrolled.status == 1
    assert enrolled.err.startswith("sshd-hook: ")
    assert enrolled.err.count("\n") == 1
    assert reason in enrolled.err
    assert state(fresh_host) == before


def test_whoever_closes_the_terminal_in_between_finds_all_as_it_was(fresh_host: Host) -> None:
    """And nobody else changes anything meanwhile: they would find half of it, and it would go."""
    machine = fresh_host.machine
    answer = f"{FOLDER}/joined.json"
    machine.check("rm", answer)
    machine.check("mkfifo", answer)  # the CA is asked, and does not answer
    before = state(fresh_host)

    with machine.popen((*PYTHON, "-m", "sshd_hook.main", *fresh_host.enrolling())) as enrolling:
        wait_for(lambda: machine.path(f"{FOLDER}/requests").exists())
        others = [fresh_host.enroll(), fresh_host.command("unenroll")]
        pid = machine.check("pgrep", "-f", "sshd_hook.main enroll").split()[0]
        machine.check("sh", "-c", 'kill -HUP "$0"; kill -TERM "$0"; kill -INT "$0"', pid)
        _out, err = enrolling.communicate()

    assert (enrolling.returncode, err) == (128 + signal.SIGHUP, "")
    assert state(fresh_host) == before
    for other in others:
        assert (other.status, "runs already" in other.err) == (1, True), other
    assert not machine.path(changes.LOCK).exists()


def test_a_token_is_not_spent_where_sshd_would_object(fresh_host: Host) -> None:
    write(fresh_host, EARLIER, PASSWORDS)
    fresh_host.enroll()

    assert not fresh_host.machine.path(f"{FOLDER}/requests").exists()


def test_who_is_named_like_a_service_but_is_none_keeps_their_keys(fresh_host: Host) -> None:
    name = "backup-admin1-x--y"
    fresh_host.machine.check("useradd", "--badname", name)

    assert fresh_host.enroll().status == 0

    effective = fresh_host.machine.check("/usr/sbin/sshd", "-T", "-C", f"user={name}")
    assert "authorizedkeysfile .ssh/authorized_keys" in effective
    assert "authorizedprincipalscommand none" in effective


def test_what_the_ca_is_told(fresh_host: Host) -> None:
    """And by which token: where it is read, nobody else on the machine sees it in time to spend it."""
    words = [word if word != "join-token" else "-" for word in fresh_host.enrolling()]
    program = (*PYTHON, "-m", "sshd_hook.main")
    assert fresh_host.machine.run(*program, *words, stdin="join-token\n").status == 0

    told = fresh_host.requests()[0]
    key = fresh_host.read(f"{agent_host.KEY}.pub").decode().split()
    host_key = fresh_host.read("/etc/ssh/ssh_host_ed25519_key.pub").decode().split()
    assert told["path"] == "/hosts/enroll"
    assert told["body"] == {
        "token": "join-token",
        "name": "ssh1",
        "public_key": " ".join(key[:2]),
        "host_keys": [" ".join(host_key[:2])],
    }


def test_the_host_certificate_is_what_sshd_offers(fresh_host: Host) -> None:
    ca = fresh_host.ca.directory
    key = fresh_host.read("/etc/ssh/ssh_host_ed25519_key.pub")
    (ca / "host.pub").write_bytes(key)
    keygen("-q", "-s", ca / "other", "-h", "-I", "ssh1", "-n", "ssh.acme.example", ca / "host.pub")
    signed = (ca / "host-cert.pub").read_text()
    joined = fresh_host.ca.joined() | {"host_certificates": [signed]}
    write(fresh_host, f"{FOLDER}/joined.json", json.dumps(joined))

    assert fresh_host.enroll().status == 0

    offered = fresh_host.machine.check("/usr/sbin/sshd", "-T")
    assert re.search(f"hostcertificate {paths.CONFIGURATION}/ssh-ed25519-.*", offered)
    fresh_host.machine.spawn("/usr/sbin/sshd", "-D", log="/var/log/sshd.log")
    scan = ("sh", "-c", "sleep 0.5; ssh-keyscan -c 127.0.0.1")
    assert signed.split()[1] in fresh_host.machine.check(*scan)


def test_a_running_sshd_obeys_at_once_and_forgets_at_once(fresh_host: Host) -> None:
    fresh_host.machine.spawn("/usr/sbin/sshd", "-D", "-e", log="/var/log/sshd.log")
    fresh_host.machine.check("sh", "-c", "while ! [ -s /run/sshd.pid ]; do sleep 0.1; done")

    def methods(name: str) -> str:
        words = ("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", f"{name}@127.0.0.1")
        return fresh_host.machine.run("ssh", "-v", *words, "true").err

    assert fresh_host.enroll().status == 0
    supervisor = fresh_host.machine.spawn(paths.SSHD_HOOK, "userdb", "--supervise", log="/dev/null")
    fresh_host.machine.check("sh", "-c", f"while ! getent passwd {SERVICE}; do sleep 0.1; done")
    assert "can continue: publickey\n" in methods(SERVICE)
    assert "can continue: publickey,password" in methods("admin")

    busy = fresh_host.machine.run(paths.SSHD_HOOK, "unenroll")
    fresh_host.machine.check("kill", str(supervisor))
    fresh_host.machine.check("sh", "-c", f"while [ -e {paths.USERDB_SOCKET} ]; do sleep 0.1; done")
    undone = fresh_host.machine.run(paths.SSHD_HOOK, "unenroll")

    assert (busy.status, "stop its supervisor" in busy.err) == (1, True)
    assert undone.status == 0, undone.err
    assert "can continue: publickey,password" in methods(SERVICE)


def test_status_says_what_is_obeyed_and_since_when(fresh_host: Host) -> None:
    fresh_host.enroll()

    shown = fresh_host.machine.run(paths.SSHD_HOOK, "status")
    fresh_host.machine.check("rm", paths.FRESH)
    stale = fresh_host.machine.run(paths.SSHD_HOOK, "status")

    assert shown.status == 0
    assert "version    1\n" in shown.out
    assert "current    yes" in shown.out
    assert URL in shown.out
    assert stale.status == 1
    assert "current    no" in stale.out
