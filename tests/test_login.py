"""Whoever may come in notices nothing: every client works, as the service's own account."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from machine.clients import FORMS, HOST, SERVICE, Form
from machine.host import Service
from machine.people import IDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.host import Host
    from machine.private import PrivateMachine

HOME = f"/srv/amrgate/{SERVICE}"
PORT = 9001
WORDS = "behind the tunnel\n"
ENDING = [form for form in FORMS if form.name != "ssh -N -L"]


@pytest.mark.parametrize("form", ENDING, ids=lambda form: form.name)
def test_every_client_gets_in(host: Host, form: Form) -> None:
    host.require("mfa")
    host.certify("alice")

    result = host.use("alice", form)

    closed = f"Connection to {HOST} closed.\n" if form.name == "ssh -t" else ""
    assert (result.status, result.err) == (0, closed), result
    if form.name.startswith("ssh"):
        assert result.out.splitlines()[-1] == SERVICE  # after the message of the day
    else:
        name = {"scp -O": "note-rcp"}.get(form.name, f"note-{form.name}")
        copy = host.machine.check("stat", "-c", "%U %G", f"{HOME}/{name}")
        assert copy == f"{SERVICE} {SERVICE}\n"
        assert host.machine.path(f"{HOME}/{name}").read_text() == "a note of alice\n"


def test_a_session_is_the_services_account_in_its_home(host: Host) -> None:
    host.certify("alice")

    out = host.ssh("alice", "pwd; echo $HOME; echo $SHELL; id -u; id -G; stat -c '%a %U' .").out

    home, variable, shell, uid, groups, mode = out.splitlines()
    assert (home, variable, shell) == (HOME, HOME, "/bin/sh")
    assert 100_000 <= int(uid) < 524_288
    assert groups == uid
    assert mode == f"700 {SERVICE}"


@pytest.mark.parametrize("instance", ["--0", "--17"])
def test_an_instance_is_the_same_service(host: Host, instance: str) -> None:
    host.certify("alice")

    first, second = (
        host.ssh("alice", "id -u; pwd", service=name).out for name in (SERVICE, SERVICE + instance)
    )

    assert first == second != ""


def test_a_worker_is_a_service_of_its_own(host: Host) -> None:
    worker = f"{SERVICE}--queue"
    host.set_policy({SERVICE: Service(), worker: Service()})
    host.certify("alice")

    app, queue = (host.ssh("alice", "id -u", service=name).out for name in (SERVICE, worker))

    assert app
    assert queue
    assert app != queue


def test_a_uid_is_never_given_to_another_service(host: Host) -> None:
    gone = "abcdefg123456-feature-1a2b3c--app"
    host.set_policy({SERVICE: Service(), gone: Service()})
    host.certify("alice")
    before = host.ssh("alice", "id -u", service=gone).out
    host.set_policy()
    assert not host.admits("alice", gone)
    host.set_policy({SERVICE: Service(), "abcdefg123456-other-1a2b3c--app": Service()})
    other = host.ssh("alice", "id -u", service="abcdefg123456-other-1a2b3c--app").out
    host.set_policy({SERVICE: Service(), gone: Service()})

    assert host.ssh("alice", "id -u", service=gone).out == before != ""
    assert other not in ("", before)


def test_a_terminal_and_an_agent_are_there(host: Host) -> None:
    host.certify("alice")
    script = f"script -qec \"ssh -A -t {SERVICE}@{HOST} 'tty; ssh-add -l'\" /dev/null"
    words = ("ssh-agent", "sh", "-c", f"ssh-add -q ~/.ssh/id_ed25519; {script}")

    out = host.machine.run(*words, user="alice").out

    assert "/dev/pts/" in out
    assert "ED25519" in out


@pytest.fixture
def listener(machine: PrivateMachine) -> Iterator[None]:
    """Something to reach through a tunnel: it says its words on two ports of the machine."""
    program = (
        "import socketserver, sys, threading\n"
        "class Say(socketserver.BaseRequestHandler):\n"
        f"    def handle(self): self.request.sendall({WORDS.encode()!r})\n"
        "socketserver.TCPServer.allow_reuse_address = True\n"
        f"for port in ({PORT}, {PORT + 1}):\n"
        "    server = socketserver.ThreadingTCPServer(('127.0.0.1', port), Say)\n"
        "    threading.Thread(target=server.serve_forever, daemon=True).start()\n"
        "print('up', flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = machine.popen(("/usr/bin/python3", "-c", program))
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    yield
    process.communicate()


def through_tunnel(host: Host, *options: str) -> str:
    """What a connection to port 8001 hears while alice's ssh forwards it as `options` say."""
    script = (
        f"ssh -N -o ExitOnForwardFailure=yes {' '.join(options)} {SERVICE}@{HOST} & tunnel=$!\n"
        "for try in $(seq 50); do\n"
        "    kill -0 $tunnel 2>/dev/null || break\n"
        "    if exec 3<>/dev/tcp/127.0.0.1/8001; then read -r words <&3; break; fi\n"
        "    sleep 0.1\n"
        "done 2>/dev/null\n"
        'kill -KILL $tunnel 2>/dev/null; wait $tunnel; echo "$words"\n'
    )
    return host.machine.run("bash", "-c", script, user="alice").out


@pytest.mark.usefixtures("listener")
def test_forwarding_reaches_what_the_service_lists_and_nothing_else(host: Host) -> None:
    host.certify("alice")
    host.set_policy({SERVICE: Service(forwards=(f"127.0.0.1:{PORT}",))})

    assert through_tunnel(host, f"-L 8001:127.0.0.1:{PORT}") == WORDS
    assert through_tunnel(host, f"-L 8001:127.0.0.1:{PORT + 1}") == "\n"
    # Names are literal: this is the same place, but not the one that is listed.
    assert through_tunnel(host, f"-L 8001:localhost:{PORT}") == "\n"


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize(
    "option",
    [
        pytest.param(f"-L 8001:127.0.0.1:{PORT}", id="to a port that is not listed"),
        pytest.param(f"-R 8001:127.0.0.1:{PORT}", id="from the host to here"),
        pytest.param("-L 8001:/run/systemd/userdb/io.amrgate", id="to a Unix socket"),
        pytest.param("-R /tmp/here:127.0.0.1:9001", id="from a Unix socket"),
        pytest.param("-w 0:0", id="a network device"),
    ],
)
def test_no_other_forwarding_by_default(host: Host, option: str) -> None:
    host.certify("alice")

    assert through_tunnel(host, option) == "\n"
    assert not host.machine.path("/tmp/here").exists()


def test_the_network_that_a_requirement_names(host: Host) -> None:
    host.certify("alice")

    host.require("mfa", networks=("10.0.0.0/8",))
    outside = host.ssh("alice", "true")
    host.require("mfa", networks=("10.0.0.0/8", "127.0.0.0/8"))

    assert outside.status == 255
    assert "Permission denied" in outside.err
    assert host.admits("alice")


def test_a_stale_policy_lets_nobody_in(host: Host) -> None:
    host.certify("alice")

    host.set_policy({SERVICE: Service(max_offline=3600)}, age=3500)
    assert host.admits("alice")
    host.set_policy({SERVICE: Service(max_offline=3600)}, age=3700)
    assert not host.admits("alice")


def test_the_administrators_own_way_in_is_untouched(host: Host) -> None:
    assert host.admin_login() < 5
    denied = host.machine.run(
        *("ssh", "-i", "/home/mallory/.ssh/id_ed25519", "-o", "BatchMode=yes"),
        *(f"admin@{HOST}", "true"),
        user="mallory",
    )

    assert (denied.status, "Permission denied" in denied.err) == (255, True)
    assert IDS["mallory"] not in denied.err
