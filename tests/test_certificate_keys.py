"""The keys that may be certified: their types, sizes and forms."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from sshd_hook.certificate import KEY_TYPES, certificate_type, check_public_key
from sshd_hook.wire import Reader, WireError, fingerprint, mpint, string
from tests.certificates import accept, certify, keygen, line, refuse, subject_key

if TYPE_CHECKING:
    from pathlib import Path


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
