"""The host's policy file: writing it, and finding one service in it without reading the rest.

docs/bundle-format.md has every byte. The CA signs the file as it is (SSHSIG, namespace
`amrgate-bundle`); the agent verifies that before it installs it. The hook reads the header, one
entry of an index and one bucket for the service, the same for the person, and checks a CRC-32
over each: a million services cost it what ten cost.
"""

import binascii
import posix

from sshd_hook.freshness import MAX_OFFLINE
from sshd_hook.names import is_slug, is_user_id, parse_service
from sshd_hook.policy import OWNER, VIEWER, Requirement, in_order
from sshd_hook.wire import Reader, string, u32, u64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

NAMESPACE = "amrgate-bundle"
MAGIC = b"amrgate-bundle-1"
PURPOSE = "ssh-policy"

MAX_HEADER = 8192  # bytes, of all before the first index
MAX_BUCKET = 65536  # bytes
MAX_ITEM = 8192  # bytes
LOAD = 4  # items in a bucket, on average
ATTEMPTS = 32  # at a and b for which no bucket is too long

# The hash of a key k is (a·k + b) mod PRIME mod buckets, a and b drawn anew for each bundle: nobody
# can choose names that share a bucket. A CRC would be no such hash, for it is linear.
PRIME = 2**1279 - 1  # more than any key
FACTOR = 160  # bytes of a and of b
ENTRY = 16  # bytes of an index for each bucket: offset, length, CRC-32
SERVICES, ROLES = 1, 2

DEVICE, INSIDE = 1, 2  # flags: takes device logins; only from some networks

_NETWORK = frozenset("0123456789abcdef.:/")
_FORWARD = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-:[]")
_DIGITS = frozenset("0123456789")
MAX_PORT = 65535
MAX_PORT_DIGITS = 5


class BundleError(ValueError):
    """These bytes are not a bundle, or not any more; or they would not become one."""


class ServiceRecord:
    """What a host knows of a service.

    `name` has no instance; `max_offline` is in seconds; `access_list` is the number of the list of
    who has a role on its environment; `forwards` are the `host:port` that connections may reach.
    """

    __slots__ = ("access_list", "forwards", "max_offline", "name", "requirement")

    def __init__(
        self,
        name: str,
        requirement: Requirement,
        *,
        max_offline: int,
        access_list: int,
        forwards: "tuple[str, ...]" = (),
    ) -> None:
        self.name = name
        self.requirement = requirement
        self.max_offline = max_offline
        self.access_list = access_list
        self.forwards = forwards


class BundleContent:
    """All that the CA tells one host. What is not in it does not exist there.

    `authorities` are the trusted user CA keys (RFC 4253, section 6.6). The access list number n is
    `access_lists[n]`: from the user id to the role and whether the user is exempt.
    """

    __slots__ = ("access_lists", "authorities", "host_id", "services", "version")

    def __init__(
        self,
        *,
        host_id: str,
        version: int,
        authorities: "tuple[bytes, ...]",
        services: "Iterable[ServiceRecord]",
        access_lists: "Sequence[Mapping[str, tuple[int, bool]]]",
    ) -> None:
        self.host_id = host_id
        self.version = version
        self.authorities = authorities
        self.services = services
        self.access_lists = access_lists


# --- reading --------------------------------------------------------------------------------


class Bundle:
    """A reader of a bundle of `size` bytes. `read` takes an offset and a number of bytes.

    Raises:
        BundleError: the header is not that of a bundle of this size. Every method raises it
            too, or WireError, for what it reads. Both are ValueErrors.
    """

    __slots__ = ("_read", "_roles", "_services", "authorities", "host_id", "strictest", "version")

    def __init__(self, read: "Callable[[int, int], bytes]", size: int) -> None:
        self._read = read
        reader = _header(read(0, MAX_HEADER))
        if reader.text() != PURPOSE:
            raise BundleError("for another purpose")
        self.host_id = reader.text()
        self.version = reader.u64()
        if reader.u64() != size:
            raise BundleError("not of its own length")
        self.strictest = reader.u32()
        self.authorities = tuple(reader.string() for _ in range(reader.u32()))
        self._services = _Table(SERVICES, reader)
        self._roles = _Table(ROLES, reader)
        reader.end()

    def trusts(self, authority: bytes) -> bool:
        """Whether a key is one of the trusted user CAs."""
        return authority in self.authorities

    def service(self, name: str) -> "ServiceRecord | None":
        """What is known of the service of this record name (`ServiceName.record`)."""
        value = self._services.find(name.encode(), self._read)
        return None if value is None else _service(name, Reader(value))

    def role(self, access_list: int, user_id: str) -> "tuple[int, bool] | None":
        """The role of a user on an access list, and whether the user is exempt."""
        value = self._roles.find(_role_key(access_list, user_id), self._read)
        if value is None:
            return None
        reader = Reader(value)
        role, exempt = reader.u8(), reader.u8()
        reader.end()
        return role, bool(exempt)


def from_bytes(data: bytes) -> Bundle:
    """A reader of a bundle in memory."""
    return Bundle(lambda offset, length: data[offset : offset + length], len(data))


def from_fd(fd: int, size: int) -> Bundle:
    """A reader of an open file, which is to stay open."""
    return Bundle(lambda offset, length: posix.pread(fd, length, offset), size)


def _header(start: bytes) -> Reader:
    reader = Reader(start[len(MAGIC) :])
    if not start.startswith(MAGIC):
        raise BundleError("not a bundle of a known format")
    header = reader.string()
    if reader.u32() != binascii.crc32(MAGIC + string(header)):
        raise BundleError("the header is damaged")
    return Reader(header)


class _Table:
    """A hash table in the file, as the header describes it."""

    __slots__ = ("_a", "_b", "_buckets", "_index", "_number")

    def __init__(self, number: int, reader: Reader) -> None:
        self._number = number
        self._buckets = reader.u32()
        self._index = reader.u64()
        self._a = int.from_bytes(reader.string(), "big")
        self._b = int.from_bytes(reader.string(), "big")
        if not self._buckets:
            raise BundleError("a table without a bucket")

    def find(self, key: bytes, read: "Callable[[int, int], bytes]") -> "bytes | None":
        """The value of a key, None if it is not there."""
        bucket = _hash(key, self._a, self._b) % self._buckets
        entry = Reader(read(self._index + ENTRY * bucket, ENTRY))
        offset, length, crc = entry.u64(), entry.u32(), entry.u32()
        if length > MAX_BUCKET:
            raise BundleError("a bucket is too long")
        data = read(offset, length)
        if len(data) != length or crc != _crc(self._number, bucket, data):
            raise BundleError("a bucket is damaged")
        reader = Reader(data)
        while reader:
            found, value = reader.string(), reader.string()
            if found == key:
                return value
        return None


def _service(name: str, reader: Reader) -> ServiceRecord:
    access_list, max_offline = reader.u32(), reader.u32()
    amr, max_age, flags = reader.text(), reader.u32(), reader.u8()
    networks, providers, forwards = reader.text(), reader.text(), reader.text()
    reader.end()
    requirement = Requirement(
        frozenset(_words(amr)),
        max_age or None,
        _words(networks) if flags & INSIDE else None,
        device=bool(flags & DEVICE),
        providers=frozenset(_words(providers)),
    )
    record = ServiceRecord(
        name,
        requirement,
        max_offline=max_offline,
        access_list=access_list,
        forwards=_words(forwards),
    )
    _check_terms(record)
    return record


def _words(text: str) -> "tuple[str, ...]":
    return tuple(text.split(",")) if text else ()


def _check_terms(record: ServiceRecord) -> None:
    """Check what a service grants and demands, on the way in and on the way out.

    Networks and forwards are written into a line for sshd, which a `"` or `#` would end early.
    """
    requirement = record.requirement
    if not all(value == "mfa" or _is_login(value) for value in requirement.amr):
        raise BundleError(f"{record.name} requires what no login can show")
    if not all(map(is_slug, requirement.providers)):
        raise BundleError(f"{record.name} has a provider that has no slug")
    if not all(network and _NETWORK.issuperset(network) for network in requirement.networks or ()):
        raise BundleError(f"{record.name} has a network that is none")
    if not all(map(_is_forward, record.forwards)):
        raise BundleError(f"{record.name} forwards to what is not host:port")
    if not 0 < record.max_offline <= MAX_OFFLINE:
        raise BundleError(f"{record.name} may be offline for no time or for too long")


def _is_login(value: str) -> bool:
    return value.startswith("sso:") and is_slug(value[4:])


def _is_forward(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return (
        bool(host)
        and _FORWARD.issuperset(host)
        and 0 < len(port) <= MAX_PORT_DIGITS
        and _DIGITS.issuperset(port)
        and 0 < int(port) <= MAX_PORT
    )


def _role_key(access_list: int, user_id: str) -> bytes:
    return u32(access_list) + bytes.fromhex(user_id.replace("-", ""))


def _hash(key: bytes, a: int, b: int) -> int:
    return (a * int.from_bytes(key, "big") + b) % PRIME


def _crc(table: int, bucket: int, data: bytes) -> int:
    """Of the place as well, so that a damaged index does not lead to another bucket."""
    return binascii.crc32(u32(table) + u32(bucket) + data)


# --- writing --------------------------------------------------------------------------------


def write(content: BundleContent) -> bytes:
    """The bundle as bytes.

    Raises:
        BundleError: some of it cannot stand in a bundle; the message says what.
    """
    from secrets import randbelow  # slow to import; the hook never writes

    return write_with(content, randbelow)


def write_with(content: BundleContent, draw: "Callable[[int], int]") -> bytes:
    """The bundle with the factors that `draw` chooses: it returns a number below its argument.

    Raises:
        BundleError: as `write` does.
    """
    services = list(content.services)
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
    tables: "tuple[_WrittenTable, _WrittenTable]",
    offsets: "tuple[int, int]",
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
            *(table.description(offset) for table, offset in zip(tables, offsets)),
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
        self, number: int, items: "list[tuple[bytes, bytes]]", draw: "Callable[[int], int]"
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
            index.append(u64(offset) + u32(len(data)) + u32(_crc(self._number, number, data)))
            offset += len(data)
        return b"".join((*index, *self._buckets))


def _distribute(items: "list[tuple[bytes, bytes]]", a: int, b: int) -> "list[bytes]":
    count = len(items) // LOAD + 1
    buckets: "list[list[bytes]]" = [[] for _ in range(count)]
    for key, item in items:
        buckets[_hash(key, a, b) % count].append(item)
    return [b"".join(bucket) for bucket in buckets]


def _service_items(services: "list[ServiceRecord]", lists: int) -> "list[tuple[bytes, bytes]]":
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
    _check_terms(record)
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


def _text(words: "Iterable[str]") -> bytes:
    return string(",".join(words).encode())


def _role_items(
    access_lists: "Sequence[Mapping[str, tuple[int, bool]]]",
) -> "list[tuple[bytes, bytes]]":
    items = []
    for number, access_list in enumerate(access_lists):
        for user_id, (role, exempt) in access_list.items():
            if not is_user_id(user_id) or not VIEWER <= role <= OWNER:
                raise BundleError(f"{user_id!r} with the role {role} is no user with a role")
            key = _role_key(number, user_id)
            items.append((key, string(key) + string(bytes((role, exempt)))))
    return items
