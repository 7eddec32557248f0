"""OpenSSH's revocation list (PROTOCOL.krl), as hosts hand it to sshd's RevokedKeys.

sshd takes an absent, cut off or unreadable list as "everything is revoked" and one of no bytes as
"nothing is": so also where nothing is revoked, there is a list to install, and it has a version.

Serials are written in the shortest of three ways: one by one, as a range, or as a map of bits. Keys
are written by their fingerprint, which also reaches every certificate of the key, and every one
that the key signed. Key ids are not used: ours are user ids, and an entry would refuse what its
user gets after the next login as well.

The comment, which sshd passes over, names the serials that are refused but whose open connections
stay (`SPARED`): the host's agent reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sshd_hook import wire
from sshd_hook.agent.revoked import (
    CERTIFICATES,
    FINGERPRINTS,
    FORMAT,
    MAGIC,
    SERIAL_BITMAP,
    SERIAL_LIST,
    SERIAL_RANGE,
    SPARED,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# What each way costs, in bytes.
LISTED = 8  # a serial
RANGE = 21  # a range of any length, with its head
BITMAP = 18  # a map, with its head and without its bits
BITMAP_GAP = 8 * LISTED  # serials: to skip more in a map costs more than to begin another
MAX_BITMAP = 1 << 13  # bits; ssh-keygen and sshd read twice as many

Run = tuple[int, int]  # the first and the last of serials without a gap


def write(
    version: int,
    generated_at: int,
    serials: Mapping[bytes, Iterable[int]],
    fingerprints: Iterable[bytes],
    spared: Iterable[int] = (),
) -> bytes:
    """The list that revokes certificates by CA key and serial, and keys by their SHA-256.

    `version` grows with every change; `generated_at` is in seconds since the epoch. sshd looks at
    neither: that a list is not an older one is for whoever installs it to see. The same content is
    always the same bytes. `spared` are the serials whose open connections stay.

    Raises:
        ValueError: a serial is 0, which sshd never finds in a list, or has more than 64 bits.
    """
    flags, reserved = wire.u64(0), wire.string(b"")
    words = [str(serial) for serial in sorted(spared)]
    comment = wire.string(" ".join((SPARED, *words) if words else ()).encode())
    header = wire.u32(FORMAT) + wire.u64(version) + wire.u64(generated_at)
    sections = [
        _part(CERTIFICATES, wire.string(authority) + reserved + b"".join(_serials(sorted(revoked))))
        for authority, found in sorted(serials.items())
        if (revoked := set(found))
    ]
    keys = sorted(set(fingerprints))
    if keys:
        sections.append(_part(FINGERPRINTS, b"".join(map(wire.string, keys))))
    return MAGIC + header + flags + reserved + comment + b"".join(sections)


def _serials(serials: list[int]) -> Iterator[bytes]:
    """The parts of a CA's section, for serials in order."""
    if serials[0] < 1 or serials[-1] >= 1 << 64:
        raise ValueError("a serial is none that a certificate of ours can have")
    single: list[int] = []
    for cluster in _clusters(_runs(serials)):
        span = cluster[-1][1] - cluster[0][0] + 1
        if len(cluster) > 1 and BITMAP + span // 8 < sum(map(_cost, cluster)):
            yield _bitmap(cluster)
            continue
        for first, last in cluster:
            if _cost((first, last)) == RANGE:
                yield _part(SERIAL_RANGE, wire.u64(first) + wire.u64(last))
            else:
                single.extend(range(first, last + 1))
    if single:
        yield _part(SERIAL_LIST, b"".join(map(wire.u64, single)))


def _runs(serials: list[int]) -> Iterator[Run]:
    first = last = serials[0]
    for serial in serials[1:]:
        if serial != last + 1:
            yield first, last
            first = serial
        last = serial
    yield first, last


def _clusters(runs: Iterable[Run]) -> Iterator[list[Run]]:
    """Runs that are close enough to each other for one map of bits; long ones stand alone."""
    cluster: list[Run] = []
    for run in runs:
        first, last = run
        alone = last - first >= RANGE * 8  # a map would need more bytes than a range
        if cluster and (
            alone or first - cluster[-1][1] > BITMAP_GAP or last - cluster[0][0] >= MAX_BITMAP
        ):
            yield cluster
            cluster = []
        cluster.append(run)
        if alone:
            yield cluster
            cluster = []
    if cluster:
        yield cluster


def _cost(run: Run) -> int:
    return min(RANGE, LISTED * (run[1] - run[0] + 1))


def _bitmap(cluster: list[Run]) -> bytes:
    offset = cluster[0][0]
    bits = 0
    for first, last in cluster:
        bits |= ((1 << (last - first + 1)) - 1) << (first - offset)
    return _part(SERIAL_BITMAP, wire.u64(offset) + wire.mpint(bits))


def _part(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + wire.string(content)
