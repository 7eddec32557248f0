"""The revocation list: what ssh-keygen would write, and sshd reads."""

from __future__ import annotations

import contextlib
import hashlib
import re
import struct
import subprocess
from base64 import b64encode
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ca.issuance import krl
from sshd_hook.agent.revoked import Revoked
from sshd_hook.wire import WireError
from tests.certificates import authority, line, subject_key, user_certificate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

DATE = slice(20, 28)  # of a list, the time at which it was made
CA = authority()
OTHER = authority("ecdsa-sha2-nistp256")
EPOCH = 1_790_000_000 << 32  # as our serials begin
LARGEST = 2**64 - 1


def keygen(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = ["ssh-keygen", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)


def sha256(blob: bytes) -> bytes:
    return hashlib.sha256(blob).digest()


def content(path: Path) -> list[str]:
    """All that ssh-keygen finds in a list, in its own order and with runs joined."""
    shown = keygen("-Q", "-l", "-f", path)
    assert shown.returncode == 0, shown.stderr
    return [one for one in shown.stdout.splitlines() if one and not one.startswith("# Generated")]


def serials_in(path: Path) -> set[int]:
    found: set[int] = set()
    for one in content(path):
        if run := re.fullmatch(r"serial: (\d+)(?:-(\d+))?", one):
            found.update(range(int(run[1]), int(run[2] or run[1]) + 1))
    return found


def theirs(
    folder: Path, version: int, serials: Mapping[bytes, Iterable[int]], keys: Iterable[bytes] = ()
) -> Path:
    """The list that ssh-keygen makes of the same, one authority at a time."""
    path = folder / "theirs"
    path.unlink(missing_ok=True)
    (folder / "keys").write_text("".join(f"hash: SHA256:{text_of(key)}\n" for key in keys))
    made = keygen("-k", "-z", str(version), "-f", path, folder / "keys")
    assert made.returncode == 0, made.stderr
    for blob, revoked in serials.items():
        (folder / "ca.pub").write_text(f"{line(blob)}\n")
        (folder / "serials").write_text("".join(f"serial: {one}\n" for one in revoked))
        words = ("-k", "-u", "-z", str(version), "-s", folder / "ca.pub", "-f", path)
        made = keygen(*words, folder / "serials")
        assert made.returncode == 0, made.stderr
    return path


def ours(
    folder: Path, version: int, serials: Mapping[bytes, Iterable[int]], keys: Iterable[bytes] = ()
) -> Path:
    path = folder / "ours"
    path.write_bytes(krl.write(version, 1_700_000_000, serials, keys))
    return path


def text_of(fingerprint: bytes) -> str:
    return b64encode(fingerprint).decode().rstrip("=")


# --- nothing is revoked ---------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 1, 2**32, 2**64 - 1])
def test_it_is_byte_for_byte_what_ssh_keygen_makes(tmp_path: Path, version: int) -> None:
    path = theirs(tmp_path, version, {})
    (date,) = struct.unpack(">Q", path.read_bytes()[DATE])

    assert krl.write(version, date, {}, ()) == path.read_bytes()
    assert krl.write(version, date, {CA.public_key: []}, ()) == path.read_bytes()


def test_ssh_keygen_reads_it_and_finds_nothing_revoked(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text(line(subject_key("ssh-ed25519")))

    asked = keygen("-Q", "-f", ours(tmp_path, 7, {}), tmp_path / "key.pub")

    assert content(tmp_path / "ours") == ["# KRL version 7"]
    assert (asked.returncode, "ok" in asked.stdout) == (0, True), asked


# --- the same as ssh-keygen's ---------------------------------------------------------------

starts = st.one_of(
    st.integers(1, 300), st.integers(EPOCH + 1, EPOCH + 5000), st.integers(1, LARGEST)
)


@st.composite
def serials(draw: st.DrawFn) -> frozenset[int]:
    """Some serials: alone, in runs, with holes, at the ends of what there is."""
    found: set[int] = set(draw(st.sets(st.sampled_from([1, 2, LARGEST - 1, LARGEST]))))
    for _cluster in range(draw(st.integers(0, 4))):
        start, random = draw(starts), draw(st.randoms(use_true_random=False))
        # ssh-keygen's own maps of more than 16384 bits cannot be read, not even by itself.
        span = draw(st.sampled_from([1, 2, 3, 30, 64, 65, 300, 2000]))
        density = draw(st.sampled_from([0.02, 0.3, 0.9, 1]))
        found |= {
            one for one in range(start, min(start + span, LARGEST)) if random.random() < density
        }
    return frozenset(found)


versions = st.integers(0, LARGEST)
fingerprints = st.sets(st.binary(min_size=32, max_size=32), max_size=3)
with_a_folder = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@with_a_folder
@given(versions, serials(), serials(), fingerprints)
def test_it_says_what_ssh_keygens_says(
    tmp_path: Path,
    version: int,
    revoked: frozenset[int],
    others: frozenset[int],
    keys: set[bytes],
) -> None:
    by_authority = {CA.public_key: revoked, OTHER.public_key: others}

    found = content(ours(tmp_path, version, by_authority, keys))

    named = {blob: some for blob, some in by_authority.items() if some}
    made = content(theirs(tmp_path, version, named, keys))
    assert found[0] == made[0] == f"# KRL version {version}"
    assert sections(found) == sections(made)


def sections(shown: list[str]) -> list[list[str]]:
    """What was shown, without the order of the authorities."""
    starts = [number for number, one in enumerate(shown) if one.startswith("# CA key")]
    edges = [0, *starts, len(shown)]
    return sorted(shown[start:end] for start, end in pairwise(edges) if start < end)


def test_certificates_and_keys_are_told_apart_as_by_ssh_keygens(tmp_path: Path) -> None:
    revoked = [5, *range(100, 110), *range(1000, 1100, 3), LARGEST]
    asked = sorted({one + step for one in revoked for step in (-1, 0, 1)} - {LARGEST + 1})
    files = []
    for ca in (CA, OTHER):
        for serial in asked:
            blob = ca.certify(user_certificate(serial=serial, signature_key=ca.public_key))
            files.append(tmp_path / f"{'other' if ca is OTHER else 'ours'}-{serial}.pub")
            files[-1].write_text(line(blob))

    answers = [
        keygen("-Q", "-f", make(tmp_path, 1, {CA.public_key: revoked}), *files)
        for make in (ours, theirs)
    ]

    assert answers[0].stdout == answers[1].stdout
    found = re.findall(r"(ours|other)-(\d+)\.pub.*: REVOKED", answers[0].stdout)
    assert sorted(int(serial) for _whose, serial in found) == revoked
    assert {whose for whose, _serial in found} == {"ours"}
    assert answers[0].stdout.count(": ok") == 2 * len(asked) - len(revoked)


@pytest.mark.attack(62, 65)
@pytest.mark.parametrize("by", ["key", "authority"])
def test_a_fingerprint_reaches_the_key_and_what_it_was_certified_or_signed(
    tmp_path: Path, by: str
) -> None:
    key = subject_key("ssh-ed25519")
    blobs = {
        "key": key,
        "certificate": CA.certify(user_certificate()),
        "of another authority": OTHER.certify(user_certificate(signature_key=OTHER.public_key)),
        "of another key": CA.certify(user_certificate("ssh-rsa")),
        "authority": CA.public_key,
    }
    for name, blob in blobs.items():
        (tmp_path / f"{name}.pub").write_text(line(blob))
    reached = {
        "key": {"key", "certificate", "of another authority"},
        "authority": {"certificate", "of another key", "authority"},
    }
    path = ours(tmp_path, 1, {}, [sha256(blobs[by])])

    answer = keygen("-Q", "-f", path, *(tmp_path / f"{name}.pub" for name in blobs)).stdout

    found = {name for name in blobs if re.search(rf"/{name}\.pub.*: REVOKED", answer)}
    assert found == reached[by], answer


# --- its size -------------------------------------------------------------------------------

MANY = 100_000


@pytest.mark.parametrize(
    ("name", "revoked", "largest"),
    [
        ("a run", range(EPOCH + 1, EPOCH + 1 + MANY), 150),
        ("runs", [*range(1, MANY // 2), *range(MANY, 3 * MANY // 2)], 170),
        ("every second", range(EPOCH + 1, EPOCH + 1 + 2 * MANY, 2), MANY // 4 + 700),
        ("one in eight", Random(1).sample(range(1, 8 * MANY), MANY), MANY + 2000),
        ("far apart", range(1, 1000 * MANY, 1000), 8 * MANY + 150),
    ],
)
def test_many_serials_are_a_small_list(
    tmp_path: Path, name: str, revoked: Iterable[int], largest: int
) -> None:
    path = ours(tmp_path, 1, {CA.public_key: revoked})

    assert path.stat().st_size <= largest, name
    assert serials_in(path) == set(revoked)


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    some = [7, 3, 9, 100, 8]
    keys = [sha256(b"a"), sha256(b"b")]

    lists = {
        krl.write(1, 2, by_authority, [*chosen, *chosen])
        for by_authority in (
            {CA.public_key: some, OTHER.public_key: some[::-1]},
            {OTHER.public_key: [*some, *some], CA.public_key: set(some)},
        )
        for chosen in (keys, keys[::-1])
    }

    assert len(lists) == 1
    (tmp_path / "list").write_bytes(lists.pop())
    assert content(tmp_path / "list").count("serial: 7-9") == 2


@pytest.mark.parametrize("serial", [-1, 0, 2**64])
def test_a_serial_that_no_certificate_has_is_refused(serial: int) -> None:
    with pytest.raises(ValueError, match="serial"):
        krl.write(1, 2, {CA.public_key: [5, serial]}, ())


# --- what the host's agent reads ------------------------------------------------------------


@with_a_folder
@given(serials(), serials(), fingerprints)
def test_the_agent_reads_what_was_written(
    some: frozenset[int], others: frozenset[int], keys: set[bytes]
) -> None:
    spared = set(sorted(some)[::3])
    data = krl.write(7, 1, {CA.public_key: some, OTHER.public_key: others}, keys, spared)
    near = {one + step for one in some | others for step in (-1, 0, 1)}

    read = Revoked(data)

    assert read.version == 7
    assert {one for one in near if read.serial(one)} == (some | others) - spared
    assert all(read.key(f"SHA256:{text_of(key)}") for key in keys)
    assert not read.key(f"SHA256:{text_of(sha256(b'another'))}")


def test_whoever_is_spared_stands_in_the_comment_that_sshd_passes_over(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(krl.write(7, 1, {CA.public_key: [3, 5, 8]}, (), [8, 3]))

    assert "# Comment: spared 3 8" in content(path)
    assert serials_in(path) == {3, 5, 8}


@given(st.binary(max_size=200), st.integers(0, 400))
def test_the_agent_reads_nothing_that_is_damaged(noise: bytes, cut: int) -> None:
    data = krl.write(7, 1, {CA.public_key: [3, 5, 8]}, [sha256(b"key")])
    for wrong in (noise, data + noise[:9], data[: cut % len(data)]):
        if wrong != data:
            with contextlib.suppress(WireError):
                assert not Revoked(wrong).serial(4)
