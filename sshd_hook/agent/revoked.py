"""Reading the revocation list (PROTOCOL.krl), as far as ours goes, for connections that are open.

sshd looks at it only when somebody logs in. What it has no place for stands in its comment: the
serials that are refused but whose open connections stay.
"""

from __future__ import annotations

import base64

from sshd_hook.wire import Reader, WireError

MAGIC = b"SSHKRL\n\0"
FORMAT = 1
CERTIFICATES, FINGERPRINTS = 1, 5  # sections
SERIAL_LIST, SERIAL_RANGE, SERIAL_BITMAP = 0x20, 0x21, 0x22  # parts of CERTIFICATES
SPARED = "spared"  # the comment's first word, before serials


class Revoked:
    """What a list refuses: serials, one by one, in ranges or in maps of bits; and keys."""

    __slots__ = ("_keys", "_maps", "_ranges", "_serials", "_spared", "version")

    def __init__(self, data: bytes) -> None:
        """Read a list.

        Raises:
            WireError: it is not one of ours.
        """
        self._serials: set[int] = set()
        self._ranges: list[tuple[int, int]] = []
        self._maps: list[tuple[int, int]] = []
        self._keys: set[str] = set()
        self.version, reader = _header(data)
        reader.u64()  # when it was made
        reader.u64()  # flags
        reader.string()
        self._spared = _spared(reader.text())
        while reader:
            self._section(reader.u8(), Reader(reader.string()))

    def serial(self, serial: int) -> bool:
        """Whether the certificate of this serial is refused, and what it opened ends as well."""
        return serial not in self._spared and (
            serial in self._serials
            or any(first <= serial <= last for first, last in self._ranges)
            or any(
                serial >= offset and bits >> (serial - offset) & 1 for offset, bits in self._maps
            )
        )

    def key(self, fingerprint: str) -> bool:
        """Whether the key of this fingerprint ("SHA256:…") is refused."""
        return fingerprint in self._keys

    def _section(self, kind: int, content: Reader) -> None:
        if kind == FINGERPRINTS:
            while content:
                digest = base64.b64encode(content.string()).decode().rstrip("=")
                self._keys.add(f"SHA256:{digest}")
        elif kind == CERTIFICATES:
            content.string()  # the CA's key: no two CAs of an installation give the same serial
            content.string()
            while content:
                self._part(content.u8(), Reader(content.string()))
        else:
            raise WireError("a section that is not ours")

    def _part(self, kind: int, content: Reader) -> None:
        if kind == SERIAL_LIST:
            while content:
                self._serials.add(content.u64())
        elif kind == SERIAL_RANGE:
            self._ranges.append((content.u64(), content.u64()))
        elif kind == SERIAL_BITMAP:
            self._maps.append((content.u64(), content.mpint()))
        else:
            raise WireError("a part that is not ours")
        content.end()


def read_version(data: bytes) -> int:
    """The version of a list; what else is in it is not looked at.

    Raises:
        WireError: it is no list.
    """
    return _header(data)[0]


def _header(data: bytes) -> tuple[int, Reader]:
    reader = Reader(data.removeprefix(MAGIC))
    if not data.startswith(MAGIC) or reader.u32() != FORMAT:
        raise WireError("not a revocation list of a known format")
    return reader.u64(), reader


def _spared(comment: str) -> frozenset[int]:
    word, *serials = comment.split(" ")
    if word != SPARED or not all(one.isdecimal() for one in serials):
        return frozenset()
    return frozenset(map(int, serials))
