"""The host's policy file: finding one service in it without reading the rest.

docs/bundle-format.md has every byte, and `ca.hosts.bundle_writer` writes them. The CA signs the file as it
is (SSHSIG, namespace `amrgate-bundle`); the agent verifies that before it installs it. The hook
reads the header, one entry of an index and one bucket for the service, the same for the person, and
checks a CRC-32 over each: a million services cost it what ten cost.
"""

import binascii
import posix

from sshd_hook.freshness import MAX_OFFLINE
from sshd_hook.names import is_slug
from sshd_hook.policy import Requirement
from sshd_hook.wire import Reader, string, u32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NAMESPACE = "amrgate-bundle"
MAGIC = b"amrgate-bundle-1"
PURPOSE = "ssh-policy"

MAX_HEADER = 8192  # bytes, of all before the first index
MAX_BUCKET = 65536  # bytes

# The hash of a key k is (a·k + b) mod PRIME mod buckets, a and b drawn anew for each bundle: nobody
# can choose names that share a bucket. A CRC would be no such hash, for it is linear.
BITS = 1279
PRIME = (1 << BITS) - 1  # more than any key
FACTOR = 160  # bytes of a and of b
ENTRY = 16  # bytes of an index for each bucket: offset, length, CRC-32
SERVICES, ROLES = 1, 2

# Flags: takes device logins; only from some networks; a part of what it asks is only reported.
DEVICE, INSIDE, REPORTS = 1, 2, 4

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
    `requirement` is held against every login. `reported`, if there is one, is all that is asked
    for: whoever meets only the former is let in, and the log says what they lack.
    """

    __slots__ = ("access_list", "forwards", "max_offline", "name", "reported", "requirement")

    def __init__(  # noqa: PLR0913 -- all that a host is told of it
        self,
        name: str,
        requirement: Requirement,
        *,
        max_offline: int,
        access_list: int,
        forwards: "tuple[str, ...]" = (),
        reported: "Requirement | None" = None,
    ) -> None:
        self.name = name
        self.requirement = requirement
        self.max_offline = max_offline
        self.access_list = access_list
        self.forwards = forwards
        self.reported = reported


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
        if value is None:
            return None
        record, flags = _service(name, Reader(value))
        if flags & REPORTS:
            record.reported = _reported(
                record.requirement, self._services.find(reported_key(name), self._read)
            )
        check_terms(record)
        return record

    def role(self, access_list: int, user_id: str) -> "tuple[int, bool] | None":
        """The role of a user on an access list, and whether the user is exempt."""
        value = self._roles.find(role_key(access_list, user_key(user_id)), self._read)
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
        bucket = hash_of(key, self._a, self._b) % self._buckets
        entry = Reader(read(self._index + ENTRY * bucket, ENTRY))
        offset, length, crc = entry.u64(), entry.u32(), entry.u32()
        if length > MAX_BUCKET:
            raise BundleError("a bucket is too long")
        data = read(offset, length)
        if len(data) != length or crc != crc_of(self._number, bucket, data):
            raise BundleError("a bucket is damaged")
        reader = Reader(data)
        while reader:
            found, value = reader.string(), reader.string()
            if found == key:
                return value
        return None


def _service(name: str, reader: Reader) -> "tuple[ServiceRecord, int]":
    """A service but for what is only reported, and its flags."""
    access_list, max_offline = reader.u32(), reader.u32()
    amr, max_age, flags = reader.text(), reader.u32(), reader.u8()
    networks, providers, forwards = reader.text(), reader.text(), reader.text()
    reader.end()
    if flags > DEVICE | INSIDE | REPORTS:
        raise BundleError(f"{name} has a flag that is not known")
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
    return record, flags


def _reported(held: Requirement, value: "bytes | None") -> Requirement:
    """All that is asked for, on top of the networks, which are always held."""
    if value is None:
        raise BundleError("what is only reported is missing")
    reader = Reader(value)
    amr, max_age, flags = reader.text(), reader.u32(), reader.u8()
    reader.end()
    if flags > DEVICE:
        raise BundleError("what is only reported has a flag that is not known")
    return Requirement(
        frozenset(_words(amr)),
        max_age or None,
        held.networks,
        device=bool(flags & DEVICE),
        providers=held.providers,
    )


def _words(text: str) -> "tuple[str, ...]":
    return tuple(text.split(",")) if text else ()


def check_terms(record: ServiceRecord) -> None:
    """Check what a service grants and demands, on the way in and on the way out.

    Networks and forwards are written into a line for sshd, which a `"` or `#` would end early.
    """
    requirement, reported = record.requirement, record.reported
    amr = requirement.amr | (reported.amr if reported else frozenset())
    if not all(value == "mfa" or _is_login(value) for value in amr):
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


def reported_key(name: str) -> bytes:
    """The key of what is only reported of a service. It is nobody's name: no name has a slash."""
    return f"reported/{name}".encode()


def role_key(access_list: int, user: bytes) -> bytes:
    """The key of a role: of whom (`user_key`), on which list."""
    return u32(access_list) + user


def user_key(user_id: str) -> bytes:
    """The 16 bytes of a user id."""
    return bytes.fromhex(user_id.replace("-", ""))


def hash_of(key: bytes, a: int, b: int) -> int:
    """The hash of a key, of which the remainder by the number of buckets is its bucket."""
    number = a * int.from_bytes(key, "big") + b
    # 2**BITS is 1 modulo PRIME. A division takes twice as long, and a bundle may need a million.
    number = (number & PRIME) + (number >> BITS)
    return number - PRIME if number >= PRIME else number


def crc_of(table: int, bucket: int, data: bytes) -> int:
    """Of the place as well, so that a damaged index does not lead to another bucket."""
    return binascii.crc32(u32(table) + u32(bucket) + data)
