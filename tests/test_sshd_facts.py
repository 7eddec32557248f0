"""What the design takes for granted about stock sshd, asked of the one that is installed.

When a new OpenSSH changes one of these, this file says so before a host does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from machine.clients import probe
from machine.people import IDS, Authority
from sshd_hook.wire import b64
from tests.machines import SERVER

if TYPE_CHECKING:
    from tests.machines import Stock

ALICE = IDS["alice"]
CAROLS_KEYS = "/home/carol/.ssh/authorized_keys"


def test_the_command_runs_twice_for_one_login_with_one_parent(stock: Stock) -> None:
    stock.configure()
    stock.hook(ALICE)
    certificate = stock.certify()

    assert stock.lets_in()

    (first, second) = stock.runs()
    assert first == second
    assert first[1] == "carol"
    assert first[2] == "1003"
    assert first[3:5] == [ALICE, str(certificate.serial)]
    assert first[5] == "ssh-ed25519-cert-v01@openssh.com"
    assert first[6] == b64(certificate.signature_key)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="good"),
        pytest.param({"valid_after": 1, "valid_before": 2}, id="expired"),
        pytest.param({"kind": 2}, id="a host's"),
    ],
)
def test_a_public_certificate_alone_runs_the_command(stock: Stock, changes: dict[str, Any]) -> None:
    """Whoever has seen a certificate, even an old one, makes the hook run: so it must be cheap."""
    stock.configure()
    stock.hook(ALICE)
    blob = b64(stock.authority.sign(stock.certify(**changes)))

    (seen,) = probe(stock.machine, [("query", "carol", blob, 3)], server=SERVER)

    assert seen["answers"] == (["no"] * 3 if changes else ["sign"] * 3)
    assert len(stock.runs()) == 3


def test_a_certificate_of_another_authority_does_not_run_the_command(stock: Stock) -> None:
    stock.configure()
    stock.hook(ALICE)
    stock.certify()
    stock.machine.path("/etc/facts_ca.pub").write_text(Authority().line + "\n")

    assert not stock.lets_in()
    assert stock.runs() == []


def test_authority_file_is_read_at_each_login_and_a_bad_line_hides_the_rest(stock: Stock) -> None:
    stock.configure()
    stock.hook(ALICE)
    stock.certify()
    path = stock.machine.path("/etc/facts_ca.pub")

    assert stock.lets_in()
    path.write_text(f"{Authority().line}\n{stock.authority.line}\n")
    assert stock.lets_in()
    path.write_text(f"not a key\n{stock.authority.line}\n")
    assert not stock.lets_in()


@pytest.mark.parametrize(
    ("line", "enters"),
    [
        pytest.param(ALICE, True, id="the principal"),
        pytest.param(f"{ALICE}#anything", True, id="a hash cuts the line"),
        pytest.param(f"x\n{ALICE}", True, id="any line may match"),
        pytest.param(ALICE.upper(), False, id="case counts"),
        pytest.param(f"{ALICE}\r", False, id="a carriage return stays"),
        pytest.param(f"no-such-option {ALICE}", False, id="an unknown option"),
        pytest.param(f'restrict,command="echo a#b" {ALICE}', False, id="a hash within quotes"),
        pytest.param(f'from="10.0.0.0/8" {ALICE}', False, id="another network"),
        pytest.param(f"cert-authority {ALICE}", False, id="an option of other files"),
    ],
)
def test_how_the_output_is_read(stock: Stock, line: str, *, enters: bool) -> None:
    stock.configure()
    stock.hook(line)
    stock.certify()

    assert stock.lets_in() is enters, stock.log()


def test_a_command_that_fails_after_printing_lets_nobody_in(stock: Stock) -> None:
    stock.configure()
    stock.hook(ALICE)
    stock.certify()
    path = stock.machine.path("/usr/lib/facts/hook")
    path.write_text(path.read_text() + "exit 1\n")

    assert not stock.lets_in()


def test_an_unknown_token_passes_the_check_and_ends_every_login(stock: Stock) -> None:
    stock.hook(ALICE)
    stock.certify()
    stock.configure("AuthorizedPrincipalsCommand /usr/lib/facts/hook %Z")

    assert stock.machine.run("/usr/sbin/sshd", "-t", "-f", "/etc/ssh/facts.conf").status == 0
    assert not stock.lets_in()
    assert stock.runs() == []


def test_principals_file_none_in_a_match_block_is_a_file_in_the_home(stock: Stock) -> None:
    """So our block names an empty file of root's, and never says `none`."""
    stock.hook()
    stock.certify()
    stock.configure()
    path = stock.machine.path("/etc/ssh/facts.conf")
    path.write_text(path.read_text() + "Match User carol\n    AuthorizedPrincipalsFile none\n")

    assert not stock.lets_in()
    stock.machine.check("sh", "-c", f"echo {ALICE} > none", user="carol")
    entered = stock.lets_in()
    stock.machine.check("rm", "none", user="carol")

    assert entered
    assert stock.runs(), "the first try"


def test_a_cert_authority_line_of_the_account_goes_around_the_command(stock: Stock) -> None:
    """So our block says `AuthorizedKeysFile none`."""
    stock.hook()
    stock.certify()
    stock.configure("AuthorizedKeysFile .ssh/authorized_keys")
    line = f'cert-authority,principals="{ALICE}" {stock.authority.line}\n'
    stock.machine.check("tee", CAROLS_KEYS, user="carol", stdin=line)

    entered = stock.lets_in()
    stock.machine.check("rm", CAROLS_KEYS)

    assert entered
    assert stock.runs() == []


@pytest.mark.parametrize(
    ("data", "enters"),
    [
        pytest.param(b"", True, id="an empty one revokes nothing"),
        pytest.param(b"garbage\n", False, id="garbage refuses all"),
        pytest.param(b"SSHKRL\n\0\0\0\0\1", False, id="a short one refuses all"),
        pytest.param(None, False, id="a missing one refuses all"),
    ],
)
def test_broken_revocation_lists(stock: Stock, data: bytes | None, *, enters: bool) -> None:
    stock.configure("RevokedKeys /etc/facts_revoked")
    stock.hook(ALICE)
    stock.certify()
    path = stock.machine.path("/etc/facts_revoked")
    path.unlink(missing_ok=True)
    if data is not None:
        path.write_bytes(data)

    assert stock.lets_in() is enters


def test_serial_zero_cannot_be_revoked_by_serial(stock: Stock) -> None:
    stock.configure("RevokedKeys /etc/facts_revoked")
    stock.hook(ALICE)
    stock.machine.path("/etc/facts.spec").write_text(f"serial: 1-{2**64 - 1}\n")
    make = ("ssh-keygen", "-q", "-k", "-f", "/etc/facts_revoked", "-s", "/etc/facts_ca.pub")
    stock.machine.check(*make, "/etc/facts.spec")

    stock.certify()
    assert not stock.lets_in()
    stock.certify(serial=0)
    assert stock.lets_in()


def test_sshd_takes_extensions_twice_and_out_of_order(stock: Stock) -> None:
    """So the hook must not: it could read the other one."""
    stock.configure()
    stock.hook(ALICE)
    stock.certify(extensions=(("b@x", b""), ("a@x", b""), ("b@x", b"\0\0\0\1y")))

    assert stock.lets_in()


@pytest.mark.parametrize(("size", "enters"), [(90_000, True), (98_304, False)])
def test_a_certificate_can_be_too_large_for_an_argument(
    stock: Stock, size: int, *, enters: bool
) -> None:
    stock.configure()
    stock.hook(ALICE)
    path = stock.machine.path("/usr/lib/facts/hook")
    path.write_text(f"#!/bin/sh\necho {ALICE}\n")
    stock.certify(extensions=(("a@x", bytes(size)),))

    assert stock.lets_in() is enters


def test_a_session_on_an_open_connection_runs_nothing(stock: Stock) -> None:
    stock.configure()
    stock.hook(ALICE)
    stock.certify()
    control = ("-o", "ControlPath=/run/facts/control")
    opened = stock.login("carol", *control, "-o", "ControlMaster=yes", "-o", "ControlPersist=20")
    assert opened.out == "carol\n"
    before = len(stock.runs())

    stock.hook()
    again = stock.login("carol", *control)
    stock.login("carol", *control, "-O", "exit")

    assert again.out == "carol\n"
    assert len(stock.runs()) == before


def test_bash_reads_the_accounts_own_file_before_a_forced_command(stock: Stock) -> None:
    """So the shell of a service's account is /bin/sh."""
    stock.configure()
    stock.hook(f'restrict,command="echo forced" {ALICE}')
    stock.certify()
    stock.machine.check("sh", "-c", "echo 'echo mine' > .bashrc", user="carol")
    with_bash = stock.login().out
    stock.machine.check(
        "sed", "-i", "s|^carol:\\(.*\\):/bin/bash|carol:\\1:/bin/sh|", "/etc/passwd"
    )
    with_sh = stock.login().out
    stock.machine.check(
        "sed", "-i", "s|^carol:\\(.*\\):/bin/sh|carol:\\1:/bin/bash|", "/etc/passwd"
    )
    stock.machine.check("rm", ".bashrc", user="carol")

    assert with_bash == "mine\nforced\n"
    assert with_sh == "forced\n"


def test_restrict_without_pty_shows_nothing_on_a_terminal(stock: Stock) -> None:
    """So the refusing line says `restrict,pty`."""
    stock.configure()
    stock.certify()
    stock.hook(f'restrict,command="echo why" {ALICE}')
    without = stock.login("carol", "-tt")
    stock.hook(f'restrict,pty,command="echo why" {ALICE}')
    with_it = stock.login("carol", "-tt")

    assert "PTY allocation request failed" in without.err
    assert with_it.out.strip() == "why"
