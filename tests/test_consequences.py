"""Before a switch: who would be locked out, and what would be ended on which host."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ca import settings
from ca.store import people
from ca.store.engine import writing
from tests.databases import new_sqlite
from tests.directory import ACME, SERVICE, Api, apply_text, log_in, records, version
from tests.host_client import ELSEWHERE, NAME, HostClient
from tests.operating import Ca
from tests.web import new_services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ca.services import Services

HERE = "/organizations/acme/mfa-enforcement"
REQUIRED = '\n[organizations.acme.requirement]\namr = ["mfa"]\n'
REPORTED = REQUIRED + "report_only = true\n"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A service on SQLite, its settings where the operator's commands find them."""
    data = tmp_path_factory.mktemp("consequences")
    with new_services(new_sqlite(data), data) as services:
        apply_text(services.engine, ACME)
        (data / settings.SETTINGS_FILE).write_text(settings.render(services.settings))
        with writing(services.engine) as connection:
            for name in ("alice", "bob", "carol"):
                user = people.find_user_by_name(connection, name)
                assert user
                people.put_password(connection, user.id, "unused", 1)
            bob = people.find_user_by_name(connection, "bob")
            assert bob
            people.add_totp(connection, bob.id, b"", 0, 1)
        yield services


@pytest.fixture(scope="module")
def host(shop: Services) -> HostClient:
    return HostClient(shop)


@pytest.fixture
def people_in(shop: Services) -> dict[str, Api]:
    """Who is logged in, each once: carol by a password alone."""
    apply_text(shop.engine, ACME)
    return {
        "weak": log_in(shop, "carol", "pwd"),
        "strong": log_in(shop, "alice", "pwd", "otp"),
        "old": log_in(shop, "alice", "pwd", "otp", ago=7200),
        "admin": log_in(shop, "bob", "pwd", "otp"),
    }


def tell(
    host: HostClient, *connections: tuple[str, Api, int], token: str = "", address: str = ""
) -> Any:
    found = [
        {
            "service": service,
            "session": who.session.handle,
            "address": address,
            "connections": count,
        }
        for service, who, count in connections
    ]
    return host.http.put(
        f"/hosts/{host.joined['id']}/connections",
        json={"connections": found},
        headers={"authorization": f"Bearer {token or host.joined['token']}"},
    )


def ended(admin: Api, **terms: Any) -> tuple[int, dict[str, int]]:
    """How many connections the preview says would be ended, in all and by host."""
    found = admin.http.get(f"{HERE}/preview", params=terms).json()
    return found["connections"], {one["host"]: one["connections"] for one in found["hosts"]}


@pytest.mark.attack(152, 153)
def test_an_admin_is_told_how_many_connections_each_host_would_end(
    host: HostClient, people_in: dict[str, Api]
) -> None:
    weak, strong, old, admin = people_in.values()
    answer = tell(host, (SERVICE, weak, 3), (SERVICE, strong, 2), (SERVICE, old, 1))

    assert answer.status_code == 204
    assert ended(admin) == (3, {NAME: 3})
    # What is open may grow older than a new login may be.
    assert ended(admin, max_age=3600) == (3, {NAME: 3})
    (shown,) = admin.get(f"{HERE}/preview").json()["hosts"]
    assert shown["services"] == 1
    assert shown["heard_at"] is not None
    tell(host)
    assert ended(admin) == (0, {NAME: 0})


def test_a_report_is_made_with_the_same_preview(
    shop: Services, host: HostClient, people_in: dict[str, Api]
) -> None:
    tell(host, (SERVICE, people_in["weak"], 3))
    apply_text(shop.engine, ACME + REPORTED)

    assert ended(people_in["admin"]) == (3, {NAME: 3})
    apply_text(shop.engine, ACME + REQUIRED)
    assert ended(people_in["admin"]) == (0, {NAME: 0})  # they are refused as it is


def test_a_host_speaks_of_its_own_services_alone(
    shop: Services, host: HostClient, people_in: dict[str, Api]
) -> None:
    weak, admin = people_in["weak"], people_in["admin"]
    elsewhere = ELSEWHERE.replace("mallory", "carol")
    apply_text(shop.engine, ACME + elsewhere)

    assert tell(host, ("zyxwvut987654-main--app", weak, 9)).status_code == 204
    assert ended(admin)[0] == 0
    apply_text(
        shop.engine,
        ACME
        + elsewhere.replace("ssh2.acme", "ssh.acme", 2).replace('[hosts."ssh.acme.example"]', ""),
    )
    assert ended(admin)[0] == 9
    assert tell(host, (SERVICE, weak, 5), token="another's").status_code == 401
    assert ended(admin)[0] == 9


@pytest.mark.parametrize(
    "wrong",
    [
        {"service": SERVICE, "session": "x", "connections": 1},
        {"service": "a b", "session": "5c0e7c2e-8f4b-4c8e-9d3a-0b1a2c3d4e5f", "connections": 1},
        {"service": SERVICE, "session": "5c0e7c2e-8f4b-4c8e-9d3a-0b1a2c3d4e5f", "connections": 0},
        {"service": SERVICE, "session": "5c0e7c2e-8f4b-4c8e-9d3a-0b1a2c3d4e5f"},
        {
            "service": SERVICE,
            "session": "5c0e7c2e-8f4b-4c8e-9d3a-0b1a2c3d4e5f",
            "address": "a host",
            "connections": 1,
        },
    ],
    ids=["no handle", "no service", "none", "uncounted", "no address"],
)
def test_what_is_no_census_is_refused(host: HostClient, wrong: dict[str, Any]) -> None:
    answer = host.http.put(
        f"/hosts/{host.joined['id']}/connections",
        json={"connections": [wrong]},
        headers={"authorization": f"Bearer {host.joined['token']}"},
    )

    assert answer.status_code == 400


def test_a_dry_run_says_whom_a_file_would_meet_and_changes_nothing(
    shop: Services, host: HostClient, people_in: dict[str, Api], tmp_path: Path
) -> None:
    tell(host, (SERVICE, people_in["weak"], 3), (SERVICE, people_in["strong"], 2))
    ca, file = Ca(shop.settings.data, shop.engine), tmp_path / "acme.toml"
    before = version(shop.engine), records(shop.engine)

    file.write_text(ACME + REQUIRED)
    required = ca.check("apply", file, "--dry-run")
    file.write_text(ACME + REPORTED)
    reported = ca.check("apply", file, "--dry-run")
    file.write_text(ACME.replace("carol = { production", "# carol = { production"))
    roleless = ca.check("apply", file, "--dry-run")

    assert "acme locks out, until they have what it requires: alice, carol.\n" in required
    assert "Live sessions that would not do any more: " in required
    assert f"{NAME} would end 3 open connections, to {SERVICE}.\n" in required
    assert "1 to add, 0 to change" in reported
    assert "would" not in reported
    assert "locks out" not in reported
    assert f"{NAME} would end 3 open connections, to {SERVICE}.\n" in roleless
    assert (version(shop.engine), records(shop.engine)) == before


@pytest.mark.parametrize(
    ("address", "told"),
    [("192.0.2.9", ""), ("198.51.100.1", f"{NAME} would end 3 open connections, to {SERVICE}.\n")],
)
def test_a_dry_run_counts_connections_from_networks_that_go(  # noqa: PLR0913, PLR0917 -- fixtures
    shop: Services,
    host: HostClient,
    people_in: dict[str, Api],
    tmp_path: Path,
    address: str,
    told: str,
) -> None:
    tell(host, (SERVICE, people_in["weak"], 3), address=address)
    ca, file = Ca(shop.settings.data, shop.engine), tmp_path / "acme.toml"
    file.write_text(ACME + '\n[organizations.acme.requirement]\nnetworks = ["192.0.2.0/24"]\n')

    assert ca.check("apply", file, "--dry-run").partition("remove.\n")[2] == told


ROLE = '{ production = "contributor" }'
PROGRAMS = (
    ACME.replace("carol = { prod", f"deploy = {ROLE}\nbackup = {ROLE}\ncarol = {{ prod")
    + """
[organizations.acme.service_users]
deploy = { name = "Deployer" }
backup = { name = "Backup", exempt = true }
idle = { name = "Idle" }
"""
)
NEEDS = "would lock out, until they have what is required"


@pytest.mark.parametrize(
    "requirement",
    [
        '\n[projects.abcdefg123456.requirement]\namr = ["mfa"]\n',
        f'\n[services.{SERVICE}.requirement]\namr = ["mfa"]\n',
    ],
    ids=["of a project", "of a service"],
)
def test_a_dry_run_says_who_would_be_locked_out_of_which_host(
    shop: Services, people_in: dict[str, Api], tmp_path: Path, requirement: str
) -> None:
    del people_in
    ca, file = Ca(shop.settings.data, shop.engine), tmp_path / "acme.toml"

    file.write_text(ACME + requirement)
    required = ca.check("apply", file, "--dry-run")
    file.write_text(ACME + requirement + "report_only = true\n")
    reported = ca.check("apply", file, "--dry-run")

    assert f"{NAME} {NEEDS}: alice, carol.\n" in required  # bob has a factor, and no such role
    assert NEEDS not in reported


def test_service_users_are_kept_out_unless_they_are_exempt(
    shop: Services, people_in: dict[str, Api], tmp_path: Path
) -> None:
    """They can never show anything. Who has no role reaches nothing as it is."""
    del people_in
    ca, file = Ca(shop.settings.data, shop.engine), tmp_path / "acme.toml"
    apply_text(shop.engine, PROGRAMS)

    file.write_text(PROGRAMS + REQUIRED)
    required = ca.check("apply", file, "--dry-run")
    file.write_text(PROGRAMS + REPORTED)
    reported = ca.check("apply", file, "--dry-run")

    assert "acme locks out service users, unless they are exempt: deploy.\n" in required
    assert "service users" not in reported


def test_before_a_host_reports_no_more_it_is_told_who_is_met(
    shop: Services, host: HostClient, people_in: dict[str, Api]
) -> None:
    ca = Ca(shop.settings.data, shop.engine)
    program = ACME + '\n[organizations.acme.service_users.deploy]\nname = "Deployer"\n'
    program = program.replace(
        "carol = { prod", 'deploy = { production = "contributor" }\ncarol = { prod'
    )
    apply_text(shop.engine, program + REQUIRED)
    ca.check("host", "report-only", NAME, "on")
    tell(host, (SERVICE, people_in["weak"], 3), (SERVICE, people_in["strong"], 2))
    before = version(shop.engine), records(shop.engine)

    off = ca.check("host", "report-only", NAME, "off", "--dry-run")
    on = ca.check("host", "report-only", NAME, "on", "--dry-run")

    assert off == (
        f"{NAME} {NEEDS}: alice, carol, deploy.\n"
        f"{NAME} would end 3 open connections, to {SERVICE}.\n"
    )
    assert on == "It would lock nobody out, and end no open connection.\n"
    assert (version(shop.engine), records(shop.engine)) == before
    assert "There is no host 'x'" in ca.error("host", "report-only", "x", "off", "--dry-run")
    refused, shown = at_terminal(ca, "host", "report-only", NAME, "off", typed="n\n")
    assert (refused, version(shop.engine)) == (1, before[0])
    assert shown.startswith(off.partition("\n")[0])
    assert shown.endswith("Hold it against everybody now? [Y/n]: Aborted!\n")
    script = ca.run("host", "report-only", NAME, "off")
    assert script.stderr == off
    assert script.stdout == f"{NAME} holds what is required against everybody.\n"


def test_applying_says_it_first_and_asks_at_a_terminal(
    shop: Services, people_in: dict[str, Api], tmp_path: Path
) -> None:
    del people_in
    ca, file = Ca(shop.settings.data, shop.engine), tmp_path / "acme.toml"
    file.write_text(ACME + REQUIRED)
    before = version(shop.engine)

    refused, shown = at_terminal(ca, "apply", file, typed="n\n")
    assert (refused, version(shop.engine)) == (1, before)
    assert "acme locks out, until they have what it requires: alice, carol.\n" in shown
    assert "1 to add, 0 to change, 0 to remove.\n" in shown
    assert shown.endswith("Apply it now? [Y/n]: Aborted!\n")
    agreed, shown = at_terminal(ca, "apply", file, typed="y\n")
    assert (agreed, shown.rpartition("]: ")[2].splitlines()[-1]) == (
        0,
        "1 added, 0 changed, 0 removed.",
    )

    file.write_text(ACME.replace("carol = { production", "# carol = { production"))
    done = ca.run("apply", file)  # no terminal: a script
    assert "- access abcdefg123456 carol production\n" in done.stderr
    assert done.stdout.endswith("0 added, 0 changed, 2 removed.\n")
    file.write_text(ACME.replace("alice = { prod", "# alice = { prod"))
    agreed, shown = at_terminal(ca, "apply", file, "--yes")
    assert (agreed, "Apply it now?" in shown) == (0, False)


def test_nothing_is_applied_that_was_not_agreed_to(shop: Services, tmp_path: Path) -> None:
    apply_text(shop.engine, ACME)
    ca, file = Ca(shop.settings.data, shop.engine), tmp_path / "acme.toml"
    file.write_text(ACME + REQUIRED)
    theirs = ACME.replace("alice = { prod", "# alice = { prod") + REPORTED

    status, shown = at_terminal(
        ca, "apply", file, typed="y\n", meanwhile=lambda: apply_text(shop.engine, theirs)
    )

    assert status == 1
    assert "Somebody changed the directory meanwhile" in shown
    assert "1 to change" in ca.check("apply", file, "--dry-run"), "theirs is what is there"


def at_terminal(
    ca: Ca, *words: str | Path, typed: str = "", meanwhile: Callable[[], object] = lambda: None
) -> tuple[int, str]:
    """Run a command at a terminal; the status, and what was shown but not what was typed.

    `meanwhile` happens between the question and the answer.
    """
    ours, theirs = os.openpty()
    no_echo = termios.tcgetattr(theirs)
    no_echo[3] &= ~termios.ECHO
    termios.tcsetattr(theirs, termios.TCSANOW, no_echo)
    program = Path(sys.executable).parent / "amrgate-ca"
    command: list[str | Path] = [program, *words, "--data", ca.data]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = ""
    with contextlib.suppress(OSError):  # EIO: the command has ended
        while True:
            shown += os.read(ours, 65536).decode()
            if typed and shown.endswith("]: "):
                meanwhile()
                os.write(ours, typed.encode())
                typed = ""
    os.close(ours)
    return process.wait(60), re.sub(r"\x1b\[\d*m|\r", "", shown)


def test_a_dry_run_refuses_what_applying_would(shop: Services, tmp_path: Path) -> None:
    """Nobody would be left who can log in as it is required."""
    ca, file = Ca(shop.settings.data, shop.engine), tmp_path / "acme.toml"
    file.write_text(
        (ACME + REQUIRED)
        .replace('bob = "admin"', 'alice = "admin"', 1)
        .replace('alice = "viewer", ', "", 1)
    )

    dry, wet = ca.error("apply", file, "--dry-run"), ca.error("apply", file)

    assert dry == wet
