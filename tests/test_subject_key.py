"""Which public keys are certified: one line, of a good type, and no weak numbers."""

from __future__ import annotations

import base64
import math
import random
from contextlib import nullcontext
from functools import cache
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import assume, given
from hypothesis import strategies as st

from ca.errors import InvalidRequest
from ca.issuance.strength import check_curve_point, check_edwards_point, check_rsa, check_strength
from ca.issuance.subject_key import parse_subject_key
from sshd_hook.certificate import KEY_TYPES, option
from sshd_hook.wire import Reader, WireError, mpint, string
from tests.certificates import authority, keygen, line, subject_key, user_certificate

if TYPE_CHECKING:
    from pathlib import Path

P = 2**255 - 19


def refuse(text: str, why: str) -> None:
    """It is refused for this reason, and nothing of it is quoted."""
    with pytest.raises(InvalidRequest, match=why) as caught:
        parse_subject_key(text)
    words = [word for word in text.split() if len(word) > 20 and word not in KEY_TYPES]
    assert not [word for word in words if word in caught.value.message]
    assert caught.value.message.isprintable()


def rsa_key(exponent: int, modulus: int) -> bytes:
    return string(b"ssh-rsa") + mpint(exponent) + mpint(modulus)


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_each_type_is_taken_with_and_without_a_comment(key_type: str) -> None:
    key = subject_key(key_type)
    for text in ("", " ", " alice@laptop", " Zoë's  key (new)", " a comment of words\n", "\n"):
        assert parse_subject_key(line(key) + text) == key


@pytest.mark.parametrize(
    "options",
    [
        *(["-t", "ed25519"], ["-t", "rsa", "-b", "3072"], ["-t", "rsa", "-b", "4096"]),
        *(["-t", "ecdsa", "-b", size] for size in ("256", "384", "521")),
    ],
    ids="".join,
)
def test_what_ssh_keygen_makes_is_taken(tmp_path: Path, options: list[str]) -> None:
    keygen("-q", *options, "-N", "", "-f", tmp_path / "id")
    text = (tmp_path / "id.pub").read_text()
    assert parse_subject_key(text) == base64.b64decode(text.split()[1])


# --- the line -------------------------------------------------------------------------------

GOOD = line(subject_key("ssh-ed25519"))
KEYGEN_FORMATS = ["RFC4716", "PKCS8", "PEM"]


@pytest.mark.attack(72)
@pytest.mark.parametrize("form", KEYGEN_FORMATS)
@pytest.mark.parametrize("key_type", ["ed25519", "rsa", "ecdsa"])
def test_a_private_key_is_refused_and_not_quoted(
    tmp_path: Path, key_type: str, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    keygen("-q", "-t", key_type, "-m", form, "-N", "", "-f", tmp_path / "id")
    private = (tmp_path / "id").read_text()
    for text in (private, private.strip(), private.replace("\n", " "), GOOD + "\n" + private):
        refuse(text, "private key")
    refuse("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: x\n", "private key")
    assert not caplog.records


@pytest.mark.attack(72)
@pytest.mark.parametrize(
    "form", ["PKCS8", "RFC4716", "PEM"], ids=lambda form: f"a public key as {form}"
)
def test_other_forms_of_public_keys_are_refused(tmp_path: Path, form: str) -> None:
    keygen("-q", "-t", "rsa", "-N", "", "-f", tmp_path / "id")
    refuse(keygen("-e", "-m", form, "-f", tmp_path / "id"), "on one line")


@pytest.mark.attack(72)
@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("", "not a public key", id="nothing"),
        pytest.param("\n", "not a public key", id="a line end"),
        pytest.param(f"{GOOD}\n{GOOD}\n", "one line", id="two keys on two lines"),
        pytest.param(f"{GOOD} {GOOD}", "second public key", id="two on one"),
        pytest.param(f"{GOOD} alice {GOOD}", "second public key", id="two with a comment"),
        pytest.param(f"{GOOD}\n\n", "one line", id="two line ends"),
        pytest.param(f"{GOOD}\r\n", "one line", id="CR"),
        pytest.param(f"\n{GOOD}", "one line", id="a line end before it"),
        pytest.param(f"{GOOD} a\nb", "one line", id="a comment of two lines"),
        pytest.param(f"{GOOD} a\x1b[31mb", "control", id="a comment with ESC"),
        pytest.param(f"{GOOD} a\u202eb", "control", id="a comment from right to left"),
        pytest.param(f"{GOOD} a\0", "control", id="NUL"),
        pytest.param(GOOD.replace(" ", "\t"), "control", id="a tab"),
        pytest.param(f" {GOOD}", "stands before", id="a space before it"),
        pytest.param(GOOD.replace(" ", "  "), "early", id="two spaces"),
        pytest.param(f'command="id" {GOOD}', "stands before", id="a command"),
        pytest.param(f"restrict,pty {GOOD}", "stands before", id="options"),
        pytest.param(f"cert-authority {GOOD}", "stands before", id="cert-authority"),
        pytest.param(f"@cert-authority * {GOOD}", "stands before", id="@cert-authority"),
        pytest.param(f"server.example {GOOD}", "stands before", id="a line of known_hosts"),
        pytest.param("ssh-dss AAAAB3NzaC1kc3M=", "DSA", id="DSA"),
        pytest.param("ssh-ed25519", "base64|early", id="a type alone"),
        pytest.param(GOOD.split()[1], "not a public key", id="base64 alone"),
        pytest.param(GOOD[:-4], "early", id="cut short"),
        pytest.param(GOOD + "AAAA", "base64|after the end", id="something appended"),
        pytest.param(GOOD.replace("AAAAC3", "AAAAC*"), "base64", id="not base64"),
        pytest.param(GOOD.upper(), "not a public key", id="capitals"),
        pytest.param(GOOD + " " + "x" * 8192, "longer than", id="a huge comment"),
        pytest.param("ecdsa-sha2-nistp192 AAAA", "not a public key", id="P-192"),
        pytest.param("ssh-xmss@openssh.com AAAA", "not a public key", id="XMSS"),
        pytest.param("ssh-rsa " + GOOD.split()[1], "another type", id="by another type's name"),
        pytest.param(line(authority().certify(user_certificate())), "certificate", id="certified"),
        pytest.param(
            "ssh-ed25519 " + line(authority().certify(user_certificate())).split()[1],
            "supported type",
            id="a certificate by a key's name",
        ),
    ],
)
def test_what_is_not_one_public_key_is_refused(text: str, why: str) -> None:
    refuse(text, why)


@given(st.text() | st.builds(lambda a, b: f"{a} {GOOD} {b}", st.text(), st.text()))
def test_any_text_is_one_key_or_one_error(text: str) -> None:
    try:
        assert parse_subject_key(text) == subject_key("ssh-ed25519")
    except InvalidRequest as error:
        assert GOOD.split()[1] not in error.message  # noqa: PT017 -- both outcomes are fine


# --- RSA ------------------------------------------------------------------------------------


@cache
def modulus() -> int:
    key = Reader(subject_key("ssh-rsa"))
    key.string(), key.mpint()
    return key.mpint()


def is_prime(number: int) -> bool:
    return pow(2, number - 1, number) == 1  # good enough for numbers that nobody chose


def next_prime(number: int) -> int:
    small = math.prod(n for n in range(3, 2000) if all(n % d for d in range(2, n)))
    number |= 1
    while math.gcd(number, small) != 1 or not is_prime(number):
        number += 2
    return number


@pytest.mark.attack(69)
@pytest.mark.parametrize(
    ("exponent", "why"),
    [
        *((e, "even or less") for e in (0, 1, 2, 3, 17, 35, 65535, 65536, 65538)),
        (2**64 + 1, "longer than"),
    ],
)
def test_a_bad_rsa_exponent_is_refused(exponent: int, why: str) -> None:
    with pytest.raises(WireError, match=why):
        check_strength(rsa_key(exponent, modulus()))
    refuse(line(rsa_key(exponent, modulus())), why)


@pytest.mark.parametrize("exponent", [65537, 65539, 2**64 - 1])
def test_a_good_rsa_exponent_is_taken(exponent: int) -> None:
    check_strength(rsa_key(exponent, modulus()))


@pytest.mark.attack(69)
@pytest.mark.parametrize("bits", ["1024", "2047", "2048", "3071"])
def test_a_short_rsa_key_is_refused(tmp_path: Path, bits: str) -> None:
    # Among them are the keys of Debian's generator of 2008: it made 2048 bits unless asked.
    keygen("-q", "-t", "rsa", "-b", bits, "-N", "", "-f", tmp_path / "id")
    refuse((tmp_path / "id.pub").read_text(), "too short")


@pytest.mark.attack(69)
@pytest.mark.parametrize("factor", [2, 3, 5, 167, 743, 751])
def test_a_modulus_with_a_small_factor_is_refused(factor: int) -> None:
    number = modulus() // factor * factor
    with pytest.raises(WireError, match="small factor"):
        check_strength(
            rsa_key(65537, number | (1 << 3071)) if factor == 2 else rsa_key(65537, number)
        )


@pytest.mark.attack(69)
def test_close_primes_are_refused(tmp_path: Path) -> None:
    first = next_prime(random.Random(69).getrandbits(1536) | 3 << 1534)
    second = next_prime(first + (1 << 700))
    key = rsa_key(65537, first * second)
    (tmp_path / "id.pub").write_text(line(key) + "\n")
    assert "3072" in keygen("-l", "-f", tmp_path / "id.pub"), "OpenSSH takes it"
    refuse(line(key), "too close")
    refuse(line(rsa_key(65537, first * first)), "too close")
    check_rsa(65537, first * next_prime(random.Random(70).getrandbits(1536) | 3 << 1534))


@pytest.mark.attack(69)
@pytest.mark.parametrize(("steps", "found"), [(0, True), (1, True), (99, True), (100, False)])
def test_fermat_goes_a_hundred_rounds(steps: int, *, found: bool) -> None:
    """n = (a - d)(a + d) is found at the a that is `steps` after the root of n."""
    a = 1 << 1536
    while True:
        a += 1
        d = math.isqrt(2 * steps * a + a)
        number = a * a - d * d
        root = math.isqrt(number - 1) + 1
        if a - root == steps and math.gcd(number, math.prod(range(1, 752))) == 1:
            break
    if found:
        with pytest.raises(WireError, match="too close"):
            check_rsa(65537, number)
    else:
        check_rsa(65537, number)


@pytest.mark.attack(69)
def test_keys_as_infineon_made_them_are_refused() -> None:
    primes = [n for n in range(2, 702) if all(n % d for d in range(2, n))]
    product = math.prod(primes)
    source = random.Random(2017)

    def prime() -> int:
        while True:
            power = pow(65537, source.getrandbits(256), product)
            number = (source.getrandbits(1536 - product.bit_length()) | 3 << 563) * product + power
            if number.bit_length() == 1536 and is_prime(number):
                return number

    assert len(primes) == 126
    key = rsa_key(65537, prime() * prime())
    refuse(line(key), "ROCA")


def test_good_rsa_keys_are_taken_at_once() -> None:
    for _ in range(3):
        check_rsa(65537, modulus())
        check_rsa(65537, modulus() + 2 * math.prod(range(1, 752)))


# --- elliptic curves ------------------------------------------------------------------------


def edwards(y: int, sign: int = 0) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


Y8 = int.from_bytes(
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"
)
# The points of low order and every encoding of them, as in "Taming the many EdDSAs" (2020).
LOW_ORDER = [edwards(y, s) for y in (0, 1, P - 1, P, P + 1, Y8, P - Y8) for s in (0, 1)]
NOT_CANONICAL = [edwards(y, s) for y in range(P, 2**255) for s in (0, 1)]


@pytest.mark.attack(33, 71)
@pytest.mark.parametrize("point", LOW_ORDER + NOT_CANONICAL, ids=bytes.hex)
@pytest.mark.parametrize("key_type", ["ssh-ed25519", "sk-ssh-ed25519@openssh.com"])
def test_low_order_and_not_canonical_points_are_refused(key_type: str, point: bytes) -> None:
    application = option("ssh:") if key_type.startswith("sk-") else b""
    key = string(key_type.encode()) + string(point) + application
    refuse(line(key), "low order|canonical")


def test_the_low_order_table_is_complete() -> None:
    """Of the points whose eighth multiple is neutral there are eight; here they are computed."""
    d = -121665 * pow(121666, -1, P) % P

    def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        (x1, y1), (x2, y2) = a, b
        k = d * x1 * x2 * y1 * y2
        return (
            (x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P,
            (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P,
        )

    def root(number: int) -> int | None:
        candidate = pow(number, (P + 3) // 8, P)
        for factor in (1, pow(2, (P - 1) // 4, P)):
            if (candidate * factor) ** 2 % P == number % P:
                return candidate * factor % P
        return None

    heights = set()
    for y in range(2, 60):
        x = root((y * y - 1) * pow(d * y * y + 1, -1, P))
        if x is None:
            continue
        point = (x, y)
        for _ in range(8):  # the multiple by the prime order has an order that divides eight
            order = 2**252 + 27742317777372353535851937790883648493
            result, base = (0, 1), point
            while order:
                result = add(result, base) if order & 1 else result
                base, order = add(base, base), order >> 1
            point = add(point, (x, y))
            heights.add(result[1])
    assert heights == {0, 1, P - 1, Y8, P - Y8}
    for y in heights:
        with pytest.raises(WireError, match="low order"):
            check_edwards_point(edwards(y))


@pytest.mark.attack(33, 71)
def test_a_number_that_is_no_point_is_refused() -> None:
    # Of the heights from 2 on, these are on no point (2 is the smallest such).
    refused = []
    for y in range(2, 40):
        try:
            check_edwards_point(edwards(y))
        except WireError as error:
            assert "not on the curve" in str(error)  # noqa: PT017 -- about half are points
            refused.append(y)
    assert refused[0] == 2
    assert 10 < len(refused) < 30
    refuse(line(string(b"ssh-ed25519") + string(edwards(2))), "not on the curve")


def is_height(y: int) -> bool:
    """Whether a point has this height: x² = u / v has a root (Euler's criterion)."""
    u, v = y * y - 1, (-121665 * pow(121666, -1, P)) * y * y + 1
    return pow(u * v, (P - 1) // 2, P) == 1


@pytest.mark.attack(33, 71)
@given(st.binary(min_size=32, max_size=32))
def test_exactly_the_points_of_the_curve_are_taken(data: bytes) -> None:
    y = int.from_bytes(data, "little") & (2**255 - 1)
    assume(y < P and y not in {0, 1, P - 1, Y8, P - Y8})
    with nullcontext() if is_height(y) else pytest.raises(WireError, match="not on the curve"):
        check_edwards_point(data)


@given(st.binary(min_size=32, max_size=32))
def test_every_key_that_is_made_is_taken(seed: bytes) -> None:
    private = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    check_edwards_point(private.public_key().public_bytes_raw())


@pytest.mark.attack(34, 71)
@pytest.mark.parametrize("curve", ["nistp256", "nistp384", "nistp521"])
def test_points_off_their_curve_are_refused(curve: str) -> None:
    key_type = f"ecdsa-sha2-{curve}"
    reader = Reader(subject_key(key_type))
    reader.string(), reader.string()
    point = reader.string()
    check_curve_point(curve, point)
    size = len(point)
    for bad in (
        point[:-1] + bytes([point[-1] ^ 1]),
        b"\4" + bytes(size - 1),
        b"\4" + b"\xff" * (size - 1),
        b"\4" + point[1 + size // 2 :] + point[1 : 1 + size // 2],
    ):
        refuse(line(string(key_type.encode()) + option(curve) + string(bad)), "not on its curve")


@pytest.mark.attack(77)
@pytest.mark.parametrize("application", ["", "https://example.com", "SSH:", "example.com", "ssh"])
@pytest.mark.parametrize("key_type", [name for name in KEY_TYPES if name.startswith("sk-")])
def test_a_security_key_of_a_web_site_is_refused(key_type: str, application: str) -> None:
    key = subject_key(key_type).removesuffix(option("ssh:")) + option(application)
    refuse(line(key), "application")


@pytest.mark.parametrize("key_type", [name for name in KEY_TYPES if name.startswith("sk-")])
def test_a_security_key_may_name_its_use(key_type: str) -> None:
    key = subject_key(key_type).removesuffix(option("ssh:")) + option("ssh:work")
    assert parse_subject_key(line(key)) == key
