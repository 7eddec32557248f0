"""Writing a host's policy file, which `sshd_hook.bundle` reads. docs/bundle-format.md has every byte.

First the content is encoded, then it is laid out: what a host is told is the same for as long as
the encoded content is, and only what goes to a host needs a version and a place in the file.
"""

from __future__ import annotations

import binascii
import hashlib
import struct
from dataclasses import dataclass
from functools import lru_cache
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
    REPORTS,
    ROLES,
    SERVICES,
    BundleError,
    check_terms,
    crc_of,
    hash_of,
    reported_key,
    role_key,
    user_key,
)
from sshd_hook.freshness import MAX_OFFLINE
from sshd_hook.names import is_user_id, parse_service
from sshd_hook.policy import OWNER, VIEWER, in_order
from sshd_hook.wire import string, u32, u64

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sshd_hook.bundle import ServiceRecord
    from sshd_hook.policy import Requirement

MAX_ITEM = 8192  # bytes
LOAD = 4  # items in a bucket, on average
ATTEMPTS = 32  # at a and b for which no bucket is too long

REMEMBERED = 1 << 15  # names, and as many user ids: taking one apart costs more than all the rest

Item = tuple[bytes, bytes]
"""A key, and how it stands in its bucket together with its value."""


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


@dataclass(frozen=True)
class Encoded:
    """A bundle but for its version and its layout. `names` are those of its services."""

    host_id: str
    names: tuple[str, ...]
    authorities: tuple[bytes, ...]
    strictest: int
    services: list[Item]
    roles: list[Item]

    def digest(self) -> str:
        """SHA-256 in hex of all of it: two are the same exactly if they tell a host the same."""
        host_id, authorities = string(self.host_id.encode()), map(string, self.authorities)
        head = b"".join((MAGIC, host_id, u32(len(self.authorities)), *authorities))
        digest = hashlib.sha256(head + u32(self.strictest))
        for items in (self.services, self.roles):
            digest.update(u32(len(items)))
            digest.update(b"".join([item for _key, item in items]))
        return digest.hexdigest()


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
    return lay_out(encode(content), content.version, draw)


def encode(content: BundleContent) -> Encoded:
    """Encode what a host is told, in the order in which it is given.

    Raises:
        BundleError: some of it cannot stand in a bundle.
    """
    return Encoded(
        content.host_id,
        tuple(record.name for record in content.services),
        content.authorities,
        min((record.max_offline for record in content.services), default=MAX_OFFLINE),
        _service_items(content.services, len(content.access_lists)),
        _role_items(content.access_lists),
    )


def lay_out(encoded: Encoded, version: int, draw: Callable[[int], int]) -> bytes:
    """The bundle of this version, with the factors that `draw` chooses.

    Raises:
        BundleError: there is no room for all of it.
    """
    tables = (
        _WrittenTable(SERVICES, encoded.services, draw),
        _WrittenTable(ROLES, encoded.roles, draw),
    )
    # The header's length does not depend on the numbers in it.
    start = len(_write_header(encoded, version, tables, (0, 0), 0))
    middle = start + tables[0].size
    end = middle + tables[1].size
    header = _write_header(encoded, version, tables, (start, middle), end)
    return b"".join((header, tables[0].at(start), tables[1].at(middle)))


def _write_header(
    encoded: Encoded,
    version: int,
    tables: tuple[_WrittenTable, _WrittenTable],
    offsets: tuple[int, int],
    size: int,
) -> bytes:
    header = b"".join(
        (
            string(PURPOSE.encode()),
            string(encoded.host_id.encode()),
            u64(version),
            u64(size),
            u32(encoded.strictest),
            u32(len(encoded.authorities)),
            *map(string, encoded.authorities),
            *(table.description(offset) for table, offset in zip(tables, offsets, strict=True)),
        )
    )
    start = MAGIC + string(header)
    if len(start) + 4 > MAX_HEADER:
        raise BundleError("too many or too long authorities")
    return start + u32(binascii.crc32(start))


class _WrittenTable:
    """A hash table of items, laid out but for its place in the file."""

    __slots__ = ("_a", "_b", "_buckets", "_number", "size")

    def __init__(self, number: int, items: list[Item], draw: Callable[[int], int]) -> None:
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
        entry = struct.Struct(">QLL").pack
        index = []
        for number, data in enumerate(self._buckets):
            index.append(entry(offset, len(data), crc_of(self._number, number, data)))
            offset += len(data)
        return b"".join((*index, *self._buckets))


def _distribute(items: list[Item], a: int, b: int) -> list[bytes]:
    count = len(items) // LOAD + 1
    buckets: list[list[bytes]] = [[] for _ in range(count)]
    for key, item in items:
        buckets[hash_of(key, a, b) % count].append(item)
    return [b"".join(bucket) for bucket in buckets]


def _service_items(services: Sequence[ServiceRecord], lists: int) -> list[Item]:
    items = []
    values: dict[object, bytes] = {}
    for record in services:
        # Most services of a project have the very same terms.
        held, reported = record.requirement, record.reported
        terms = record.access_list, record.max_offline, held, reported, record.forwards
        if terms not in values:
            values[terms] = string(_write_terms(record, lists))
        key, written = _service_key(record.name)
        item = written + values[terms]
        if len(item) > MAX_ITEM:
            raise BundleError(f"{record.name} has too many networks, providers or forwards")
        items.append((key, item))
        if reported is not None:
            reported_as = reported_key(record.name)
            items.append((reported_as, string(reported_as) + string(_write_reported(reported))))
    if len(dict(items)) < len(items):
        raise BundleError("two services have one name")
    return items


@lru_cache(REMEMBERED)
def _service_key(name: str) -> tuple[bytes, bytes]:
    """The key of a service, and how it is written."""
    parsed = parse_service(name)
    if parsed is None or parsed.record != name:
        raise BundleError(f"{name!r} is not the name of a service")
    key = name.encode()
    return key, string(key)


def _write_terms(record: ServiceRecord, lists: int) -> bytes:
    """The value of a service, of which there are `lists` access lists to choose from."""
    check_terms(record)
    if not 0 <= record.access_list < lists:
        raise BundleError(f"{record.name} has an access list that there is not")
    requirement = record.requirement
    networks = requirement.networks
    flags = (DEVICE if requirement.device else 0) | (0 if networks is None else INSIDE)
    flags |= 0 if record.reported is None else REPORTS
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


def _write_reported(asked: Requirement) -> bytes:
    """What is only reported: the networks are always held, so they are not in it."""
    flags = DEVICE if asked.device else 0
    return _text(in_order(asked.amr)) + u32(asked.max_age or 0) + bytes((flags,))


def _text(words: Iterable[str]) -> bytes:
    return string(",".join(words).encode())


def _role_items(access_lists: Sequence[Mapping[str, tuple[int, bool]]]) -> list[Item]:
    items = []
    values: dict[object, bytes] = {}
    for number, access_list in enumerate(access_lists):
        for user_id, granted in access_list.items():
            if granted not in values:
                values[granted] = string(_write_role(*granted))
            key = role_key(number, _user_key(user_id))
            items.append((key, string(key) + values[granted]))
    return items


@lru_cache(REMEMBERED)
def _user_key(user_id: str) -> bytes:
    """The key of a user, who must be one."""
    if not is_user_id(user_id):
        raise BundleError(f"{user_id!r} is not the id of a user")
    return user_key(user_id)


def _write_role(role: int, exempt: bool) -> bytes:  # noqa: FBT001 -- as access lists have it
    if not VIEWER <= role <= OWNER:
        raise BundleError(f"{role} is not a role")
    return bytes((role, exempt))
