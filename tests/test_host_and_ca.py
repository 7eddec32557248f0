"""A host and the real CA, both as operators run them, in one private machine."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import pytest

from machine.clients import HOST, SERVICE
from machine.private import PrivateMachine
from sshd_hook import paths
from tests.hosts import wait_for
from tests.world import DATA, EXAMPLE, PASSPHRASE, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.world import Session

SECRET = ("--passphrase-file", PASSPHRASE)
REQUIREMENT = '\n[organizations.acme.requirement]\namr = ["mfa"]\n'
WORKER = f'\n[services.{SERVICE}--queue]\nhost = "ssh.acme.example"\n'


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A host that joined by the very line that the operator was given; its daemons run."""
    with PrivateMachine() as machine:
        yield World(machine)


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


OFFLINE = f"""
set -e
cd /root
cp {DATA}/keys/recovery.key .
ssh-keygen -q -p -P "$(cat passphrase)" -N "" -f recovery.key
ssh-keygen -q -Y sign -f recovery.key -n amrgate-keys statement
"""


def who_gets_in(world: World, *sessions: Session) -> list[bool]:
    return [world.admits(session) for session in sessions]


def test_a_bundle_key_that_is_lost_is_replaced_by_the_recovery_keys_word(world: World) -> None:
    """Whoever the last policy let in gets in at each step, and nobody else does."""
    alice, revoked = world.sessions[:2]
    (mallory,) = world.log_in("mallory")
    people = (alice, revoked, mallory)
    world.revoke("certificate", "revoke", revoked.handle)
    assert who_gets_in(world, *people) == [True, False, False]

    world.machine.check("rm", f"{DATA}/keys/bundle.key")
    statement = world.operate("key", "draft-recovery", *SECRET)
    world.machine.path("/root/statement").write_text(statement)
    assert who_gets_in(world, *people) == [True, False, False]
    world.machine.check("sh", "-c", OFFLINE)
    world.stop_ca()
    assert who_gets_in(world, *people) == [True, False, False]
    world.operate("key", "recover", "/root/statement")
    assert "current    yes" in world.machine.check(paths.SSHD_HOOK, "status")
    world.serve()
    assert who_gets_in(world, *people) == [True, False, False]

    wait_for(lambda: f"{statement.split()[-1]} now, as the recovery key says" in world.log(), 30)
    assert who_gets_in(world, *people) == [True, False, False]
    world.apply(EXAMPLE + REQUIREMENT)
    wait_for(lambda: world.requires() == {"mfa"}, 30)
    assert not world.admits(alice)
    world.apply(EXAMPLE)
    wait_for(lambda: world.requires() == frozenset())
    assert world.admits(alice)
    world.revoke("certificate", "revoke", alice.serials[0])
    assert who_gets_in(world, *people) == [False, False, False]
    assert world.admits(alice, 1)
    assert "the signature is not by the key" not in world.log()
    assert "current    yes" in world.machine.check(paths.SSHD_HOOK, "status")


def test_a_bundle_key_is_changed_by_its_own_word(world: World) -> None:
    bob, revoked = world.sessions[3], world.sessions[1]
    world.operate("key", "rotate-bundle", *SECRET)
    world.stop_ca()
    assert who_gets_in(world, bob, revoked) == [True, False]
    world.serve()
    world.apply(EXAMPLE + REQUIREMENT)

    wait_for(lambda: world.requires() == {"mfa"}, 30)
    assert "as the bundle key before it says" in world.log()
    assert not world.admits(bob)
    world.apply(EXAMPLE)
    wait_for(lambda: world.requires() == frozenset())
    assert who_gets_in(world, bob, revoked) == [True, False]


def test_a_host_that_was_removed_hears_no_more_and_says_so(world: World) -> None:
    before = world.machine.path(paths.BUNDLE).read_bytes()
    world.operate("host", "remove", HOST)

    wait_for(lambda: "answered 401" in world.log(), 60)
    assert world.machine.path(paths.BUNDLE).read_bytes() == before
