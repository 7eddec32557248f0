"""Our lines in the configuration of plain `ssh`: whose hosts they are for, and that all else stays."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from tests.authorities import PATTERN
from tests.certificates import authority, line
from tests.ssh_configs import certify, install, settings, uninstall

if TYPE_CHECKING:
    from pathlib import Path

    from tests.authorities import Engineer, Liar

THEIRS = [
    b"",
    b"Host *\n    IdentityFile ~/.ssh/id_rsa\n    IdentitiesOnly no\n",
    b"ServerAliveInterval 60",  # without a line end
    b"\n\n# caf\xe9\r\nHost x\r\n\tPort 2222\r\n",
    b"# amrgate is fine\nInclude other\n",
]


@pytest.mark.parametrize("theirs", THEIRS)
def test_the_rest_of_the_file_stays_as_it_is(
    alice: Engineer, config_file: Path, theirs: bytes
) -> None:
    config_file.write_bytes(theirs)
    config_file.chmod(0o644)

    for _ in range(2):  # again changes nothing
        assert install(alice, config_file).status == 0
        assert theirs in config_file.read_bytes()
        assert config_file.read_bytes().count(b'Include "') == 2
    assert stat.S_IMODE(config_file.stat().st_mode) == 0o644
    assert uninstall(alice, config_file).out == f"{config_file} is as it was.\n"

    assert (config_file.read_bytes() if theirs else b"") == theirs
    assert not alice.has("ssh/refresh")
    assert uninstall(alice, config_file).out == f"There was nothing of ours in {config_file}.\n"


def test_a_file_that_was_not_there_is_gone_again(alice: Engineer, config_file: Path) -> None:
    assert install(alice, config_file).status == 0
    assert stat.S_IMODE(config_file.stat().st_mode) == 0o600
    assert uninstall(alice, config_file).status == 0
    assert not config_file.exists()


def test_lines_that_people_put_around_ours_stay(alice: Engineer, config_file: Path) -> None:
    install(alice, config_file)
    config_file.write_bytes(b"# mine\n" + config_file.read_bytes() + b"Host y\n")

    assert uninstall(alice, config_file).status == 0

    assert config_file.read_bytes() == b"# mine\nHost y\n"


def test_nor_do_lines_run_together_that_people_put_after_ours(
    alice: Engineer, config_file: Path
) -> None:
    config_file.write_bytes(b"Port 7")
    install(alice, config_file)
    config_file.write_bytes(config_file.read_bytes() + b"Host y\n")

    assert uninstall(alice, config_file).status == 0

    assert config_file.read_bytes() == b"Port 7\nHost y\n"


def test_ssh_offers_our_certificate_alone_to_our_hosts(alice: Engineer, config_file: Path) -> None:
    config_file.write_bytes(THEIRS[1])
    install(alice, config_file)

    ours = settings(config_file)
    others = settings(config_file, "git@github.com")

    state = str(alice.state / "ssh")
    assert ours["identitiesonly"] == ["yes"]
    assert ours["certificatefile"] == [f"{state}/id_ed25519-cert.pub"]
    assert ours["identityfile"][0] == f"{state}/id_ed25519"
    assert ours["userknownhostsfile"] == [f"{state}/known_hosts"]
    assert others["identitiesonly"] == ["no"]
    assert "certificatefile" not in others
    assert state not in str(others)
    known = (alice.state / "ssh/known_hosts").read_text()
    assert known == f"@cert-authority {PATTERN} {line(authority().public_key)}\n"


ALIAS = b"""\
Host shop
    HostName x.ssh.acme.example
Host other
    HostName example.org
Host example.org x.ssh.acme.example
    Port 2222
"""


def test_an_alias_of_one_of_our_hosts_uses_the_certificate(
    alice: Engineer, config_file: Path, liar: Liar
) -> None:
    config_file.write_bytes(ALIAS)
    before = settings(config_file, "other")
    install(alice, config_file)
    certify(alice, 0)
    liar.seen.clear()

    shop = settings(config_file, "shop")

    state = str(alice.state / "ssh")
    assert liar.paths() == ["POST /ssh"]
    assert f"{state}/id_ed25519" in shop["identityfile"]
    assert shop["certificatefile"] == [f"{state}/id_ed25519-cert.pub"]
    assert shop["identitiesonly"] == ["yes"]
    assert shop["userknownhostsfile"] == [f"{state}/known_hosts"]
    assert shop["port"] == ["22"], "an alias takes nothing from the stanzas of what it leads to"
    assert settings(config_file, "other") == before


def test_an_alias_that_was_added_is_known_after_another_install(
    alice: Engineer, config_file: Path
) -> None:
    install(alice, config_file)
    config_file.write_bytes(config_file.read_bytes() + ALIAS)
    assert "certificatefile" not in settings(config_file, "shop")

    install(alice, config_file)

    assert "certificatefile" in settings(config_file, "shop")


def test_by_its_own_name_the_certificate_is_looked_at_once(
    alice: Engineer, config_file: Path
) -> None:
    install(alice, config_file)
    refresh = alice.state / "ssh/refresh"
    refresh.write_text(f'#!/bin/sh\necho >> "{alice.home}/runs"\n')

    settings(config_file)

    assert (alice.home / "runs").read_text() == "\n"


def test_a_link_to_the_file_is_kept(alice: Engineer, config_file: Path) -> None:
    kept = alice.home / "dotfiles"
    kept.mkdir()
    (kept / "ssh").write_bytes(THEIRS[1])
    config_file.symlink_to(kept / "ssh")

    assert install(alice, config_file).status == 0
    assert config_file.is_symlink()
    assert THEIRS[1] in (kept / "ssh").read_bytes()
    assert settings(config_file)["identitiesonly"] == ["yes"]
    assert uninstall(alice, config_file).status == 0

    assert config_file.is_symlink()
    assert (kept / "ssh").read_bytes() == THEIRS[1]


@pytest.mark.attack(79)
@pytest.mark.parametrize("what", ["file", "target of a link", "folder", "fifo", "link to nothing"])
def test_a_file_of_somebody_elses_is_not_touched(
    alice: Engineer, config_file: Path, what: str
) -> None:
    other = alice.home / "other"
    other.write_bytes(THEIRS[1])
    os.chown(other, 65534, 65534)
    if what == "file":
        other.rename(config_file)
    elif what == "target of a link":
        config_file.symlink_to(other)
    elif what == "folder":
        os.chown(config_file.parent, 65534, 65534)
    elif what == "fifo":
        os.mkfifo(config_file)
    else:
        config_file.symlink_to(alice.home / "nothing" / "here")

    ran = install(alice, config_file)

    assert ran.status == 1
    assert ran.err.startswith("Error: ")
    assert ran.err.count("\n") == 1
    assert not alice.has("ssh/config")
    if other.exists():
        assert other.read_bytes() == THEIRS[1]


@pytest.mark.attack(78)
@pytest.mark.parametrize(
    "patterns",
    [
        ["*.x\nProxyCommand id"],
        ['x" exec "id'],
        ["!x"],
        ["a,b c"],
        ["$(id)"],
        ["%h"],
        ["*"],
        ["ssh.acme.example", "*.*"],
        ["ssh.acme.e?"],
        ["acme.*"],
        [""],
        [7],
        [],
        None,
        "x",
    ],
)
def test_names_that_are_no_hosts_do_not_reach_the_configuration(
    alice: Engineer, liar: Liar, config_file: Path, patterns: object
) -> None:
    config_file.write_bytes(THEIRS[1])
    liar.authority["host_patterns"] = patterns

    ran = install(alice, config_file)

    assert ran.status == 1
    assert config_file.read_bytes() == THEIRS[1]
    assert not alice.has("ssh/config")


@pytest.mark.attack(78)
@pytest.mark.parametrize(
    "key", ["", "ssh-ed25519", "ssh-ed25519 AAAA", "x y\n@cert-authority * z", 7, None]
)
def test_a_key_for_hosts_that_is_none_is_refused(
    alice: Engineer, liar: Liar, config_file: Path, key: object
) -> None:
    liar.authority["host_authorities"] = [key]

    assert install(alice, config_file).status == 1
    assert not alice.has("ssh/known_hosts")


def test_a_path_that_ssh_would_misread_is_refused(alice: Engineer, config_file: Path) -> None:
    awkward = alice.home / "100%"
    awkward.mkdir()
    alice.state.parent.rename(awkward / ".config")
    moved = type(alice)(awkward)

    ran = install(moved, config_file)

    assert ran.status == 1
    assert "plain path" in ran.err
    assert not config_file.exists()


def test_show_shows_it(alice: Engineer, config_file: Path) -> None:
    assert "does not include" in alice.run("ssh-config", "show", "--file", str(config_file)).out
    install(alice, config_file)
    out = alice.run("ssh-config", "show", "--file", str(config_file)).out
    assert (alice.state / "ssh/config").read_text() in out
