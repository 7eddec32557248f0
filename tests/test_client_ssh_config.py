"""Plain `ssh` with our lines in its configuration, and what it runs to see the certificate."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.authorities import PATTERN
from tests.certificates import authority, extensions, line, user_certificate

if TYPE_CHECKING:
    from pathlib import Path

    from tests.authorities import Engineer, Liar, Ran

HOST = "abcdefg123456-main-bvxea6i--app@x.ssh.acme.example"
THEIRS = [
    b"",
    b"Host *\n    IdentityFile ~/.ssh/id_rsa\n    IdentitiesOnly no\n",
    b"ServerAliveInterval 60",  # without a line end
    b"\n\n# caf\xe9\r\nHost x\r\n\tPort 2222\r\n",
    b"# amrgate is fine\nInclude other\n",
]


@pytest.fixture
def file(alice: Engineer) -> Path:
    folder = alice.home / ".ssh"
    folder.mkdir(mode=0o700)
    return folder / "config"


def install(engineer: Engineer, file: Path) -> Ran:
    return engineer.run("ssh-config", "install", "--file", str(file))


def uninstall(engineer: Engineer, file: Path) -> Ran:
    return engineer.run("ssh-config", "uninstall", "--file", str(file))


def settings(file: Path, host: str = HOST) -> dict[str, list[str]]:
    """What ssh itself makes of the file. It runs what `Match exec` says."""
    shown = subprocess.run(
        ["ssh", "-G", "-F", file, host], capture_output=True, text=True, check=True, timeout=60
    )
    found: dict[str, list[str]] = {}
    for words in (entry.split(" ", 1) for entry in shown.stdout.splitlines()):
        found.setdefault(words[0], []).append(words[-1])
    return found


@pytest.mark.parametrize("theirs", THEIRS)
def test_the_rest_of_the_file_stays_as_it_is(alice: Engineer, file: Path, theirs: bytes) -> None:
    file.write_bytes(theirs)
    file.chmod(0o644)

    for _ in range(2):  # again changes nothing
        assert install(alice, file).status == 0
        assert theirs in file.read_bytes()
        assert file.read_bytes().count(b'Include "') == 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert uninstall(alice, file).out == f"{file} is as it was.\n"

    assert (file.read_bytes() if theirs else b"") == theirs
    assert not alice.has("ssh/refresh")
    assert uninstall(alice, file).out == f"There was nothing of ours in {file}.\n"


def test_a_file_that_was_not_there_is_gone_again(alice: Engineer, file: Path) -> None:
    assert install(alice, file).status == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert uninstall(alice, file).status == 0
    assert not file.exists()


def test_lines_that_people_put_around_ours_stay(alice: Engineer, file: Path) -> None:
    install(alice, file)
    file.write_bytes(b"# mine\n" + file.read_bytes() + b"Host y\n")

    assert uninstall(alice, file).status == 0

    assert file.read_bytes() == b"# mine\nHost y\n"


def test_nor_do_lines_run_together_that_people_put_after_ours(alice: Engineer, file: Path) -> None:
    file.write_bytes(b"Port 7")
    install(alice, file)
    file.write_bytes(file.read_bytes() + b"Host y\n")

    assert uninstall(alice, file).status == 0

    assert file.read_bytes() == b"Port 7\nHost y\n"


def test_ssh_offers_our_certificate_alone_to_our_hosts(alice: Engineer, file: Path) -> None:
    file.write_bytes(THEIRS[1])
    install(alice, file)

    ours = settings(file)
    others = settings(file, "git@github.com")

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
    alice: Engineer, file: Path, liar: Liar
) -> None:
    file.write_bytes(ALIAS)
    before = settings(file, "other")
    install(alice, file)
    certify(alice, 0)
    liar.seen.clear()

    shop = settings(file, "shop")

    state = str(alice.state / "ssh")
    assert liar.paths() == ["POST /ssh"]
    assert f"{state}/id_ed25519" in shop["identityfile"]
    assert shop["certificatefile"] == [f"{state}/id_ed25519-cert.pub"]
    assert shop["identitiesonly"] == ["yes"]
    assert shop["userknownhostsfile"] == [f"{state}/known_hosts"]
    assert shop["port"] == ["22"], "an alias takes nothing from the stanzas of what it leads to"
    assert settings(file, "other") == before


def test_an_alias_that_was_added_is_known_after_another_install(
    alice: Engineer, file: Path
) -> None:
    install(alice, file)
    file.write_bytes(file.read_bytes() + ALIAS)
    assert "certificatefile" not in settings(file, "shop")

    install(alice, file)

    assert "certificatefile" in settings(file, "shop")


def test_by_its_own_name_the_certificate_is_looked_at_once(alice: Engineer, file: Path) -> None:
    install(alice, file)
    refresh = alice.state / "ssh/refresh"
    refresh.write_text(f'#!/bin/sh\necho >> "{alice.home}/runs"\n')

    settings(file)

    assert (alice.home / "runs").read_text() == "\n"


def test_a_link_to_the_file_is_kept(alice: Engineer, file: Path) -> None:
    kept = alice.home / "dotfiles"
    kept.mkdir()
    (kept / "ssh").write_bytes(THEIRS[1])
    file.symlink_to(kept / "ssh")

    assert install(alice, file).status == 0
    assert file.is_symlink()
    assert THEIRS[1] in (kept / "ssh").read_bytes()
    assert settings(file)["identitiesonly"] == ["yes"]
    assert uninstall(alice, file).status == 0

    assert file.is_symlink()
    assert (kept / "ssh").read_bytes() == THEIRS[1]


@pytest.mark.attack(79)
@pytest.mark.parametrize("what", ["file", "target of a link", "folder", "fifo", "link to nothing"])
def test_a_file_of_somebody_elses_is_not_touched(alice: Engineer, file: Path, what: str) -> None:
    other = alice.home / "other"
    other.write_bytes(THEIRS[1])
    os.chown(other, 65534, 65534)
    if what == "file":
        other.rename(file)
    elif what == "target of a link":
        file.symlink_to(other)
    elif what == "folder":
        os.chown(file.parent, 65534, 65534)
    elif what == "fifo":
        os.mkfifo(file)
    else:
        file.symlink_to(alice.home / "nothing" / "here")

    ran = install(alice, file)

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
    alice: Engineer, liar: Liar, file: Path, patterns: object
) -> None:
    file.write_bytes(THEIRS[1])
    liar.authority["host_patterns"] = patterns

    ran = install(alice, file)

    assert ran.status == 1
    assert file.read_bytes() == THEIRS[1]
    assert not alice.has("ssh/config")


@pytest.mark.attack(78)
@pytest.mark.parametrize(
    "key", ["", "ssh-ed25519", "ssh-ed25519 AAAA", "x y\n@cert-authority * z", 7, None]
)
def test_a_key_for_hosts_that_is_none_is_refused(
    alice: Engineer, liar: Liar, file: Path, key: object
) -> None:
    liar.authority["host_authorities"] = [key]

    assert install(alice, file).status == 1
    assert not alice.has("ssh/known_hosts")


def test_a_path_that_ssh_would_misread_is_refused(alice: Engineer, file: Path) -> None:
    awkward = alice.home / "100%"
    awkward.mkdir()
    alice.state.parent.rename(awkward / ".config")
    moved = type(alice)(awkward)

    ran = install(moved, file)

    assert ran.status == 1
    assert "plain path" in ran.err
    assert not file.exists()


def test_show_shows_it(alice: Engineer, file: Path) -> None:
    assert "does not include" in alice.run("ssh-config", "show", "--file", str(file)).out
    install(alice, file)
    out = alice.run("ssh-config", "show", "--file", str(file)).out
    assert (alice.state / "ssh/config").read_text() in out


# --- what ssh runs at each connection -------------------------------------------------------


@pytest.fixture
def installed(alice: Engineer, file: Path, liar: Liar) -> Engineer:
    assert install(alice, file).status == 0
    liar.seen.clear()
    return alice


def certify(engineer: Engineer, seconds: int) -> None:
    """Put a certificate in place that is valid for so long."""
    now = int(time.time())
    certificate = user_certificate(
        valid_after=now - 60,
        valid_before=now + seconds,
        extensions=extensions(auth_time=str(now)),
    )
    path = engineer.state / "ssh/id_ed25519-cert.pub"
    path.write_text(line(authority().certify(certificate)) + "\n")


def test_with_a_good_certificate_there_is_no_network(
    installed: Engineer, file: Path, liar: Liar
) -> None:
    certify(installed, 125)

    settings(file)

    assert not liar.seen


def test_the_check_loads_nothing_slow(installed: Engineer) -> None:
    refresh = installed.state / "ssh/refresh"
    first, *rest = refresh.read_text().splitlines()
    assert first == "#!/usr/bin/python3 -IS"
    assert os.access(refresh, os.X_OK)
    script = "\n".join([*rest, "print(*sys.modules)"])

    loaded = subprocess.run(
        ["/usr/bin/python3", "-IS", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    ).stdout.split()

    slow = {"os", "re", "json", "typing", "enum", "dataclasses", "socket", "hashlib", "pathlib"}
    assert "ca.client.check" in loaded
    assert not slow & set(loaded)


@pytest.mark.parametrize("left", [115, 0, -60])
def test_a_certificate_that_ends_is_renewed_before_ssh_goes_on(
    installed: Engineer, file: Path, liar: Liar, left: int
) -> None:
    certify(installed, left)

    settings(file)

    assert liar.paths() == ["POST /ssh"]
    assert json.loads(installed.run("ssh-cert", "info", "--json").out)["valid_before"] > (
        time.time() + 3500
    )


@pytest.mark.parametrize("data", [None, b"", b"junk", b"a b", b"\xff \xff", b"x " * 100_000])
def test_what_is_no_certificate_is_replaced(
    installed: Engineer, file: Path, liar: Liar, data: bytes | None
) -> None:
    path = installed.state / "ssh/id_ed25519-cert.pub"
    path.unlink()
    if data is not None:
        path.write_bytes(data)

    settings(file)

    assert liar.paths() == ["POST /ssh"]


def test_many_at_once_renew_once(installed: Engineer, file: Path, liar: Liar) -> None:
    certify(installed, 0)

    command = ["ssh", "-G", "-F", str(file), HOST]
    many = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(5)]

    assert [process.wait(timeout=60) for process in many] == [0] * 5
    assert liar.paths() == ["POST /ssh"]


def test_without_a_login_ssh_shows_what_to_do(installed: Engineer, file: Path) -> None:
    certify(installed, 0)
    (installed.state / "session.json").unlink()

    shown = subprocess.run(
        ["ssh", "-G", "-F", file, HOST], capture_output=True, text=True, check=False, timeout=60
    )

    assert "Error: You are not logged in: run `amrgate login`.\n" in shown.stderr


def test_ssh_says_so_when_the_program_was_moved(installed: Engineer, file: Path) -> None:
    refresh = installed.state / "ssh/refresh"
    text = refresh.read_text()
    refresh.write_text(re.sub(r"insert\(0, '.*'\)", "insert(0, '/nowhere')", text))

    shown = subprocess.run(
        ["ssh", "-G", "-F", file, HOST], capture_output=True, text=True, check=False, timeout=60
    )

    assert "run `amrgate ssh-config install` again" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_the_state_is_found_wherever_ssh_is_started(
    installed: Engineer, file: Path, liar: Liar
) -> None:
    certify(installed, 0)

    subprocess.run(
        ["env", "-i", "ssh", "-G", "-F", file, HOST],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=60,
        cwd="/",
    )

    assert liar.paths() == ["POST /ssh"]
