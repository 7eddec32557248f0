"""A revoked certificate at a real sshd: refused a moment after the operator's command."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import pytest

from machine.clients import HOST, SERVICE, ssh
from machine.private import PYTHON, PrivateMachine
from sshd_hook import paths
from sshd_hook.certificate import parse
from sshd_hook.wire import unb64
from tests.hosts import wait_for
from tests.world import (
    CERTIFY_LONG_AGO,
    DATA,
    EXAMPLE,
    MAKE_TOKEN,
    PASSPHRASE,
    PORT,
    World,
    ended,
    is_open,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with PrivateMachine() as machine:
        yield World(machine)


@pytest.mark.attack(62)
def test_what_is_revoked_is_refused_within_a_second_and_others_go_on(world: World) -> None:
    one, another, _, bob, carol = world.sessions[:5]
    everybody = [(one, 0), (one, 1), (another, 0), (bob, 0), (carol, 0)]
    assert all(world.admits(session, number) for session, number in everybody)
    key = world.machine.check("ssh-keygen", "-lf", "/home/carol/.ssh/id_ed25519.pub").split()[1]

    seconds = [
        world.revoke("certificate", "revoke", one.serials[0], "--why", "a test"),
        world.revoke("certificate", "revoke", another.handle),
        world.revoke("certificate", "revoke", key),
    ]
    still = [(session, number) for session, number in everybody if world.admits(session, number)]
    seconds.append(world.revoke("user", "revoke", "bob"))

    assert still == [(one, 1), (bob, 0)]
    assert not world.admits(bob)
    assert world.admits(one, 1)
    assert min(seconds) < 1, seconds


def test_the_operator_sees_each_decision_once_a_few_seconds_later(world: World) -> None:
    alice = world.sessions[5]
    nowhere = f"{SERVICE}--nowhere"

    def made() -> list[dict[str, str]]:
        return [one for one in world.decisions() if one["serial"] == alice.serials[0]]

    assert world.admits(alice)
    assert world.admits(alice)
    ssh(world.machine, "alice", "true", service=nowhere)

    wait_for(lambda: len(made()) >= 3, 20)
    time.sleep(4)  # a round more
    assert [(one["code"], one["service"], one["username"]) for one in made()] == [
        ("allowed", SERVICE, "alice"),
        ("allowed", SERVICE, "alice"),
        ("no_access", nowhere, "alice"),
    ]
    shown = world.operate("host", "decisions", HOST, "--user", "alice", "--code", "no_access")
    assert re.search(
        rf"\((just now|1 minute ago)\)  {HOST}  alice to {nowhere}  no_access\n", shown
    )


def test_what_is_open_ends_when_its_certificate_is_revoked(world: World) -> None:
    """Also what shares one connection, and what keeps no terminal; another login's stays."""
    revoked, kept = world.sessions[5:7]
    stays = world.open(kept)
    control = ("-o", "ControlPath=~/.ssh/control")
    master = world.open(revoked, *control, "-o", "ControlMaster=yes")
    shared = world.open(revoked, *control)
    alone = world.open(revoked)

    world.revoke("certificate", "revoke", revoked.handle)

    assert all("closed" in ended(one) for one in (master, alone))
    ended(shared)
    assert is_open(stays)
    stays.kill()
    stays.communicate(timeout=10)
    wait_for(lambda: world.log().count("ended the connection of") == 2, 20)
    assert "its certificate was revoked" in world.log()


def test_what_a_client_gave_back_leaves_open_what_is_until_something_else_ends_it(
    world: World,
) -> None:
    session = world.sessions[7]
    connection = world.open(session)
    before = world.krl()
    form = ("client_id=amrgate", f"token={session.handle}")
    words = [word for field in form for word in ("--data-urlencode", field)]
    world.machine.check("curl", "-fsS", f"http://127.0.0.1:{PORT}/oauth2/revoke", *words)
    wait_for(lambda: world.krl() != before, 20)

    assert not world.admits(session)
    time.sleep(4)  # longer than the agent waits between two looks
    assert is_open(connection)

    world.revoke("certificate", "revoke", session.serials[0])

    assert "closed" in ended(connection)


def test_what_is_open_ends_when_more_is_required_than_its_login_showed(world: World) -> None:
    connection = world.open(world.sessions[8])

    world.apply(EXAMPLE.replace("# [org", "[org").replace('# amr = ["mfa"]', 'amr = ["mfa"]'))

    assert "closed" in ended(connection)
    world.apply(EXAMPLE)
    wait_for(lambda: world.admits(world.sessions[8]), 20)


@pytest.mark.attack(153)
def test_what_is_only_reported_lets_in_and_ends_nothing_until_it_is_held(world: World) -> None:
    """The way of an organization from nothing to required, and what its operator sees of it."""
    alice = world.sessions[8]
    connection = world.open(alice)
    required = EXAMPLE + '[organizations.acme.requirement]\namr = ["mfa"]\n'
    world.apply(required + "report_only = true\n")
    wait_for(lambda: world.reports() == {"mfa"})

    assert world.admits(alice)
    assert is_open(connection)
    assert "reports    1 of 1 services" in world.machine.check(paths.SSHD_HOOK, "status")
    wait_for(lambda: world.decisions()[-1]["code"] == "report_only")
    assert world.decisions()[-1]["detail"] == "mfa"
    explained = json.loads(world.operate("host", "explain", HOST, "alice", SERVICE, "--json"))
    assert explained["outcome"] == "report_only"
    wait_for(lambda: world.known_open() == 1, 40)
    world.machine.path("/root/acme.toml").write_text(required)
    planned = world.operate("apply", "/root/acme.toml", "--dry-run")
    assert f"{HOST} would end 1 open connections, to {SERVICE}.\n" in planned

    world.operate("apply", "/root/acme.toml")
    wait_for(lambda: not world.admits(alice), 20)

    assert "closed" in ended(connection)
    refused = ssh(world.machine, "alice", "echo", "in")
    assert 'Parameters: {"amr":["mfa"]}' in refused.err
    world.operate("host", "report-only", HOST, "on")
    wait_for(lambda: world.admits(alice), 20)
    world.apply(EXAMPLE)
    wait_for(lambda: world.reports() == set())


def test_what_is_open_ends_when_its_network_is_one_no_more(world: World) -> None:
    connection = world.open(world.sessions[8])
    networks = '[organizations.acme.requirement]\nnetworks = ["{}"]\n'
    world.apply(EXAMPLE + networks.format("127.0.0.0/8"))
    wait_for(lambda: world.admits(world.sessions[8]), 20)
    time.sleep(4)  # longer than the agent waits between two looks
    assert is_open(connection)
    wait_for(lambda: world.known_open() == 1, 40)
    world.machine.path("/root/acme.toml").write_text(EXAMPLE + networks.format("192.0.2.0/24"))
    planned = world.operate("apply", "/root/acme.toml", "--dry-run")
    assert f"{HOST} would end 1 open connections, to {SERVICE}.\n" in planned

    world.operate("apply", "/root/acme.toml")

    assert "closed" in ended(connection)
    wait_for(lambda: "no access from 127.0.0.1" in world.log(), 20)
    assert not world.admits(world.sessions[8])
    world.apply(EXAMPLE)
    wait_for(lambda: world.admits(world.sessions[8]), 20)


@pytest.mark.attack(90, 91)
def test_a_service_user_gets_in_by_its_token_only_exempt_and_only_while_it_has_it(
    world: World,
) -> None:
    """By curl and ssh alone, where multi-factor logins are required; then as it was before."""
    file = EXAMPLE.replace("# [org", "[org").replace('# amr = ["mfa"]', 'amr = ["mfa"]')
    file = file.replace(
        "bob = { project", 'deploy = { production = "contributor" }\nbob = { project'
    )
    file += '\n[organizations.acme.service_users.deploy]\nname = "Deployer"\n'
    world.apply(file)
    secret = world.machine.check(*PYTHON, "-c", MAKE_TOKEN, DATA).strip()
    deployer = world.exchange(secret, "alice")

    world.use(deployer)
    refused = ssh(world.machine, "alice", "echo", "in")
    world.apply(file + "exempt = true\n")
    wait_for(lambda: world.admits(deployer), 20)
    connection = world.open(deployer)
    world.revoke("user", "revoke", "deploy")

    assert "Error: Access denied" in refused.err
    assert "User: Deployer (" in refused.err
    assert 'Parameters: {"amr":["mfa"]}' in refused.err
    assert not world.admits(deployer)
    assert "closed" in ended(connection)
    world.apply(EXAMPLE)


def test_its_certificate_is_renewed_and_nobody_is_asked_about_its_key(world: World) -> None:
    """By an agent that finds it 25 days old, of 30, when it starts."""
    path = f"{paths.CONFIGURATION}/ssh-ed25519-host-cert.pub"
    authority = world.machine.path(f"{DATA}/keys/host_ca.pub").read_text()
    world.machine.path("/home/alice/.ssh/authorities").write_text(
        f"@cert-authority {HOST} {authority}"
    )
    old = world.machine.check(*PYTHON, "-c", CERTIFY_LONG_AGO, DATA, PASSPHRASE, HOST)
    world.machine.path(path).write_text(old)
    world.machine.check("sh", "-c", "kill -HUP $(cat /run/sshd.pid)")
    serial = parse(unb64(old.split()[1]))[0].serial
    wait_for(lambda: world.host_certificate(world.sessions[8]) == serial)

    world.restart_agent()

    wait_for(lambda: world.machine.path(path).read_text() != old, 20)
    renewed = parse(unb64(world.machine.path(path).read_text().split()[1]))[0].serial
    wait_for(lambda: world.host_certificate(world.sessions[8]) == renewed, 20)
    said = world.machine.check(paths.SSHD_HOOK, "status")
    assert re.search("ssh-ed25519, (29|30) days left", said), said  # 30 for its first second


def test_a_host_hears_of_it_when_its_ca_is_back(world: World) -> None:
    alice = world.sessions[2]
    before = world.krl()
    world.stop_ca()
    world.operate("certificate", "revoke", alice.serials[0])
    assert world.krl() == before
    assert world.admits(alice), "nobody could tell the host"

    world.serve()

    wait_for(lambda: world.krl() != before, 60)
    assert not world.admits(alice)
    assert world.admits(alice, 1)
