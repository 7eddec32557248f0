"""A host and the real CA, both as operators run them, in one private machine."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from machine.clients import HOST, SERVICE
from machine.private import PYTHON, PrivateMachine
from sshd_hook import bundle, paths
from tests.hosts import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
CA = (*PYTHON, "-m", "ca.ops.main")
EXAMPLE = (ROOT / "examples" / "acme.toml").read_text()
REQUIREMENT = '\n[organizations.acme.requirement]\namr = ["mfa"]\n'
WORKER = f'\n[services.{SERVICE}--queue]\nhost = "ssh.acme.example"\n'
PASSPHRASE = ("--passphrase-file", "/root/passphrase")


class World:
    """The machine with a CA in it, and an operator at its terminal."""

    def __init__(self, machine: PrivateMachine) -> None:
        self.machine = machine
        machine.check("sh", "-c", "umask 077; echo a passphrase of a test > /root/passphrase")
        where = ("--issuer", "http://127.0.0.1:8080", "--listen", "127.0.0.1:8080")
        words = ("init", *PASSPHRASE, *where, "--ssh-host", HOST)
        machine.check(*PYTHON, "-m", "tests.quick_ca", *words)
        self.apply(EXAMPLE)
        self.serve()

    def operate(self, *arguments: str) -> str:
        return self.machine.check(*CA, *arguments)

    def apply(self, text: str) -> None:
        self.machine.path("/root/acme.toml").write_text(text)
        self.operate("apply", "/root/acme.toml")

    def serve(self) -> None:
        words = ("serve", *PASSPHRASE, "--workers", "1")
        self.pid = self.machine.spawn(*CA, *words, log="/var/log/ca.log")
        wait_for(lambda: self.machine.listens(8080), 30)

    def stop_ca(self) -> None:
        self.machine.check("kill", str(self.pid))
        wait_for(lambda: not self.machine.path(f"/proc/{self.pid}/exe").exists(), 20)

    def requires(self) -> frozenset[str]:
        """What the installed bundle says that alice's login must show."""
        found = bundle.from_bytes(self.machine.path(paths.BUNDLE).read_bytes())
        record = found.service(SERVICE)
        assert record is not None
        return record.requirement.amr

    def log(self) -> str:
        return self.machine.path("/var/log/agent").read_text()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A host that joined by the very line that the operator was given; its daemons run."""
    with PrivateMachine() as machine:
        here = World(machine)
        line = here.operate("host", "token", HOST).strip()
        words = line.removeprefix("sshd-hook").split()
        machine.check(*PYTHON, "-m", "sshd_hook.main", *words, "--admin", "none")
        machine.spawn(paths.SSHD_HOOK, "userdb", "--supervise", log="/var/log/userdb")
        machine.spawn(paths.SSHD_HOOK, "agent", log="/var/log/agent")
        wait_for(lambda: "obeying" in machine.path("/var/log/agent").read_text())
        yield here


def test_the_host_has_the_cas_keys_and_a_certificate_of_its_own(world: World) -> None:
    effective = world.machine.check("/usr/sbin/sshd", "-T")
    (path,) = re.findall(r"^hostcertificate (.*)$", effective, re.MULTILINE)
    shown = world.machine.check("ssh-keygen", "-L", "-f", path)

    assert "host certificate" in shown
    assert re.search(rf"Principals: *\n *{HOST}\n *Critical", shown)
    assert world.machine.check("ssh-keygen", "-l", "-f", paths.USER_CA).count("\n") == 1
    assert "current    yes" in world.machine.check(paths.SSHD_HOOK, "status")


def test_a_change_by_the_operator_is_obeyed_within_a_second(world: World) -> None:
    seconds = []
    for text, amr in ((EXAMPLE + REQUIREMENT, {"mfa"}), (EXAMPLE, set[str]())) * 2:
        world.machine.path("/root/acme.toml").write_text(text)
        begun = time.monotonic()
        world.operate("apply", "/root/acme.toml")
        applied = time.monotonic()
        while world.requires() != amr:
            assert time.monotonic() - begun < 10
        seconds.append(time.monotonic() - applied)

    assert min(seconds) < 1, seconds


def test_a_new_service_has_an_account_as_soon_as_it_is_there(world: World) -> None:
    name = f"{SERVICE}--queue"
    shared = world.machine.check("getent", "passwd", name).split(":")[2]

    world.apply(EXAMPLE + WORKER)

    wait_for(lambda: world.machine.check("getent", "passwd", name).split(":")[2] != shared)
    home = world.machine.check("getent", "passwd", name).split(":")[5]
    assert home == f"{paths.HOMES}/{name}"
    world.apply(EXAMPLE)
    wait_for(lambda: world.machine.check("getent", "passwd", name).split(":")[2] == shared)


def test_the_operator_sees_what_the_host_obeys(world: World) -> None:
    def shown() -> tuple[int, int]:
        fields = json.loads(world.operate("host", "show", HOST, "--json"))
        return fields["obeys"], fields["current"]

    wait_for(lambda: len(set(shown())) == 1)
    status = world.machine.check(paths.SSHD_HOOK, "status")
    assert f"version    {shown()[0]}\n" in status


def test_without_its_ca_the_host_keeps_what_it_has_and_catches_up(world: World) -> None:
    before = world.machine.path(paths.BUNDLE).read_bytes()
    world.stop_ca()
    world.apply(EXAMPLE + REQUIREMENT)
    time.sleep(1)
    assert world.machine.path(paths.BUNDLE).read_bytes() == before
    assert "current    yes" in world.machine.check(paths.SSHD_HOOK, "status")

    world.serve()

    wait_for(lambda: world.requires() == {"mfa"}, 20)
    world.apply(EXAMPLE)
    wait_for(lambda: world.requires() == frozenset())


KEYS = "/var/lib/amrgate-ca/keys"
OFFLINE = f"""
set -e
cd /root
cp {KEYS}/recovery.key .
ssh-keygen -q -p -P "$(cat passphrase)" -N "" -f recovery.key
ssh-keygen -q -Y sign -f recovery.key -n amrgate-keys statement
"""


def test_a_bundle_key_that_is_lost_is_replaced_by_the_recovery_keys_word(world: World) -> None:
    """Nobody is refused meanwhile: the host goes on by what it has until it follows."""
    world.machine.check("rm", f"{KEYS}/bundle.key")
    statement = world.operate("key", "draft-recovery", *PASSPHRASE)
    world.machine.path("/root/statement").write_text(statement)
    world.machine.check("sh", "-c", OFFLINE)
    world.stop_ca()
    world.operate("key", "recover", "/root/statement")
    assert "current    yes" in world.machine.check(paths.SSHD_HOOK, "status")

    world.serve()
    world.apply(EXAMPLE + REQUIREMENT)

    wait_for(lambda: world.requires() == {"mfa"}, 30)
    key = statement.split()[-1]
    assert f"{key} now, as the recovery key says" in world.log()
    assert "the signature is not by the key" not in world.log()
    assert "current    yes" in world.machine.check(paths.SSHD_HOOK, "status")


def test_a_bundle_key_is_changed_by_its_own_word(world: World) -> None:
    world.operate("key", "rotate-bundle", *PASSPHRASE)
    world.stop_ca()
    world.serve()
    world.apply(EXAMPLE)

    wait_for(lambda: world.requires() == frozenset(), 30)
    assert "as the bundle key before it says" in world.log()


def test_a_host_that_was_removed_hears_no_more_and_says_so(world: World) -> None:
    before = world.machine.path(paths.BUNDLE).read_bytes()
    world.operate("host", "remove", HOST)

    wait_for(lambda: "answered 401" in world.log(), 60)
    assert world.machine.path(paths.BUNDLE).read_bytes() == before
