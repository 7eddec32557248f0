"""Writing a host's policy file, which `sshd_hook.bundle` reads. docs/bundle-format.md has every byte."""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from secrets import randbelow
from typing import TYPE_CHECKING

from sshd_hook.bundle import (
    DEVICE,
    ENTRY,
    FACTOR,
    INSIDE,
    MAGIC,
    MAX_BUCKET,
    MAX_HEADER,
    PRIME,
    PURPOSE,
    ROLES,
    SERVICES,
    BundleError,
    check_terms,
    crc_of,
    hash_of,
    role_key,
)
from sshd_hook.freshness import MAX_OFFLINE
from sshd_hook.names import is_user_id, parse_service
from sshd_hook.policy import OWNER, VIEWER, in_order
from sshd_hook.wire import string, u32, u64

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sshd_hook.bundle import ServiceRecord

MAX_ITEM = 8192  # bytes
LOAD = 4  # items in a bucket, on average
ATTEMPTS = 32  # at a and b for which no bucket is too long


@dataclass
class BundleContent:
    """All that the CA tells one host. What is not in it does not exist there.

    `authorities` are the trusted user CA keys (RFC 4253, section 6.6). The access list number n is
    `access_lists[n]`: from the user id to the role and whether the user is exempt.
    """

    host_id: str
    version: int
    authorities: tuple[bytes, ...]
    services: Sequence[ServiceRecord]
    access_lists: Sequence[Mapping[str, tuple[int, bool]]]


def write(content: BundleContent) -> bytes:
    """The bundle as bytes.

    Raises:
        BundleError: some of it cannot stand in a bundle; the message says what.
    """
    return write_with(content, randbelow)


def write_with(content: BundleContent, draw: Callable[[int], int]) -> bytes:
    """The bundle with the factors that `draw` chooses: it returns a number below its argument.

    Raises:
        BundleError: as `write` does.
    """
    services = content.services
    tables = (
        _WrittenTable(SERVICES, _service_items(services, len(content.access_lists)), draw),
        _WrittenTable(ROLES, _role_items(content.access_lists), draw),
    )
    strictest = min((record.max_offline for record in services), default=MAX_OFFLINE)
    # The header's length does not depend on the offsets in it.
    start = len(_write_header(content, strictest, tables, (0, 0), 0))
    middle = start + tables[0].size
    end = middle + tables[1].size
    header = _write_header(content, strictest, tables, (start, middle), end)
    return b"".join((header, tables[0].at(start), tables[1].at(middle)))


def _write_header(
    content: BundleContent,
    strictest: int,
    tables: tuple[_WrittenTable, _WrittenTable],
    offsets: tuple[int, int],
    size: int,
) -> bytes:
    header = b"".join(
        (
            string(PURPOSE.encode()),
            string(content.host_id.encode()),
            u64(content.version),
            u64(size),
            u32(strictest),
            u32(len(content.authorities)),
            *map(string, content.authorities),
            *(table.description(offset) for table, offset in zip(tables, offsets, strict=True)),
        )
    )
    start = MAGIC + string(header)
    if len(start) + 4 > MAX_HEADER:
        raise BundleError("too many or too long authorities")
    return start + u32(binascii.crc32(start))


class _WrittenTable:
    """A hash table of (key, encoded key and value), laid out but for its place in the file."""

    __slots__ = ("_a", "_b", "_buckets", "_number", "size")

    def __init__(
        self, number: int, items: list[tuple[bytes, bytes]], draw: Callable[[int], int]
    ) -> None:
        self._number = number
        for _ in range(ATTEMPTS):
            self._a, self._b = draw(PRIME - 1) + 1, draw(PRIME)
            self._buckets = _distribute(items, self._a, self._b)
            if max(map(len, self._buckets)) <= MAX_BUCKET:
                self.size = sum(map(len, self._buckets)) + ENTRY * len(self._buckets)
                return
        raise BundleError("the records do not fit into buckets")

    def description(self, offset: int) -> bytes:
        """What the header says of it when its index is at `offset`."""
        factors = (number.to_bytes(FACTOR, "big") for number in (self._a, self._b))
        return u32(len(self._buckets)) + u64(offset) + b"".join(map(string, factors))

    def at(self, offset: int) -> bytes:
        """Its index, to be at `offset`, and its buckets right after."""
        offset += ENTRY * len(self._buckets)
        index = []
        for number, data in enumerate(self._buckets):
            index.append(u64(offset) + u32(len(data)) + u32(crc_of(self._number, number, data)))
            offset += len(data)
        return b"".join((*index, *self._buckets))


def _distribute(items: list[tuple[bytes, bytes]], a: int, b: int) -> list[bytes]:
    count = len(items) // LOAD + 1
    buckets: list[list[bytes]] = [[] for _ in range(count)]
    for key, item in items:
        buckets[hash_of(key, a, b) % count].append(item)
    return [b"".join(bucket) for bucket in buckets]


def _service_items(services: Sequence[ServiceRecord], lists: int) -> list[tuple[bytes, bytes]]:
    items = []
    names = set()
    for record in services:
        name = parse_service(record.name)
        if name is None or name.record != record.name or record.name in names:
            raise BundleError(f"{record.name!r} is not the name of one service")
        if not 0 <= record.access_list < lists:
            raise BundleError(f"{record.name} has an access list that there is not")
        names.add(record.name)
        key = record.name.encode()
        item = string(key) + string(_write_service(record))
        if len(item) > MAX_ITEM:
            raise BundleError(f"{record.name} has too many networks, providers or forwards")
        items.append((key, item))
    return items


def _write_service(record: ServiceRecord) -> bytes:
    check_terms(record)
    requirement = record.requirement
    networks = requirement.networks
    flags = (DEVICE if requirement.device else 0) | (0 if networks is None else INSIDE)
    return b"".join(
        (
            u32(record.access_list),
            u32(record.max_offline),
            _text(in_order(requirement.amr)),
            u32(requirement.max_age or 0),
            bytes((flags,)),
            _text(networks or ()),
            _text(sorted(requirement.providers)),
            _text(record.forwards),
        )
    )


def _text(words: Iterable[str]) -> bytes:
    return string(",".join(words).encode())


def _role_items(
    access_lists: Sequence[Mapping[str, tuple[int, bool]]],
) -> list[tuple[bytes, bytes]]:
    items = []
    for number, access_list in enumerate(access_lists):
        for user_id, (role, exempt) in access_list.items():
            if not is_user_id(user_id) or not VIEWER <= role <= OWNER:
                raise BundleError(f"{user_id!r} with the role {role} is no user with a role")
            key = role_key(number, user_id)
            items.append((key, string(key) + string(bytes((role, exempt)))))
    return items
