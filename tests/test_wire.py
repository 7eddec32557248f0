"""RFC 4251's types: one encoding each, both ways, and nothing read past the end."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshd_hook.wire import Reader, WireError, b64, mpint, string, u32, u64, unb64

if TYPE_CHECKING:
    from collections.abc import Callable

numbers = st.integers(0, 2**80) | st.integers(0, 2100).map(lambda bits: 1 << bits)


# RFC 4251, section 5.
@pytest.mark.parametrize(
    ("number", "encoding"),
    [
        (0, "00 00 00 00"),
        (0x9A378F9B2E332A7, "00 00 00 08 09 a3 78 f9 b2 e3 32 a7"),
        (0x80, "00 00 00 02 00 80"),
    ],
)
def test_integers_are_written_as_in_the_rfc(number: int, encoding: str) -> None:
    assert mpint(number) == bytes.fromhex(encoding)
    assert Reader(bytes.fromhex(encoding)).mpint() == number


@pytest.mark.parametrize(
    "encoding",
    [
        pytest.param("00 00 00 02 ed cc", id="negative"),
        pytest.param("00 00 00 01 80", id="negative power of two"),
        pytest.param("00 00 00 01 00", id="zero as a byte"),
        pytest.param("00 00 00 02 00 7f", id="a needless zero"),
        pytest.param("00 00 00 03 00 00 80", id="two zeros"),
    ],
)
def test_other_encodings_of_integers_are_refused(encoding: str) -> None:
    with pytest.raises(WireError, match="negative or has needless zeros"):
        Reader(bytes.fromhex(encoding)).mpint()


@given(numbers)
def test_an_integer_is_read_back(number: int) -> None:
    reader = Reader(mpint(number))
    assert reader.mpint() == number
    assert not reader


@given(st.binary(max_size=20))
def test_what_is_read_as_an_integer_is_written_the_same(data: bytes) -> None:
    try:
        number = Reader(string(data)).mpint()
    except WireError:
        return
    assert mpint(number) == string(data)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.binary(), st.binary())
def test_a_row_of_values_is_read_back(small: int, large: int, data: bytes, rest: bytes) -> None:
    reader = Reader(u32(small) + u64(large) + string(data) + b"\x07" + rest)
    read = (reader.u32(), reader.u64(), reader.string(), reader.u8(), reader.at, reader.rest())
    assert read == (small, large, data, 7, 17 + len(data), rest)
    reader.end()


@pytest.mark.parametrize(
    "read",
    [Reader.u8, Reader.u32, Reader.u64, Reader.string, Reader.text, Reader.mpint],
    ids=lambda read: read.__name__,
)
@pytest.mark.parametrize("size", [0, 3, 7])
def test_nothing_is_read_past_the_end(read: Callable[[Reader], object], size: int) -> None:
    whole = {"u8": 1, "u32": 4, "u64": 8}.get(read.__name__, 8)
    if size < whole:
        with pytest.raises(WireError, match="end too early"):
            read(Reader(b"\0\0\0\4\1\1\1\1"[:size]))
    else:
        read(Reader(b"\0\0\0\4\1\1\1\1"))


@pytest.mark.parametrize("length", [5, 2**31 - 1, 2**31, 2**32 - 1])
def test_a_length_that_lies_is_found_without_making_room_for_it(length: int) -> None:
    reader = Reader(u32(length) + b"four")
    with pytest.raises(WireError, match="end too early"):
        reader.string()


def test_bytes_after_the_end_are_refused() -> None:
    reader = Reader(b"\0")
    assert reader
    with pytest.raises(WireError, match="after the end"):
        reader.end()


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        pytest.param(b"\xff", "not UTF-8", id="not UTF-8"),
        pytest.param(b"\xc0\x80", "not UTF-8", id="NUL in two bytes"),
        pytest.param(b"\xed\xa0\x80", "not UTF-8", id="half a surrogate pair"),
        pytest.param(b"root\0", "NUL", id="NUL at the end, which OpenSSH takes"),
        pytest.param(b"ro\0ot", "NUL", id="NUL within"),
    ],
)
def test_a_text_is_utf8_without_nul(data: bytes, fault: str) -> None:
    with pytest.raises(WireError, match=fault):
        Reader(string(data)).text()


@given(st.binary())
def test_base64_is_read_back_and_is_the_usual_one(data: bytes) -> None:
    assert b64(data) == base64.b64encode(data).decode()
    assert unb64(b64(data)) == data


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("QUI=\n", id="a line end"),
        pytest.param("QU I=", id="a space"),
        pytest.param("QUI", id="no padding"),
        pytest.param("QUI==", id="more padding"),
        pytest.param("QUJ=", id="bits after the last byte"),
        pytest.param("QUI=QUI=", id="something after the end"),
        pytest.param("=QUI", id="padding first"),
        pytest.param("Q-I=", id="the other alphabet"),
        pytest.param("Q", id="one letter"),
        pytest.param("QUIö", id="beyond ASCII"),
        pytest.param("QUI=\0", id="NUL"),
        pytest.param("*", id="nothing of the alphabet"),
    ],
)
def test_other_base64_is_refused(text: str) -> None:
    with pytest.raises(WireError, match="not base64"):
        unb64(text)


@given(st.text(alphabet="AQgw+/=\n -", max_size=8))
def test_no_two_texts_are_the_same_bytes(text: str) -> None:
    try:
        data = unb64(text)
    except WireError:
        return
    assert b64(data) == text
