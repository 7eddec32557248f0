"""What a colleague with a shell on the host can do to others: nothing."""

from __future__ import annotations

import base64
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from machine.clients import FORMS, HOST, SERVICE, Form
from machine.host import Service
from machine.people import PASSWORD_ONLY
from sshd_hook.policy import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.host import Host

OTHER = "abcdefg123456-main-bvxea6i--other"
MARK = "/tmp/planted-code-ran"


@pytest.fixture
def two(host: Host) -> Iterator[str]:
    """alice has a session on one service, bob a file and a process on the other: its id."""
    host.set_policy({SERVICE: Service(), OTHER: Service()})
    for person in ("alice", "bob"):
        host.certify(person)
    command = "umask 077; echo secret > mine; echo $$; exec sleep 60"
    with host.machine.popen(("ssh", f"{OTHER}@{HOST}", command), user="bob") as session:
        assert session.stdout is not None
        pid = session.stdout.readline().strip()
        yield pid
        host.machine.check("kill", "-KILL", pid)
        session.communicate()


@pytest.mark.parametrize(
    "attempt",
    [
        pytest.param("kill -TERM {pid}", id="signal"),
        pytest.param("kill -STOP {pid}", id="stop"),
        pytest.param("strace -p {pid} -o /dev/null -e none", id="trace"),
        pytest.param("cat /proc/{pid}/environ", id="environment"),
        pytest.param("head -c 1 /proc/{pid}/mem", id="memory"),
        pytest.param("ls /proc/{pid}/fd", id="descriptors"),
        pytest.param("cat /proc/{pid}/root/srv/amrgate/{other}/mine", id="through its root"),
        pytest.param("cat /srv/amrgate/{other}/mine", id="read"),
        pytest.param("ls /srv/amrgate/{other}", id="list"),
        pytest.param("echo x > /srv/amrgate/{other}/new", id="write"),
        pytest.param("ls /srv/amrgate", id="who else is here"),
        pytest.param("touch /srv/amrgate/new", id="a home of one's own making"),
        pytest.param("cat /var/lib/amrgate/policy/bundle", id="the policy"),
        pytest.param("ls /var/lib/amrgate/policy", id="the policy's folder"),
        pytest.param("cat /var/lib/amrgate/uids", id="the map of uids"),
        pytest.param("ls /var/lib/amrgate/agent", id="the agent's keys"),
        pytest.param("ls /run/amrgate/verdict", id="the verdicts"),
        pytest.param("touch /run/amrgate/verdict/1.1.allowed", id="a verdict"),
        pytest.param("mv /run/amrgate/verdict /run/amrgate/old", id="the verdicts' folder"),
        pytest.param("rm /run/systemd/userdb/io.amrgate", id="the user database"),
        pytest.param("touch /usr/lib/amrgate/lib/json.py", id="the hook's library"),
        pytest.param("pkill -u amrgate-userdb", id="kill the user database"),
    ],
)
def test_one_service_cannot_touch_another_or_the_host(host: Host, two: str, attempt: str) -> None:
    command = attempt.format(pid=two, other=OTHER)

    # The shell's builtins end it, and ssh then has their status: so a status of its own.
    result = host.ssh("alice", f"({command}); echo status $?")

    assert result.status == 0, "the session itself works"
    assert "secret" not in result.out
    assert "status 0" not in result.out, result
    assert host.machine.run("kill", "-0", two).status == 0


@pytest.mark.attack(57)
def test_a_colleague_cannot_stop_kill_or_trace_the_hook(host: Host) -> None:
    """He waits for it in a loop while others log in; it runs as a user that he is not."""
    host.certify("alice")
    host.certify("bob")
    loop = (
        "end=$(($(date +%s) + 5)); while [ $(date +%s) -lt $end ]; do"
        " for p in $(pgrep -u amrgate-hook); do echo seen;"
        " kill -STOP $p 2>/dev/null && echo hit;"
        " kill -KILL $p 2>/dev/null && echo hit;"
        " timeout 1 strace -p $p -o /dev/null 2>/dev/null && echo hit; done; done"
    )
    with host.machine.popen(("ssh", f"{SERVICE}@{HOST}", loop), user="alice") as attacker:
        admitted = [host.admits("bob") for _ in range(6)]
        out, _ = attacker.communicate()

    assert admitted == [True] * 6
    assert "seen" in out
    assert "hit" not in out


PLANTED = {
    "none": "{user}\n",
    ".ssh/rc": f"touch {MARK}\n",
    ".ssh/authorized_keys": 'cert-authority,principals="{user}" {authority}\n{key}\n',
    ".ssh/environment": f"LD_PRELOAD=/tmp/evil.so\nBASH_ENV={MARK}\n",
    ".bashrc": f"touch {MARK}\necho planted\n",
    ".bash_profile": f"touch {MARK}\necho planted\n",
    ".profile": f"touch {MARK}\necho planted\n",
    ".shrc": f"touch {MARK}\necho planted\n",
    ".pam_environment": "LD_PRELOAD=/tmp/evil.so\n",
    ".config/environment": f"BASH_ENV={MARK}\n",
    ".hushlogin": "",
}


@contextmanager
def planted(host: Host) -> Iterator[None]:
    """bob, who may come in, leaves files in the service's home for alice, who then may not."""
    home = f"/srv/amrgate/{SERVICE}"
    values = {
        "user": host.draft("alice").key_id,
        "authority": host.authority.line,
        "key": host.machine.path("/home/alice/.ssh/id_ed25519.pub").read_text(),
    }
    host.certify("bob")
    files = {
        name: base64.b64encode(text.format(**values).encode()) for name, text in PLANTED.items()
    }
    script = "".join(
        f"mkdir -p $(dirname {name}); echo {data.decode()} | base64 -d > {name}; chmod 600 {name}\n"
        for name, data in files.items()
    )
    host.machine.check("ssh", f"{SERVICE}@{HOST}", script, user="bob")
    try:
        yield
    finally:
        host.machine.check(
            "sh", "-c", f"cd {home} && rm -rf {' '.join(PLANTED)} .ssh .config {MARK}"
        )


@pytest.mark.attack(197)
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_planted_files_run_in_no_refusal(host: Host, form: Form) -> None:
    with planted(host):
        host.set_policy({SERVICE: Service(Requirement(frozenset({"mfa"})))})
        host.certify("alice", PASSWORD_ONLY)

        result = host.use("alice", form)

        assert result.status in form.refused
        assert "Multi-factor authentication (MFA)" in result.err
        assert "planted" not in result.out + result.err
        assert not host.machine.path(MARK).exists()


@pytest.mark.attack(197)
def test_planted_files_run_in_no_refusal_without_pam_either(host: Host) -> None:
    """Then the forced command refuses, run by the account's shell, which must not read them."""
    with planted(host):
        host.require("mfa")
        host.certify("alice", PASSWORD_ONLY)
        with without_pam(host):
            results = [host.use("alice", form) for form in FORMS[:3]]

        assert [result.status for result in results] == [1, 1, 1]
        assert not any("planted" in result.out + result.err for result in results)
        assert not host.machine.path(MARK).exists()


@contextmanager
def without_pam(host: Host) -> Iterator[None]:
    """As after an upgrade that took our lines out."""
    pam = host.machine.path("/etc/pam.d/sshd")
    lines = pam.read_text()
    kept = [
        line for line in lines.splitlines() if "amrgate" not in line and "succeed_if" not in line
    ]
    pam.write_text("\n".join(kept) + "\n")
    try:
        yield
    finally:
        pam.write_text(lines)


@pytest.mark.attack(197)
def test_a_planted_key_opens_nothing(host: Host) -> None:
    """Neither by itself, nor after a verdict that somebody else's certificate left."""
    with planted(host):
        host.set_policy({SERVICE: Service(Requirement(frozenset({"mfa"})))})
        plain = ("-o", "CertificateFile=none", "-o", "IdentityFile=~/.ssh/id_ed25519")

        result = host.machine.run(
            "ssh", "-F", "none", *plain, f"{SERVICE}@{HOST}", "true", user="alice"
        )

        assert result.status == 255
        assert "Permission denied" in result.err
