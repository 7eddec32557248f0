"""More than the login proves: what hosts ask for by their refusal, and the way through it."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ca.client import stepup
from machine.sshd import KEY_EXCHANGE
from sshd_hook.policy import CONTRIBUTOR, Access, Claims, Requirement, decide
from sshd_hook.refusal import Refusal, render
from tests.certificates import ALICE, authority, keygen, line
from tests.terminals import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.authorities import Engineer, Liar

SERVICE = "abcdefg123456-main-bvxea6i--app"
# sshd wants its folder in /run, which a machine where it never ran has not.
OWN_RUN = (
    *("unshare", "--mount", "sh", "-c"),
    'mount -t tmpfs -o mode=755 run /run && mkdir /run/sshd && exec "$@"',
    "sh",
)
REFUSED = """Error: Access denied
Service: abcdefg123456-main-bvxea6i--app
User: Alice (u-1)
Parameters: {"amr":["mfa","sso:acme"],"max_age":3600}
Detail: Additional authentication is required:
"""


@pytest.fixture
def refusing(tmp_path: Path) -> Refusing:
    return Refusing(tmp_path)


class Refusing:
    """A real sshd, begun by each connection, that says a text and lets nobody in, until told to.

    Then it lets in who has a certificate of the CA whose key's line is `trusted`.
    """

    def __init__(self, folder: Path, trusted: str = "") -> None:
        self._principals = folder / "principals"
        self._config = folder / "sshd_config"
        self._banner = folder / "banner"
        keygen("-q", "-t", "ed25519", "-N", "", "-f", folder / "host")
        (folder / "ca.pub").write_text(trusted or line(authority().public_key))
        self._config.write_text(
            f"HostKey {folder}/host\n"
            f"TrustedUserCAKeys {folder}/ca.pub\n"
            f"AuthorizedPrincipalsFile {self._principals}\n"
            "AuthorizedKeysFile none\n"
            "StrictModes no\n"
            "UsePAM no\n"
            f"KexAlgorithms {KEY_EXCHANGE}\n"
            "AuthenticationMethods publickey\n"
            f"Banner {self._banner}\n"
        )
        self.refuse(REFUSED)

    def refuse(self, text: str) -> None:
        self._banner.write_text(text)

    def let_in(self, user_id: str = ALICE) -> None:
        self._banner.write_text("")
        self._principals.write_text(f"{user_id}\n")

    def words(self, *command: str) -> tuple[str, ...]:
        """What one types behind `amrgate` to run a command there."""
        options = {
            "ProxyCommand": shlex.join([*OWN_RUN, "/usr/sbin/sshd", "-i", "-f", str(self._config)]),
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
        }
        given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return ("ssh", "-F", "none", *given, "root@sshd.test", *command)


def test_a_refusal_is_answered_by_a_login_and_another_connection(
    alice: Engineer, liar: Liar, refusing: Refusing
) -> None:
    with Terminal(alice, *refusing.words("id", "-un")) as terminal:
        terminal.wait_for("[Y/n]")
        assert "Re-authentication is required." in terminal.shown
        terminal.type("\n")
        terminal.wait_for("max_age=3600\n")
        refusing.let_in()
        alice.browse(next(word for word in terminal.shown.split() if word.startswith(liar.url)))

        assert terminal.end() == 0, terminal.shown
    assert terminal.shown.endswith("root\n")
    assert (liar.asked["amr"], liar.asked["max_age"]) == ("mfa sso:acme", "3600")


def test_who_is_refused_once_more_is_not_asked_again(
    alice: Engineer, liar: Liar, refusing: Refusing
) -> None:
    with Terminal(alice, *refusing.words("true")) as terminal:
        terminal.wait_for("[Y/n]")
        terminal.type("\n")
        terminal.wait_for("max_age=3600\n")
        alice.browse(next(word for word in terminal.shown.split() if word.startswith(liar.url)))

        assert terminal.end() == 3
    assert terminal.shown.count("[Y/n]") == 1


def test_without_a_person_the_command_is_named(alice: Engineer, refusing: Refusing) -> None:
    ran = alice.run(*refusing.words("true"))

    assert ran.status == 3
    assert "Error: Access denied\nService: " in ran.err
    assert "`amrgate login --method mfa,sso:acme --max-age 1h`" in ran.err


def test_ssh_speaks_for_itself_otherwise(alice: Engineer, refusing: Refusing) -> None:
    refusing.refuse("Error: The service doesn't exist or you do not have access to it.\n")
    refused = alice.run(*refusing.words("true"))
    refusing.let_in()

    told = alice.run(*refusing.words("cat; echo to people >&2; exit 7"), typed="through\n")

    assert (refused.status, "Permission denied" in refused.err) == (255, True)
    assert (told.status, told.out) == (7, "through\n")
    assert "to people\n" in told.err


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ('Parameters: {"amr":["mfa"]}\r\n', (("mfa",), None)),
        ('Parameters: {"amr":["mfa"],"max_age":"1; id"}\n', (("mfa",), None)),
        ('Parameters: {"amr":["$(id)","sso:acme"],"max_age":600}\n', (("sso:acme",), 600)),
        ('Parameters: {"amr":"mfa"}\n', None),
        ("Parameters: {}\n", None),
        ('Parameters: {"amr":["mfa"]\n', None),
        ("Parameters: " + '{"a":' * 50_000 + "\n", None),
        ('x Parameters: {"amr":["mfa"]}\n', None),
        ("", None),
    ],
)
def test_only_what_can_be_asked_is_read(
    written: str, asked: tuple[tuple[str, ...], int | None] | None
) -> None:
    read = stepup.of_refusal(f"Error: Access denied\n{written}")

    assert (None if read is None else (read.amr, read.max_age)) == asked
    assert stepup.of_refusal(written) is None


@pytest.mark.parametrize(("amr", "max_age"), [(("mfa",), None), (("mfa", "sso:acme"), 3600)])
def test_what_the_hook_writes_is_read(amr: tuple[str, ...], max_age: int | None) -> None:
    required = Requirement(amr=frozenset(amr), max_age=max_age)
    proved = Claims(frozenset({"pwd"}), 0)
    decision = decide(required, Access(CONTRIBUTOR, CONTRIBUTOR), proved, None, 9999)

    read = stepup.of_refusal(render(Refusal(decision, SERVICE, "Alice", "u-1")))

    assert read is not None
    assert (read.amr, read.max_age) == (amr, max_age)


@pytest.mark.parametrize(
    ("href", "status"),
    [
        (f"ssh://{SERVICE}@ssh.acme.example", 255),
        (f"ssh://{SERVICE}--1@ssh.acme.example", 1),
        (f"ssh://{SERVICE}@-oProxyCommand=id", 1),
        (f"https://{SERVICE}@ssh.acme.example", 1),
        ("ssh://[", 1),
        (7, 1),
    ],
)
def test_the_authority_names_the_host(
    alice: Engineer, liar: Liar, href: object, status: int
) -> None:
    links: dict[str, Any] = {"self": {}, "pf:ssh:app": {"href": href}}
    liar.answers["/projects/abcdefg123456/environments"] = (200, [{"_links": links}])

    ran = alice.run("ssh", "-F", "none", "-o", "ProxyCommand=sh -c 'echo %h >&2'", SERVICE)

    assert ran.status == status
    if status == 1:
        assert "you do not have access to it" in ran.err
    else:
        assert "ssh.acme.example\n" in ran.err


def test_while_the_authority_is_away_a_certificate_still_connects(
    alice: Engineer, liar: Liar, refusing: Refusing
) -> None:
    refusing.let_in()
    alice.end_token()
    liar.answers["/oauth2/token"] = (503, {"error": "temporarily_unavailable"})

    connected = alice.run(*refusing.words("id", "-un"))
    unknown = alice.run("ssh", SERVICE)

    assert (connected.status, connected.out) == (0, "root\n"), connected.err
    assert unknown.status == 1
    assert "If you know its host, say `amrgate ssh SERVICE@HOST`." in unknown.err


def test_over_ssh_the_port_of_a_step_up_must_be_forwarded(alice: Engineer, liar: Liar) -> None:
    far = replace(alice, more=(("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22"),))
    with Terminal(far, "login", "--method", "mfa") as terminal:
        terminal.wait_for("amr=mfa\n")

        assert "ssh -L PORT:127.0.0.1:PORT" in terminal.shown
    assert not liar.asked
