"""The parser takes one encoding of each certificate, and the rules take only what our CA issues.

Each case goes through the whole of the volume that the hook and the CA share; what `ssh-keygen`
and others say of the same bytes is in `test_certificate_agreement`.
"""

from __future__ import annotations

import resource
import subprocess
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshd_hook.certificate import (
    HOST,
    KEY_TYPES,
    MAX_BLOB,
    Certificate,
    certificate_type,
    check_fields,
    check_public_key,
    claims_of,
    display_name,
    is_valid_at,
    parse,
    parse_to_be_signed,
    session_handle,
    to_be_signed,
)
from sshd_hook.wire import WireError, fingerprint, string, unb64
from tests.certificates import (
    ALICE,
    HANDLE,
    NOW,
    accept,
    authority,
    certify,
    extensions,
    line,
    refuse,
    subject_key,
    user_certificate,
)


def fields_of(certificate: Certificate) -> dict[str, object]:
    return {name: getattr(certificate, name) for name in Certificate.__slots__}


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_a_certificate_for_each_type_of_key_is_read_back(key_type: str) -> None:
    drafted = user_certificate(key_type)
    read = accept(authority().certify(drafted))
    assert fields_of(read) == fields_of(drafted)
    assert fields_of(parse_to_be_signed(to_be_signed(drafted))) == fields_of(drafted)
    claims = claims_of(read)
    assert claims.amr == {"mfa", "otp", "pwd"}
    assert (claims.auth_time, claims.via) == (NOW - 600, "")
    assert (display_name(read), session_handle(read)) == ("Alice", HANDLE)


def test_the_type_of_a_certificate_is_named_as_openssh_does() -> None:
    assert certificate_type("ssh-rsa") == "ssh-rsa-cert-v01@openssh.com"
    sk = "sk-ssh-ed25519@openssh.com"
    assert certificate_type(sk) == "sk-ssh-ed25519-cert-v01@openssh.com"


@pytest.mark.attack(1, 2, 3)
@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda key: certify(public_key=key), id="the CA's key, certified"),
        pytest.param(lambda _key: certify(), id="a key that the CA certified"),
        pytest.param(
            lambda key: string(b"ssh-ed25519-cert-v01@openssh.com") + key[15:],
            id="the CA's key by a certificate's name",
        ),
        pytest.param(lambda key: string(b"SSH-ED25519") + key[15:], id="in capitals"),
        pytest.param(lambda key: string(b"ssh-ed25519\0") + key[15:], id="with a NUL"),
        pytest.param(lambda key: key + b"comment", id="with a comment"),
        pytest.param(lambda key: key + string(b""), id="with a field more"),
        pytest.param(lambda key: string(b"ssh-rsa") + key[15:], id="as RSA"),
        pytest.param(lambda _key: b"", id="none"),
    ],
)
def test_only_a_plain_key_signs(wrap: object) -> None:
    assert callable(wrap)
    with pytest.raises(WireError):
        accept(certify(signature_key=wrap(authority().public_key)))


@pytest.mark.attack(6)
@pytest.mark.parametrize("kind", [0, HOST, 3, 2**32 - 1])
def test_only_user_certificates_log_in(kind: int) -> None:
    refuse("not a user certificate", kind=kind)


@pytest.mark.attack(7)
@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_a_key_is_no_certificate_and_a_certificate_no_key(key_type: str) -> None:
    with pytest.raises(WireError, match="not a certificate"):
        parse(subject_key(key_type))
    with pytest.raises(WireError, match="not a public key"):
        check_public_key(authority().certify(user_certificate(key_type)))
    assert check_public_key(subject_key(key_type)) == key_type


CONTROLS = ["\n", "\r", "\t", "\0", "\x1b", "\x7f"]
MEANINGFUL = [",", " ", "#", '"', "'", "\\", "*", "?"]
LOOK_ALIKES = ["а", "\u0301", "\u200f", "\u202e", "ａ", "０"]  # noqa: RUF001 -- on purpose


@pytest.mark.attack(8, 9, 10, 12, 13)
@pytest.mark.parametrize(
    "name",
    [
        *(ALICE[:-1] + char for char in CONTROLS + MEANINGFUL + LOOK_ALIKES),
        *(ALICE + char for char in CONTROLS + MEANINGFUL + LOOK_ALIKES),
        *(char + ALICE[1:] for char in CONTROLS + MEANINGFUL + LOOK_ALIKES),
        *("", "-", "-" + ALICE[1:], "root", "git", "a#root", ALICE.upper(), ALICE.replace("-", "")),
        *(ALICE + "#root", ALICE + " root", "root " + ALICE, ALICE + "," + ALICE, f"{{{ALICE}}}"),
    ],
)
def test_a_principal_is_a_user_id(name: str) -> None:
    with pytest.raises(WireError, match=r"user id|NUL"):
        accept(certify(principals=(name,), key_id=name))
    with pytest.raises(WireError, match=r"user id|NUL"):
        accept(certify(principals=(name,)))
    with pytest.raises(WireError, match=r"user id|NUL"):
        accept(certify(key_id=name))


@pytest.mark.attack(8, 14)
@pytest.mark.parametrize("count", [0, 2, 16, 17, 256, 257])
def test_there_is_exactly_one_principal(count: int) -> None:
    refuse("principal|too long", principals=(ALICE,) * count)
    refuse("principal|too long", principals=(ALICE, *(f"x{n}" for n in range(count or 1))))
    refuse("principal", principals=())


@pytest.mark.attack(24, 26)
@pytest.mark.parametrize(
    ("after", "before", "now", "valid"),
    [
        (NOW - 60, NOW, NOW, False),
        (NOW - 60, NOW + 1, NOW, True),
        (NOW, NOW + 1, NOW, True),
        (NOW + 1, NOW + 2, NOW, False),
        (NOW - 60, NOW + 300, NOW - 61, False),
        pytest.param(NOW - 60, NOW + 300, NOW - 600, False, id="clock ten minutes back"),
        pytest.param(NOW - 60, NOW + 300, NOW + 600, False, id="clock ten minutes ahead"),
        pytest.param(NOW - 60, NOW + 300, -1, False, id="before the epoch"),
        pytest.param(NOW - 60, NOW + 300, 4_102_444_800, False, id="in 2100"),
        pytest.param(0, 2**64 - 1, 2**63, True, id="for ever"),
        pytest.param(NOW + 2**32, NOW + 2**33, NOW, False, id="no wrap at 32 bits"),
    ],
)
def test_validity_is_half_open(after: int, before: int, now: int, *, valid: bool) -> None:
    certificate, _, _ = parse(certify(valid_after=after, valid_before=before))
    check_fields(certificate)
    assert is_valid_at(certificate, now) is valid


@pytest.mark.parametrize(("after", "before"), [(NOW, NOW), (NOW + 1, NOW), (2**64 - 1, 0)])
def test_a_certificate_is_valid_at_some_time(after: int, before: int) -> None:
    refuse("valid at no time", valid_after=after, valid_before=before)


@pytest.mark.attack(27)
@pytest.mark.parametrize("serial", [1, 2**32, 2**63 - 1, 2**63, 2**64 - 1])
def test_serials_are_read_exactly(serial: int) -> None:
    assert accept(certify(serial=serial)).serial == serial


@pytest.mark.attack(27)
def test_serial_0_is_refused() -> None:
    refuse("serial number 0", serial=0)


@pytest.mark.attack(29)
@pytest.mark.parametrize("size", [MAX_BLOB + 1, 97_000, 98_304, 256 * 1024, 2**24])
def test_a_large_certificate_is_refused_and_costs_no_memory(size: int) -> None:
    huge = [
        certify(nonce=bytes(size)),
        certify(principals=(ALICE,) * (size // 40)),
        certify(extensions=tuple((f"{n:08}", b"") for n in range(size // 16))),
        certify()[: size - 1] + bytes(size),
    ]
    tracemalloc.start()
    for blob in huge:
        with pytest.raises(WireError, match="too long"):
            accept(blob)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0


def test_the_largest_certificate_is_read() -> None:
    room = MAX_BLOB - len(certify(nonce=b""))
    assert len(certify(nonce=bytes(room))) == MAX_BLOB
    accept(certify(nonce=bytes(room)))


def test_the_reserved_field_is_empty() -> None:
    signed = to_be_signed(user_certificate())
    key = string(authority().public_key)
    assert signed.endswith(string(b"") + key)
    with pytest.raises(WireError, match="reserved"):
        parse_to_be_signed(signed[: -len(key) - 4] + string(b"\0") + key)


@pytest.mark.parametrize("extra", [b"\0", string(b""), b"\n"])
def test_nothing_follows_a_certificate(extra: bytes) -> None:
    with pytest.raises(WireError, match="after the end"):
        parse(certify() + extra)
    with pytest.raises(WireError, match="after the end"):
        parse_to_be_signed(to_be_signed(user_certificate()) + extra)


def test_a_certificate_cut_short_anywhere_is_refused() -> None:
    blob = certify()
    for size in range(len(blob)):
        with pytest.raises(WireError):
            parse(blob[:size])


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_one_error(data: bytes) -> None:
    for read in (parse, parse_to_be_signed, check_public_key):
        with pytest.raises(WireError):
            read(data)


READ = """
import sys
sys.path.insert(0, {root!r})
from sshd_hook.certificate import check_fields, claims_of, display_name, parse
from sshd_hook.wire import WireError, fingerprint, unb64
for line in sys.stdin:
    try:
        certificate, _, _ = parse(unb64(line[:-1]))
        check_fields(certificate)
        claims = claims_of(certificate)
        shown = (ascii(display_name(certificate)), fingerprint(certificate.public_key))
        print(sorted(claims.amr), claims.auth_time, certificate.serial, *shown)
    except WireError as error:
        print(error)
"""


def test_every_python_reads_alike(hook_python: str, request: pytest.FixtureRequest) -> None:
    blobs = [authority().certify(user_certificate(key_type)) for key_type in KEY_TYPES]
    blobs += [certify(serial=0), certify(extensions=extensions(name="Zoë")), certify()[:-1], b""]
    blobs += [certify(extensions=extensions(amr=amr)) for amr in ("pwd", "mfa,pwd,recovery", "x")]
    blobs.append(certify(extensions=extensions(amr=None, name="a\u202eb")))
    script = READ.format(root=str(request.config.rootpath))
    text = "".join(f"{line(blob).split()[1] if blob else ''}\n" for blob in blobs)
    ran = subprocess.run(
        [hook_python, "-IS", "-c", script], input=text, capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines() == [_described(blob) for blob in blobs]


def _described(blob: bytes) -> str:
    try:
        certificate, _, _ = parse(unb64(line(blob).split()[1]) if blob else b"")
        check_fields(certificate)
        claims = claims_of(certificate)
    except WireError as error:
        return str(error)
    name = ascii(display_name(certificate))
    key = fingerprint(certificate.public_key)
    return f"{sorted(claims.amr)} {claims.auth_time} {certificate.serial} {name} {key}"
