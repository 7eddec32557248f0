"""What a certificate says of its login, and that each thing can be said in one way alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshd_hook.certificate import (
    AMR,
    AUTH_TIME,
    HAS_MFA,
    NAME,
    SESSION,
    VIA,
    claims_of,
    display_name,
    is_amr_value,
    option,
    parse,
    session_handle,
    unwrap,
)
from sshd_hook.wire import WireError, string, u32
from tests.certificates import ALICE, HANDLE, NOW, accept, certify, extensions, refuse


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


@given(st.text().filter(lambda text: "\0" not in text))
def test_option_values_are_read_back(value: str) -> None:
    assert unwrap(option(value)) == value


def test_a_session_without_a_handle_has_an_empty_one() -> None:
    certificate, _, _ = parse(certify(extensions=extensions(session=None)))
    assert not session_handle(certificate)
