"""The types of RFC 4251, section 5: integers, strings and the base64 around them, both ways.

A `Reader` takes one encoding of each value and no other, so what was read can be written again
byte for byte. `fingerprint` is how people read a key.
"""

import binascii
import sys


class WireError(ValueError):
    """The bytes are not what they should be. The message holds none of them."""


class Reader:
    """A cursor over bytes. Nothing is read past the end; `at` is how many bytes are read.

    It is true while there is something left to read.
    """

    __slots__ = ("_data", "at")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def __bool__(self) -> bool:
        return self.at < len(self._data)

    def u8(self) -> int:
        """One byte."""
        return self._take(1)[0]

    def u32(self) -> int:
        """Four bytes."""
        return int.from_bytes(self._take(4), "big")

    def u64(self) -> int:
        """Eight bytes."""
        return int.from_bytes(self._take(8), "big")

    def string(self) -> bytes:
        """Bytes, their number before them."""
        start = self.at + 4
        # Not by `u32` and `_take`: most of a certificate is strings in strings.
        end = start + int.from_bytes(self._data[self.at : start], "big")
        if end > len(self._data):
            raise WireError("the bytes end too early")
        self.at = end
        return self._data[start:end]

    def text(self) -> str:
        """A string of UTF-8 without NUL, at which programs in C would end it."""
        try:
            text = self.string().decode()
        except UnicodeDecodeError as error:
            raise WireError("a text is not UTF-8") from error
        if "\0" in text:
            raise WireError("a text has a NUL in it")
        return text

    def mpint(self) -> int:
        """An integer, never negative, without needless zeros before it."""
        data = self.string()
        number = int.from_bytes(data, "big")
        if mpint(number)[4:] != data:
            raise WireError("an integer is negative or has needless zeros")
        return number

    def rest(self) -> bytes:
        """All that is left."""
        return self._take(len(self._data) - self.at)

    def end(self) -> None:
        """Raise WireError if anything is left."""
        if self:
            raise WireError("there are bytes after the end")

    def _take(self, count: int) -> bytes:
        taken = self._data[self.at : self.at + count]
        if len(taken) != count:
            raise WireError("the bytes end too early")
        self.at += count
        return taken


def u32(number: int) -> bytes:
    """Four bytes."""
    return number.to_bytes(4, "big")


def u64(number: int) -> bytes:
    """Eight bytes."""
    return number.to_bytes(8, "big")


def string(data: bytes) -> bytes:
    """`data`, its length before it."""
    return u32(len(data)) + data


def mpint(number: int) -> bytes:
    """`number` must not be negative. A zero bit goes before it, so that it does not look so."""
    return string(number.to_bytes((number.bit_length() + 8) // 8, "big") if number else b"")


def b64(data: bytes) -> str:
    """Base64 (RFC 4648, section 4) on one line."""
    return binascii.b2a_base64(data, newline=False).decode()


def unb64(text: str) -> bytes:
    """Read back what `b64` wrote.

    Raises:
        WireError: this is not it. Python skips what is not of the alphabet, and bits beyond the
            last byte, so two texts could otherwise be the same bytes.
    """
    try:
        data = binascii.a2b_base64(text)
    except ValueError as error:  # binascii.Error is one, and so is text beyond ASCII
        raise WireError("not base64") from error
    if b64(data) != text:
        raise WireError("not base64")
    return data


def fingerprint(key: bytes) -> str:
    """What OpenSSH shows for a public key: "SHA256:" and base64 without padding."""
    return "SHA256:" + b64(_sha256(key)).rstrip("=")


def _sha256(data: bytes) -> bytes:
    """By Python's own small module: `hashlib` loads OpenSSL, which is half of the hook's run."""
    try:
        module = __import__("_sha2" if sys.version_info >= (3, 12) else "_sha256")
    except ImportError:  # a Python that was built without
        module = __import__("hashlib")
    digest: bytes = module.sha256(data).digest()
    return digest
