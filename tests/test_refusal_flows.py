"""Whoever may not come in reads why, on every client, to the letter, and is disconnected."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from machine.clients import FORMS, SERVICE, Form
from machine.host import Service
from machine.people import IDS, PASSWORD_ONLY, TWO_FACTORS, extensions
from sshd_hook.policy import CONTRIBUTOR, VIEWER, Requirement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from machine.host import Host
    from machine.private import Result

NOWHERE = "zzzzzzz999999-main-bvxea6i--app"
CLIENTS_OWN = re.compile(
    r"Connection (to \S+ )?closed( by \S+ port \d+)?\.?|scp: Connection closed|lost connection"
    r"|rsync: connection unexpectedly closed \(0 bytes received so far\) \[sender\]"
    r"|rsync error: .* at io\.c\(\d+\) \[sender=[\d.]+\]"
)


def denied(parameters: str, *details: str, service: str = SERVICE) -> str:
    lines = "".join(f"\t - {detail}\n" for detail in details)
    return (
        "Error: Access denied\n"
        f"Service: {service}\n"
        f"User: Alice ({IDS['alice']})\n"
        f"Parameters: {parameters}\n"
        "Detail: Additional authentication is required:\n"
        f"{lines}"
    )


def no_access(service: str = SERVICE) -> str:
    return (
        "Error: The service doesn't exist or you do not have access to it.\n"
        f"Service: {service}\n"
        f"User: Alice ({IDS['alice']})\n"
    )


MFA = "Multi-factor authentication (MFA)"


@dataclass(frozen=True)
class Case:
    """What is required, how alice had logged in (`age` seconds ago), and what she reads."""

    name: str
    text: str
    amr: str = ""
    max_age: int | None = None
    login: str = TWO_FACTORS
    age: int = 0
    via: str = ""
    service: str = SERVICE
    roles: Mapping[str, int] = field(default_factory=lambda: {"alice": CONTRIBUTOR})


CASES = (
    Case("no role", no_access(), roles={"bob": CONTRIBUTOR}),
    Case("too low a role", no_access(), roles={"alice": VIEWER}),
    Case("no such service", no_access(NOWHERE), service=NOWHERE),
    Case("no mfa", denied('{"amr":["mfa"]}', MFA), amr="mfa", login=PASSWORD_ONLY),
    Case(
        "neither mfa nor sign-on",
        denied('{"amr":["mfa","sso:acme"]}', MFA, 'Single sign-on (SSO), provider: "acme"'),
        amr="mfa,sso:acme",
        login=PASSWORD_ONLY,
    ),
    Case(
        "too long ago",
        denied('{"amr":["mfa"],"max_age":5400}', "More recent authentication (within 90 minutes)"),
        amr="mfa",
        max_age=5400,
        age=5500,
    ),
    Case(
        "by device code",
        denied('{"amr":["mfa"]}', "A login in a browser on this device"),
        amr="mfa",
        via="device",
    ),
    Case(
        "an instance, as it was asked for",
        denied('{"amr":["mfa"]}', MFA, service=f"{SERVICE}--3"),
        amr="mfa",
        login=PASSWORD_ONLY,
        service=f"{SERVICE}--3",
    ),
)


def prepare(host: Host, case: Case) -> None:
    amr = frozenset(case.amr.split(",")) if case.amr else frozenset()
    requirement = Requirement(amr, case.max_age)
    host.set_policy({SERVICE: Service(requirement, case.roles)})
    host.certify(
        "alice", extensions=extensions("alice", case.login, int(time.time()) - case.age, case.via)
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_every_client_is_refused_with_the_text(host: Host, form: Form, case: Case) -> None:
    prepare(host, case)

    result = host.use("alice", form, case.service)

    assert result.status in form.refused, result
    assert result.out == ""
    assert result.err.startswith(case.text), result.err
    for line in result.err.removeprefix(case.text).splitlines():
        assert CLIENTS_OWN.fullmatch(line), line


def test_nobody_can_find_out_which_services_exist(host: Host) -> None:
    """Not by the words, nor by what else the client shows, nor by its exit status."""
    host.set_policy({SERVICE: Service(roles={"bob": CONTRIBUTOR})})
    host.certify("alice")

    answers = [
        [shown(host.use("alice", form, service), service) for form in FORMS]
        for service in (SERVICE, NOWHERE, f"{SERVICE}--9")
    ]

    assert answers[0] == answers[1] == answers[2]


def shown(result: Result, service: str) -> tuple[str, str, str]:
    """All that a client shows, but for the name, the port, and what rsync makes of ssh's status."""
    err = re.sub(r"port \d+", "port N", result.err.replace(service, "SERVICE"))
    err = re.sub(r"rsync error: .*", "rsync error", err)
    status = "rsync's" if "rsync error" in err else str(result.status)
    return status, result.out, err


def test_a_name_that_may_not_be_shown_is_the_user_id(host: Host) -> None:
    host.require("mfa")
    evil = dict(extensions("alice", PASSWORD_ONLY, int(time.time())))
    name = b"A\x1b[2Jlice"
    evil["name@amrgate"] = len(name).to_bytes(4, "big") + name
    host.certify("alice", extensions=tuple(sorted(evil.items())))

    err = host.ssh("alice", "true").err

    assert f"\nUser: {IDS['alice']} ({IDS['alice']})\n" in err
    assert "\x1b" not in err


def test_a_name_of_another_script_is_shown_as_it_is(host: Host) -> None:
    host.require("mfa")
    fields = dict(extensions("alice", PASSWORD_ONLY, int(time.time())))
    name = "Zoë 山田".encode()
    fields["name@amrgate"] = len(name).to_bytes(4, "big") + name
    host.certify("alice", extensions=tuple(sorted(fields.items())))

    assert f"\nUser: Zoë 山田 ({IDS['alice']})\n" in host.ssh("alice", "true").err


def test_quiet_clients_show_nothing(host: Host) -> None:
    """Documented: the text is a banner, which `-q` and `LogLevel ERROR` hide."""
    host.require("mfa")
    host.certify("alice", PASSWORD_ONLY)

    result = host.machine.run("ssh", "-q", f"{SERVICE}@ssh.acme.example", "true", user="alice")

    assert (result.status, result.err) == (255, "")


@pytest.mark.parametrize("form", FORMS[:3], ids=lambda form: form.name)
def test_without_pam_the_forced_command_still_refuses(host: Host, form: Form) -> None:
    """The last line of defence, where an upgrade took our lines out of /etc/pam.d/sshd."""
    host.require("mfa")
    host.certify("alice", PASSWORD_ONLY)
    pam = host.machine.path("/etc/pam.d/sshd")
    lines = pam.read_text()
    pam.write_text(re.sub(r"(?m)^.*(amrgate|pam_succeed_if).*\n", "", lines))
    try:
        result = host.use("alice", form)
    finally:
        pam.write_text(lines)

    shown = (result.out + result.err).replace("\r\n", "\n")
    assert denied('{"amr":["mfa"]}', MFA) in shown
    assert result.status == 1
    assert SERVICE not in result.out.replace(f"Service: {SERVICE}", "")
