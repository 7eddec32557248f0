"""Our certificates as `ssh-keygen`, `cryptography` and paramiko read them, and theirs as we do."""

from __future__ import annotations

import base64
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import paramiko
import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    SSHCertificate,
    SSHCertificateBuilder,
    SSHCertificateType,
    load_ssh_public_identity,
)

from ca.issuance.verify import verify_certificate, verify_signature
from sshd_hook.certificate import (
    AMR,
    KEY_TYPES,
    Certificate,
    certificate_type,
    check_fields,
    parse,
    to_be_signed,
)
from sshd_hook.wire import fingerprint, string
from tests.certificates import (
    ALICE,
    NOW,
    PrivateKey,
    authority,
    drawn_certificate,
    extensions,
    keygen,
    line,
    list_certificates,
    private_key,
    subject_key,
    user_certificate,
)

if TYPE_CHECKING:
    from pathlib import Path

CA_TYPES = KEY_TYPES[:5]
COUNT = 40  # certificates for each type of CA


def bare(data: bytes) -> bytes:
    """An option's value out of its string, which `cryptography` takes off."""
    return data[4:]


def when(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@pytest.mark.parametrize("ca_type", CA_TYPES)
def test_ssh_keygen_reads_in_ours_what_we_wrote(ca_type: str) -> None:
    ca = authority(ca_type)
    drafted = [drawn_certificate(random.Random(n), ca=ca) for n in range(COUNT)]
    listed = list_certificates(ca.certify(certificate) for certificate in drafted)
    assert len(listed) == COUNT
    for place, certificate in enumerate(drafted):
        seen = listed[place]
        assert seen.type == f"{certificate.key_type} user certificate"
        assert seen.key_id == certificate.key_id
        assert seen.serial == certificate.serial
        assert seen.principals == [certificate.key_id]
        assert seen.critical_options == []
        assert seen.extensions == dict(certificate.extensions), "byte for byte"
        key, signer = fingerprint(certificate.public_key), fingerprint(ca.public_key)
        assert seen.fingerprints == (key, signer)
        after, before = certificate.valid_after, certificate.valid_before
        # OpenSSH shows no beginning at 0, and all of time as "forever".
        start = f"from {when(after)} to " if after else "before "
        assert seen.valid == start + when(before)


@pytest.mark.parametrize("ca_type", CA_TYPES)
def test_cryptography_reads_in_ours_what_we_wrote(ca_type: str) -> None:
    ca = authority(ca_type)
    for n in range(COUNT):
        certificate = drawn_certificate(random.Random(n), CA_TYPES, ca)
        theirs = load_ssh_public_identity(line(ca.certify(certificate)).encode())
        assert isinstance(theirs, SSHCertificate)
        theirs.verify_cert_signature()
        assert theirs.type is SSHCertificateType.USER
        assert theirs.nonce == certificate.nonce
        assert theirs.serial == certificate.serial
        assert theirs.key_id == certificate.key_id.encode()
        assert theirs.valid_principals == [certificate.key_id.encode()]
        assert theirs.valid_after == certificate.valid_after
        assert theirs.valid_before == certificate.valid_before
        assert theirs.critical_options == {}
        ours = {name.encode(): bare(data) for name, data in certificate.extensions}
        assert theirs.extensions == ours
        signer = theirs.signature_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        assert signer.decode() == line(ca.public_key)
        subject = theirs.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        assert subject.decode() == line(certificate.public_key)


@pytest.mark.parametrize("ca_type", CA_TYPES)
def test_paramiko_reads_in_ours_what_we_wrote(ca_type: str) -> None:
    ca = authority(ca_type)
    for n in range(COUNT):
        certificate = drawn_certificate(random.Random(n), ca=ca)
        blob = ca.certify(certificate)
        assert paramiko.pkey.PublicBlob.from_string(line(blob)).key_blob == blob
        message = paramiko.Message(blob)
        assert message.get_text() == certificate.key_type
        assert message.get_binary() == certificate.nonce
        # What comes before a certificate's serial depends on the type: three numbers at most.
        message.get_bytes(len(certificate.public_key) - 4 - len(_plain_type(certificate)))
        assert message.get_int64() == certificate.serial
        assert message.get_int() == certificate.kind
        assert message.get_text() == certificate.key_id
        assert message.get_binary() == string(certificate.key_id.encode())
        assert message.get_int64() == certificate.valid_after
        assert message.get_int64() == certificate.valid_before
        assert message.get_binary() == b""
        options = paramiko.Message(message.get_binary())
        for name, data in certificate.extensions:
            assert (options.get_text(), options.get_binary()) == (name, data)
        assert options.get_remainder() == b""
        assert message.get_binary() == b""
        assert message.get_binary() == ca.public_key
        assert blob == to_be_signed(certificate) + string(message.get_binary())


def _plain_type(certificate: Certificate) -> str:
    return next(name for name in KEY_TYPES if certificate_type(name) == certificate.key_type)


PARAMIKO_KEYS: list[tuple[str, type[paramiko.PKey]]] = [
    ("ssh-ed25519", paramiko.Ed25519Key),
    ("ssh-rsa", paramiko.RSAKey),
    *((name, paramiko.ECDSAKey) for name in CA_TYPES if name.startswith("ecdsa-")),
]


@pytest.mark.parametrize(("key_type", "loads"), PARAMIKO_KEYS)
def test_paramiko_finds_the_key_in_our_certificate(
    key_type: str, loads: type[paramiko.PKey]
) -> None:
    blob = authority().certify(user_certificate(key_type))
    assert loads(data=blob).asbytes() == subject_key(key_type)


# --- theirs ---------------------------------------------------------------------------------


def same_as_ours(blob: bytes, ca_key: bytes) -> Certificate:
    """Read another program's certificate, and find that we would have written the same bytes."""
    certificate = verify_certificate(blob, {ca_key: "active"})
    check_fields(certificate)
    _, signed, _ = parse(blob)
    fields = {name: getattr(certificate, name) for name in Certificate.__slots__}
    assert to_be_signed(Certificate(**fields)) == signed
    return certificate


def write_private(path: Path, key: PrivateKey) -> None:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    path.chmod(0o600)


@pytest.mark.attack(17)
@pytest.mark.parametrize("ca_type", CA_TYPES)
@pytest.mark.parametrize("subject", KEY_TYPES)
def test_we_read_and_write_what_ssh_keygen_signs(
    tmp_path: Path, subject: str, ca_type: str
) -> None:
    ca = authority(ca_type)
    write_private(tmp_path / "ca", ca.private)
    (tmp_path / "id.pub").write_text(line(subject_key(subject)) + " a comment\n")
    drafted = user_certificate(subject, extensions=extensions(name="Zoë Müller", via="device"))
    options = ["-O", "clear"]
    for name, data in reversed(drafted.extensions):  # it sorts them itself
        value = f"={data[4:].decode()}" if data else ""
        standard = name.startswith("permit-")
        options += ["-O", name if standard else f"extension:{name}{value}"]
    keygen(
        *("-q", "-s", tmp_path / "ca", "-I", ALICE, "-n", ALICE, "-z", str(drafted.serial)),
        *("-V", f"{drafted.valid_after:#x}:{drafted.valid_before:#x}", *options),
        tmp_path / "id.pub",
    )
    blob = base64.b64decode((tmp_path / "id-cert.pub").read_text().split()[1])

    theirs = same_as_ours(blob, ca.public_key)

    assert theirs.extensions == drafted.extensions, "as `ssh-keygen -O extension:` writes them"
    ours = user_certificate(
        subject,
        nonce=theirs.nonce,
        extensions=drafted.extensions,
        signature_key=ca.public_key,
    )
    assert to_be_signed(ours) == parse(blob)[1]


@pytest.mark.parametrize("ca_type", CA_TYPES)
@pytest.mark.parametrize("subject", CA_TYPES)
def test_we_read_and_write_what_cryptography_signs(subject: str, ca_type: str) -> None:
    ca = authority(ca_type)
    drafted = user_certificate(subject)
    builder = (
        SSHCertificateBuilder()
        .public_key(private_key(subject).public_key())
        .serial(drafted.serial)
        .type(SSHCertificateType.USER)
        .key_id(ALICE.encode())
        .valid_principals([ALICE.encode()])
        .valid_after(NOW - 60)
        .valid_before(NOW + 3600)
    )
    for name, data in drafted.extensions:
        builder = builder.add_extension(name.encode(), bare(data))
    blob = base64.b64decode(builder.sign(ca.private).public_bytes().split()[1])

    theirs = same_as_ours(blob, ca.public_key)

    assert dict(theirs.extensions)[AMR] == dict(drafted.extensions)[AMR]
    assert theirs.extensions == drafted.extensions
    assert theirs.public_key == subject_key(subject)


@pytest.mark.parametrize(("ca_type", "loads"), PARAMIKO_KEYS)
def test_a_certificate_that_paramiko_signed_is_good_everywhere(
    tmp_path: Path, ca_type: str, loads: type[paramiko.PKey]
) -> None:
    """Paramiko is how a CA key in ssh-agent signs."""
    write_private(tmp_path / "ca", authority(ca_type).private)
    key = loads.from_private_key_file(str(tmp_path / "ca"))
    algorithm = "rsa-sha2-512" if ca_type == "ssh-rsa" else None
    signed = to_be_signed(user_certificate(signature_key=key.asbytes()))
    signature = key.sign_ssh_data(signed, algorithm).asbytes()
    verify_signature(key.asbytes(), signed, signature)
    blob = signed + string(signature)
    assert same_as_ours(blob, key.asbytes()).key_id == ALICE
    assert list_certificates([blob])
    theirs = load_ssh_public_identity(line(blob).encode())
    assert isinstance(theirs, SSHCertificate)
    theirs.verify_cert_signature()
