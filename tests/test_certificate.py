"""The parser takes one encoding of each certificate, and the rules take only what our CA issues.

Each case goes through the whole of the volume that the hook and the CA share; what `ssh-keygen`
and others say of the same bytes is in `test_certificate_agreement`.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshd_hook.certificate import (
    AMR,
    AUTH_TIME,
    HAS_MFA,
    HOST,
    KEY_TYPES,
    MAX_BLOB,
    NAME,
    SESSION,
    VIA,
    Certificate,
    certificate_type,
    check_fields,
    check_public_key,
    claims_of,
    display_name,
    fingerprint,
    is_amr_value,
    is_valid_at,
    option,
    parse,
    parse_to_be_signed,
    session_handle,
    to_be_signed,
    unwrap,
)
from sshd_hook.wire import Reader, WireError, mpint, string, u32, unb64
from tests.certificates import (
    ALICE,
    HANDLE,
    NOW,
    authority,
    extensions,
    keygen,
    line,
    subject_key,
    user_certificate,
)

if TYPE_CHECKING:
    from pathlib import Path


def accept(blob: bytes) -> Certificate:
    """All that the hook asks of a certificate before it decides."""
    certificate, signed, _signature = parse(blob)
    assert to_be_signed(certificate) == signed, "what is read must be what was written"
    check_fields(certificate)
    assert is_valid_at(certificate, NOW)
    return certificate


def certify(**changes: object) -> bytes:
    return authority().certify(user_certificate(**changes))


def refuse(fault: str, **changes: object) -> None:
    with pytest.raises(WireError, match=fault):
        accept(certify(**changes))


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


@pytest.mark.attack(17)
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"mfa,pwd", id="bare"),
        pytest.param(b"", id="empty"),
        pytest.param(option("pwd") + b"\0", id="a byte after it"),
        pytest.param(option("pwd") + option("pwd"), id="twice in one"),
        pytest.param(option("pwd")[:-1], id="cut short"),
        pytest.param(u32(2**32 - 1) + b"pwd", id="a length that lies"),
        pytest.param(string(b"pwd,\xff"), id="not UTF-8"),
        pytest.param(string(string(b"pwd")), id="wrapped twice"),
    ],
)
@pytest.mark.parametrize("name", [AMR, AUTH_TIME, SESSION, VIA, NAME])
def test_a_value_is_one_string_in_a_string(name: str, data: bytes) -> None:
    bare = dict(extensions(amr=None, auth_time=None))
    with pytest.raises(WireError):
        accept(certify(extensions=tuple(sorted({**bare, name: data}.items()))))


@pytest.mark.attack(17)
@pytest.mark.parametrize("name", [AMR, AUTH_TIME, SESSION, VIA])
def test_a_value_says_something(name: str) -> None:
    bare = dict(extensions(amr=None, auth_time=None))
    with pytest.raises(WireError):
        accept(certify(extensions=tuple(sorted({**bare, name: option("")}.items()))))


@pytest.mark.attack(18)
@pytest.mark.parametrize(
    "amr",
    [
        *("MFA", " mfa", "mfa ", "mfa,", ",mfa", "mfa\0", "mfa\n", "mfa,,pwd", "mfa, pwd"),
        *("pwd,pwd", "pwd,mfa,otp", "pwd,otp", "mfa;pwd", "fido", "sms", "mfa,pwdx", "xpwd"),
        *("sso:", "sso:Acme", "sso:acme:", "sso:acme:pwd", "sso:acme:mfa:mfa", "sso::mfa"),
        *("sso:" + "a" * 33, "sso:a_b", "sso:ä", "sso", "sso:a b", "mfa:sso:acme", "SSO:acme"),
        ",".join(sorted(f"sso:p{n:02}" for n in range(65))),
    ],
)
def test_amr_has_one_canonical_form(amr: str) -> None:
    flags = {HAS_MFA: b""} if "mfa" in amr else {}
    with pytest.raises(WireError, match=r"amr|NUL"):
        accept(certify(extensions=extensions(amr=amr, more=flags)))


@pytest.mark.parametrize(
    "amr",
    [
        *("pwd", "mfa,otp,pwd", "hwk,mfa", "swk", "mfa,pwd,recovery", "sso:acme", "otp,sso:a"),
        *("sso:acme,sso:acme:mfa", "sso:-", "sso:mfa", "sso:mfa:mfa", "sso:" + "0" * 32 + ":mfa"),
        ",".join(sorted(f"sso:p{n:02}" for n in range(64))),
    ],
)
def test_good_amr_is_read(amr: str) -> None:
    read = accept(certify(extensions=extensions(amr=amr)))
    assert claims_of(read).amr == set(amr.split(","))
    assert all(is_amr_value(value) for value in amr.split(","))


def test_a_service_user_has_no_amr() -> None:
    claims = claims_of(accept(certify(extensions=extensions(amr=None))))
    assert claims.amr == frozenset()
    assert claims.auth_time == NOW - 600


@pytest.mark.attack(19, 21)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(((AMR, option("mfa,otp,pwd")),), id="amr"),
        pytest.param((("force-command", option("id")),), id="a command"),
        pytest.param((("force-command", option("a")), ("force-command", option("b"))), id="two"),
        pytest.param((("source-address", option("10.0.0.0/8")),), id="networks"),
        pytest.param((("source-address", option("10.0.0.0/33")),), id="bad networks"),
        pytest.param((("source-address", option("::")), ("source-address", option("::"))), id="22"),
        pytest.param((("verify-required", b""),), id="verify-required"),
        pytest.param((("", b""),), id="no name"),
    ],
)
def test_there_are_no_critical_options(options: tuple[tuple[str, bytes], ...]) -> None:
    refuse("critical option|sorted", critical_options=options)
    without_amr = certify(critical_options=options[:1], extensions=extensions(amr=None))
    certificate, _, _ = parse(without_amr)
    assert claims_of(certificate).amr == frozenset(), "an option is no claim"


@pytest.mark.attack(77)
@pytest.mark.parametrize(
    "name",
    [
        *("no-touch-required", "permit-user-rc", "permit-X11-Forwarding", "amr@amrgate.example"),
        *("amr", "zzz@example.com", "permit-pty ", "Permit-pty", "permit-pty@amrgate", "ä"),
    ],
)
def test_an_extension_that_is_not_ours_is_refused(name: str) -> None:
    extra = tuple(sorted({**dict(extensions()), name: b""}.items()))
    refuse("another extension", extensions=extra)


def test_extensions_are_sorted_and_unique() -> None:
    good = extensions()
    for place in range(len(good) - 1):
        swapped = (*good[:place], good[place + 1], good[place], *good[place + 2 :])
        refuse("sorted and unique", extensions=swapped)
        refuse("sorted and unique", extensions=(*good[: place + 1], *good[place:]))
    # sshd lets the last of two count, another reader the first.
    refuse("sorted and unique", extensions=((AMR, option("pwd")), *good))
    refuse("sorted and unique", extensions=(good[0], (AMR, option("pwd")), *good[1:]))


@pytest.mark.parametrize("flag", [HAS_MFA, "permit-pty", "permit-X11-forwarding"])
@pytest.mark.parametrize("data", [b"\0", option(""), option("yes")])
def test_a_flag_has_no_value(flag: str, data: bytes) -> None:
    refuse("a value where none", extensions=tuple({**dict(extensions()), flag: data}.items()))


def test_has_mfa_and_amr_agree() -> None:
    refuse("contradict", extensions=extensions(amr="pwd", more={HAS_MFA: b""}))
    refuse("contradict", extensions=extensions(amr=None, more={HAS_MFA: b""}))
    refuse("contradict", extensions=tuple(e for e in extensions() if e[0] != HAS_MFA))
    mapped = extensions(amr="sso:acme,sso:acme:mfa", more={HAS_MFA: b""})
    refuse("contradict", extensions=mapped)


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "01", "1e9", "1.0", " 1", "1 ", "١٢", "0x1", "1" * 13, "1_0", "now"]
)
def test_the_time_of_a_login_is_a_plain_number(text: str) -> None:
    refuse("auth-time", extensions=extensions(auth_time=text))


def test_the_time_of_a_login_may_be_missing_and_then_is_not_known() -> None:
    assert claims_of(accept(certify(extensions=extensions(auth_time=None)))).auth_time is None
    for text in ("0", "1", "9" * 12):
        assert claims_of(accept(certify(extensions=extensions(auth_time=text)))).auth_time == int(
            text
        )


@pytest.mark.parametrize("via", ["", "Device", "browser", "device\n", "device,device"])
def test_via_is_a_known_way(via: str) -> None:
    refuse("via", extensions=extensions(via=via))


def test_a_device_login_says_so() -> None:
    assert claims_of(accept(certify(extensions=extensions(via="device")))).via == "device"


@pytest.mark.parametrize("handle", [None, "", HANDLE.upper(), HANDLE + "\n", "1", "a" * 36])
def test_the_session_handle_is_a_uuid(handle: str | None) -> None:
    refuse("session", extensions=extensions(session=handle))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        *((name, name) for name in ("Alice", "Zoë Müller-Lüdenscheidt", "佐藤 花子", "x" * 64)),
        *((name, ALICE) for name in ("", "x" * 65, "A (admin)", "a#b", 'a"b', "a\\b")),
        *((name, ALICE) for name in ("a\nb", "a\x1b[2Jb", "a\u202eb", "Zoe\u0308", None)),
    ],
)
def test_a_name_that_cannot_be_shown_is_shown_as_the_user_id(name: str | None, shown: str) -> None:
    assert display_name(accept(certify(extensions=extensions(name=name)))) == shown


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


@pytest.mark.attack(32)
@pytest.mark.parametrize(
    "name",
    [
        *("ssh-ed25519-cert-v01", "ssh-ed25519", "ssh-dss-cert-v01@openssh.com", ""),
        *("ssh-rsa-cert-v00@openssh.com", "SSH-ED25519-CERT-V01@OPENSSH.COM"),
        *("ssh-ed25519-cert-v01@openssh.com\0", "ssh-ed25519-cert-v01@openssh.com "),
        *("rsa-sha2-512-cert-v01@openssh.com", "ssh-xmss-cert-v01@openssh.com"),
        *("sk-ssh-ed25519@openssh.com-cert-v01@openssh.com", "ssh-ed25519-cert-v02@openssh.com"),
    ],
)
def test_other_types_are_refused(name: str) -> None:
    refuse("supported type|NUL", key_type=name)


@pytest.mark.attack(32)
@pytest.mark.parametrize("inner", KEY_TYPES)
@pytest.mark.parametrize("outer", KEY_TYPES)
def test_the_key_is_of_the_type_that_the_certificate_names(outer: str, inner: str) -> None:
    blob = certify(key_type=certificate_type(outer), public_key=subject_key(inner))
    if outer == inner:
        accept(blob)
    else:
        with pytest.raises(WireError):
            accept(blob)


def _rsa(exponent: bytes, modulus: bytes) -> bytes:
    return string(b"ssh-rsa") + exponent + modulus


P256 = string(b"ecdsa-sha2-nistp256") + string(b"nistp256")


@pytest.mark.attack(34, 69)
@pytest.mark.parametrize(
    "key",
    [
        pytest.param(_rsa(mpint(65537), mpint(2**3071 - 1)), id="RSA of 3071 bits"),
        pytest.param(_rsa(mpint(65537), mpint(2**16384)), id="RSA of 16385 bits"),
        pytest.param(_rsa(mpint(65537), string(b"\xff" * 384)), id="a negative modulus"),
        pytest.param(_rsa(string(b"\0\1"), mpint(2**3071)), id="a needless zero"),
        pytest.param(_rsa(mpint(2**3071), mpint(65537)), id="modulus and exponent swapped"),
        pytest.param(string(b"ssh-ed25519") + string(bytes(31)), id="31 bytes"),
        pytest.param(string(b"ssh-ed25519") + string(bytes(33)), id="33 bytes"),
        pytest.param(P256 + string(b"\4" + bytes(63)), id="a short point"),
        pytest.param(P256 + string(b"\4" + bytes(65)), id="a long point"),
        pytest.param(P256 + string(b"\2" + bytes(32)), id="a compressed point"),
        pytest.param(P256 + string(b"\6" + bytes(64)), id="a hybrid point"),
        pytest.param(P256 + string(b"\0"), id="the point at infinity"),
        pytest.param(P256 + string(b""), id="no point"),
        pytest.param(P256.replace(b"256", b"384", 2) + string(b"\4" + bytes(64)), id="P-384"),
        pytest.param(
            string(b"ecdsa-sha2-nistp256") + string(b"nistp384") + string(b"\4" + bytes(96)),
            id="another curve's name",
        ),
        pytest.param(
            string(b"sk-ssh-ed25519@openssh.com") + string(bytes(32)) + string(b"ssh:\xff"),
            id="an application that is not a text",
        ),
        pytest.param(string(b"sk-ssh-ed25519@openssh.com") + string(bytes(32)), id="none"),
    ],
)
def test_a_key_of_another_size_or_form_is_refused(key: bytes) -> None:
    with pytest.raises(WireError):
        check_public_key(key)
    plain_type = Reader(key).text()
    with pytest.raises(WireError):
        accept(certify(key_type=certificate_type(plain_type), public_key=key))


@pytest.mark.parametrize("bits", [3072, 16384])
def test_rsa_keys_of_the_bounds_are_read(bits: int) -> None:
    accept(
        certify(
            key_type=certificate_type("ssh-rsa"),
            public_key=_rsa(mpint(65537), mpint(2 ** (bits - 1))),
        )
    )


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


@given(st.text().filter(lambda text: "\0" not in text))
def test_option_values_are_read_back(value: str) -> None:
    assert unwrap(option(value)) == value


def test_a_fingerprint_is_what_ssh_keygen_shows(tmp_path: Path) -> None:
    for key_type in KEY_TYPES:
        path = tmp_path / "key.pub"
        path.write_text(line(subject_key(key_type)) + "\n")
        assert keygen("-l", "-f", path).split()[1] == fingerprint(subject_key(key_type))


def test_a_fingerprint_needs_no_openssl_and_can_do_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    key = subject_key("ssh-ed25519")
    alone = fingerprint(key)
    for module in ("_sha2", "_sha256"):
        monkeypatch.setitem(sys.modules, module, None)
    assert fingerprint(key) == alone


def test_a_session_without_a_handle_has_an_empty_one() -> None:
    certificate, _, _ = parse(certify(extensions=extensions(session=None)))
    assert not session_handle(certificate)


READ = """
import sys
sys.path.insert(0, {root!r})
from sshd_hook.certificate import check_fields, claims_of, display_name, fingerprint, parse
from sshd_hook.wire import WireError, unb64
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
