"""The certificate: what the command refuses from an authority, and how it keeps what it takes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from sshd_hook.certificate import HOST, option
from tests.certificates import (
    ALICE,
    HANDLE,
    authority,
    extensions,
    keygen,
    line,
    subject_key,
    user_certificate,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.authorities import Engineer, Liar

KEY, CERTIFICATE = "ssh/id_ed25519", "ssh/id_ed25519-cert.pub"
BOB = "0b0b0b0b-8f4b-4c8e-9d3a-0b1a2c3d4e5f"


def test_what_is_kept_is_what_ssh_keygen_reads(alice: Engineer) -> None:
    listed = keygen("-L", "-f", alice.state / CERTIFICATE)
    own = keygen("-y", "-f", alice.state / KEY).split()[1]

    assert f'Key ID: "{ALICE}"' in listed
    assert own == keygen("-y", "-f", alice.state / KEY).split()[1]
    # The key and the certificate belong together.
    public = re.search(r"Public key: ED25519-CERT (SHA256:\S+)", listed)
    assert public is not None
    assert public[1] in keygen("-l", "-f", alice.state / KEY)


def test_info_says_it_in_words(alice: Engineer) -> None:
    ran = alice.run("ssh-cert", "info")

    lines = ran.out.splitlines()
    assert "amr: pwd" in lines
    assert f"key id: {ALICE}" in lines
    assert f"principals: {ALICE}" in lines
    assert f"session handle: {HANDLE}" in lines
    assert any(
        re.fullmatch(r"validity: valid for (59 minutes|1 hour), until .* UTC", x) for x in lines
    )
    read = json.loads(alice.run("ssh-cert", "info", "--json").out)
    assert (read["amr"], read["principals"], read["key_id"]) == (["pwd"], [ALICE], ALICE)


def test_a_good_certificate_is_kept_and_force_renews_it(alice: Engineer, liar: Liar) -> None:
    before = (alice.state / CERTIFICATE).read_bytes()
    key = (alice.state / KEY).read_bytes()
    asked = liar.paths().count("POST /ssh")

    assert alice.run("ssh-cert", "load").out.startswith("Your certificate is valid for")
    assert liar.paths().count("POST /ssh") == asked
    liar.certificate = {"serial": 77}
    assert alice.run("ssh-cert", "load", "-f", "-q").out == ""

    assert (alice.state / CERTIFICATE).read_bytes() != before
    assert (alice.state / KEY).read_bytes() == key


LIES: dict[str, dict[str, Any]] = {
    "for another key": {"public_key": subject_key("ssh-ed25519")},
    "for somebody else": {"key_id": BOB, "principals": (BOB,)},
    "for root": {"principals": ("root",)},
    "for two": {"principals": (ALICE, BOB)},
    "for nobody, which old servers take for everybody": {"principals": ()},
    "a host's": {"kind": HOST},
    "for two hours": {"valid_before": int(time.time()) + 7200},
    "for ever": {"valid_before": 2**64 - 1},
    "ended": {"valid_after": 1, "valid_before": 2},
    "later": {
        "valid_after": int(time.time()) + 4000,
        "valid_before": int(time.time()) + 5000,
    },
    "another command": {"critical_options": (("force-command", option("id")),)},
    "another extension": {"extensions": extensions(more={"permit-user-rc": b""})},
    "an escape in the key id": {"key_id": "\x1b[2J"},
    "number 0": {"serial": 0},
}


@pytest.mark.attack(78)
@pytest.mark.parametrize("lie", LIES)
def test_a_certificate_that_was_not_asked_for_is_thrown_away(
    alice: Engineer, liar: Liar, lie: str
) -> None:
    before = {name: (alice.state / name).read_bytes() for name in (KEY, CERTIFICATE)}
    liar.certificate = LIES[lie]

    for _ in range(2):
        ran = alice.run("ssh-cert", "load", "-f")

        assert ran.status == 1
        assert re.fullmatch(r"Error: The authority's certificate was thrown away, .*\n", ran.err)
    assert {name: (alice.state / name).read_bytes() for name in before} == before


@pytest.mark.attack(78)
@pytest.mark.parametrize(
    "answer",
    [
        (200, {"certificate": None}),
        (200, {"certificate": ""}),
        (200, {"certificate": "ssh-ed25519-cert-v01@openssh.com"}),
        (200, {"certificate": "ssh-ed25519-cert-v01@openssh.com AAAA\nProxyCommand id"}),
        (200, {"certificate": line(subject_key("ssh-ed25519"))}),
        (200, {"certificate": "\x1b]52;c;x\x07"}),
        (200, []),
        (200, "not JSON"),
        (200, None),
        (204, ""),
    ],
)
def test_what_is_no_certificate_is_refused(
    alice: Engineer, liar: Liar, answer: tuple[int, object]
) -> None:
    before = (alice.state / CERTIFICATE).read_bytes()
    liar.answers["/ssh"] = answer

    ran = alice.run("ssh-cert", "load", "-f")

    assert ran.status == 1
    assert ran.err.startswith("Error: ")
    assert ran.err.count("\n") == 1
    assert (alice.state / CERTIFICATE).read_bytes() == before


# --- planted files --------------------------------------------------------------------------


def _link(path: Path) -> None:
    (path.parent.parent / "stolen").touch()
    path.symlink_to(path.parent.parent / "stolen")


def _link_to_nothing(path: Path) -> None:
    path.symlink_to(path.parent / "nothing")


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.mkdir()


def _socket(path: Path) -> None:
    # By its short name: a socket's path may have 107 bytes.
    with socket.socket(socket.AF_UNIX) as listening, contextlib.chdir(path.parent):
        listening.bind(path.name)


def _of_another(path: Path) -> None:
    path.touch()
    os.chown(path, 65534, 65534)


@pytest.mark.attack(79)
@pytest.mark.parametrize(
    ("name", "plant"),
    [
        *((KEY, plant) for plant in (_link, _link_to_nothing, _fifo, _folder, _socket)),
        (KEY, _of_another),
        (CERTIFICATE, _link),
        (CERTIFICATE, _fifo),
        ("session.json", _link),
        ("session.json", _fifo),
    ],
)
def test_nothing_is_written_through_what_was_planted(
    alice: Engineer, name: str, plant: Callable[[Path], None]
) -> None:
    path = alice.state / name
    path.unlink()
    plant(path)
    planted = path.lstat()

    ran = alice.log_in("-f")

    assert ran.status != 0
    assert f"{path} is not a plain file of yours" in ran.err
    assert path.lstat() == planted
    stolen = path.parent.parent / "stolen"
    assert not stolen.exists() or not stolen.read_bytes()
    assert not list(path.parent.glob(".*"))  # no half of a file either


@pytest.mark.attack(79)
@pytest.mark.parametrize("folder", ["", "ssh"])
@pytest.mark.parametrize("how", ["link", "open to others", "another's"])
def test_nothing_is_written_into_a_folder_that_is_not_ours(
    alice: Engineer, folder: str, how: str
) -> None:
    path = alice.state / folder
    if how == "link":
        path.rename(path.parent / "moved")
        path.symlink_to(path.parent / "moved")
    elif how == "open to others":
        path.chmod(0o777)
    else:
        os.chown(path, 65534, 65534)

    ran = alice.log_in("-f")

    assert ran.status != 0
    assert str(path) in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.attack(79)
def test_a_key_is_never_open_to_others_not_even_for_a_moment(
    engineer: Engineer, liar: Liar
) -> None:
    """As strace sees it: made with O_EXCL and 0600, then renamed."""
    trace = engineer.home / "trace"
    strace = ["strace", "-f", "-qq", "-o", str(trace), "-e", "trace=openat,renameat,renameat2"]
    amrgate = [sys.executable, "-m", "ca.client.main", "login", "--ca", liar.url]
    process = subprocess.Popen(
        [*strace, "sh", "-c", 'umask 0; exec "$0" "$@"', *amrgate],
        env=engineer.environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    url = next(found[1] for x in process.stderr if (found := re.match(r" +(http\S+)$", x)))
    engineer.browse(url)
    process.communicate(timeout=60)

    calls = trace.read_text()
    made = re.findall(r'openat\(\d+, "(\.id_ed25519\.\w+)", (\S+), 0(\d+)\)', calls)
    assert made, calls[-2000:]
    for name, flags, mode in made:
        assert {"O_EXCL", "O_CREAT", "O_NOFOLLOW"} <= set(flags.split("|"))
        assert mode == "600"
        assert re.search(rf'renameat2?\(\d+, "{re.escape(name)}", \d+, "id_ed25519"', calls)
    assert stat.S_IMODE((engineer.state / KEY).stat().st_mode) == 0o600


def test_the_authority_never_sees_the_private_key(alice: Engineer, liar: Liar) -> None:
    private = (alice.state / KEY).read_text()
    secret = "".join(private.splitlines()[1:-1])

    sent = json.dumps([seen.fields for seen in liar.seen])

    assert "PRIVATE" not in sent
    assert secret[:40] not in sent
    asked = [seen.fields for seen in liar.seen if seen.path == "/ssh"]
    assert [set(fields) for fields in asked] == [{"key"}]
    assert asked[0]["key"].split()[1] == keygen("-y", "-f", alice.state / KEY).split()[1]


def test_info_refuses_a_certificate_that_is_not_one_of_ours(alice: Engineer) -> None:
    foreign = user_certificate(extensions=extensions(more={"permit-user-rc": b""}))
    (alice.state / CERTIFICATE).write_text(line(authority().certify(foreign)))

    ran = alice.run("ssh-cert", "info")

    assert (ran.status, ran.out) == (1, "")
    assert "another extension" in ran.err


@pytest.mark.parametrize("damaged", [b"", b"x", b"ssh-ed25519-cert-v01@openssh.com !", b"\xff"])
def test_a_damaged_certificate_is_none(alice: Engineer, damaged: bytes) -> None:
    (alice.state / CERTIFICATE).write_bytes(damaged)

    ran = alice.run("ssh-cert", "info")

    assert (ran.status, ran.err) == (
        1,
        "Error: You have no certificate: run `amrgate ssh-cert load`.\n",
    )
    assert alice.run("ssh-cert", "load").status == 0
    assert alice.run("ssh-cert", "info").status == 0
