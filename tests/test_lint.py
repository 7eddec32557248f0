"""Nothing is signed that is not a certificate as documented: each rule broken once, as bytes."""

from __future__ import annotations

import pytest

from ca.errors import SigningFailed
from ca.issuance.lint import lint_host_certificate, lint_user_certificate
from sshd_hook.certificate import HAS_MFA, HOST, Certificate, option, to_be_signed
from sshd_hook.wire import WireError, string
from tests.certificates import (
    ALICE,
    HANDLE,
    NOW,
    authority,
    extensions,
    plain,
    private_key,
    subject_key,
    user_certificate,
)

CA = authority().public_key
LIFETIME = 3600


def lint(certificate: Certificate, lifetime: int = LIFETIME) -> Certificate:
    return lint_user_certificate(to_be_signed(certificate), CA, lifetime, NOW)


def refuse(fault: str, **changes: object) -> None:
    """It is not signed; whoever asked learns nothing, the operator's log why."""
    with pytest.raises(SigningFailed) as caught:
        lint(user_certificate(**changes))
    assert "our own check" in caught.value.message
    assert fault in str(caught.value.__cause__)


@pytest.mark.parametrize("key_type", ["ssh-ed25519", "ssh-rsa", "sk-ssh-ed25519@openssh.com"])
def test_a_good_certificate_passes(key_type: str) -> None:
    drafted = user_certificate(key_type)
    assert to_be_signed(lint(drafted)) == to_be_signed(drafted)


@pytest.mark.attack(8, 9, 10, 12, 13)
@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "root",
            "git",
            "a#root",
            "-rf",
            "*",
            "?",
            "a,b",
            "a b",
            'a"b',
            "a\\b",
            "a\nb",
            "a\rb",
        ),
        *(
            "a\tb",
            "a\0b",
            "a\x1bb",
            "a\x7fb",
            ALICE.upper(),
            ALICE + "\n",
            ALICE + ",root",
            "\u0430lice",
        ),
    ],
)
def test_a_principal_that_is_no_user_id_is_never_signed(name: str) -> None:
    for changes in ({"principals": (name,)}, {"principals": (name,), "key_id": name}):
        with pytest.raises(SigningFailed):
            lint(user_certificate(**changes))


@pytest.mark.attack(8, 14)
def test_exactly_one_principal_is_signed() -> None:
    for principals in ((), (ALICE, ALICE), (ALICE, "root"), (HANDLE,)):
        refuse("principal", principals=principals)


@pytest.mark.parametrize(
    ("fault", "changes"),
    [
        ("not a user certificate", {"kind": HOST}),
        ("serial number 0", {"serial": 0}),
        ("critical option", {"critical_options": (("force-command", option("id")),)}),
        ("another extension", {"extensions": (*extensions(), ("zzz", b""))}),
        ("another extension", {"extensions": extensions(more={"permit-user-rc": b""})}),
        ("another extension", {"extensions": extensions(more={"no-touch-required": b""})}),
        ("sorted and unique", {"extensions": extensions()[::-1]}),
        ("sorted and unique", {"extensions": (extensions()[0], *extensions())}),
        ("amr", {"extensions": extensions(amr="pwd,mfa,otp", more={HAS_MFA: b""})}),
        ("contradict", {"extensions": extensions(amr="pwd", more={HAS_MFA: b""})}),
        ("mfa without anything", {"extensions": extensions(amr="mfa,pwd")}),
        ("mfa without anything", {"extensions": extensions(amr="mfa,pwd,sso:acme")}),
        ("no time", {"extensions": extensions(auth_time=None)}),
        ("to come", {"extensions": extensions(auth_time=str(NOW + 301))}),
        ("session", {"extensions": extensions(session=None)}),
        ("display name", {"extensions": extensions(name="A (admin)")}),
        ("display name", {"extensions": extensions(name="a\nb")}),
        ("display name", {"extensions": extensions(name="")}),
        ("display name", {"extensions": extensions(name=None)}),
        ("via", {"extensions": extensions(via="browser")}),
        ("too long", {"nonce": bytes(8000)}),
        ("nonce", {"nonce": b""}),
        ("nonce", {"nonce": bytes(31)}),
        ("nonce", {"nonce": bytes(33)}),
        ("another CA", {"signature_key": plain(private_key("ecdsa-sha2-nistp256"))}),
        ("end too early", {"signature_key": b""}),
        ("certifies itself", {"public_key": CA}),
        ("backdated", {"valid_after": NOW - 61}),
        ("not valid now", {"valid_after": NOW + 1}),
        ("not valid now", {"valid_after": NOW, "valid_before": NOW}),
        ("lives too long", {"valid_before": NOW + LIFETIME + 1}),
        ("lives too long", {"valid_before": 2**64 - 1}),
        ("Ed25519 point", {"public_key": string(b"ssh-ed25519") + string(bytes(32))}),
        ("supported type", {"key_type": "ssh-dss-cert-v01@openssh.com"}),
    ],
)
def test_a_broken_rule_is_never_signed(fault: str, changes: dict[str, object]) -> None:
    refuse(fault, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"valid_after": NOW - 60, "valid_before": NOW + LIFETIME},
        {"valid_after": NOW, "valid_before": NOW + 1},
        {"extensions": extensions(amr=None)},
        {"extensions": extensions(auth_time=str(NOW + 300))},
        {"extensions": extensions(amr="hwk,mfa", via="device", name="佐藤 花子")},
    ],
)
def test_the_bounds_themselves_pass(changes: dict[str, object]) -> None:
    lint(user_certificate(**changes))


@pytest.mark.parametrize("change", [lambda data: data + b"\0", lambda data: data[:-1]])
def test_bytes_beside_a_certificate_are_never_signed(change: object) -> None:
    assert callable(change)
    for junk in (change(to_be_signed(user_certificate())), b"", b"tree of a commit", CA):
        with pytest.raises(SigningFailed) as caught:
            lint_user_certificate(junk, CA, LIFETIME, NOW)
        assert isinstance(caught.value.__cause__, WireError)


# --- hosts ----------------------------------------------------------------------------------

NAMES = ("ssh.acme.example", "192.0.2.7")


def host(**changes: object) -> Certificate:
    fields = {"kind": HOST, "principals": NAMES, "extensions": (), "key_id": HANDLE, **changes}
    return user_certificate("ssh-ed25519", **fields)


def lint_host(certificate: Certificate, names: tuple[str, ...] = NAMES) -> Certificate:
    return lint_host_certificate(to_be_signed(certificate), CA, names, LIFETIME, NOW)


def test_a_good_host_certificate_passes() -> None:
    assert lint_host(host()).principals == NAMES
    many = tuple(f"h{n}" for n in range(16))
    assert lint_host(host(principals=many), many).principals == many


@pytest.mark.parametrize(
    ("fault", "changes"),
    [
        ("not a host certificate", {"kind": 1}),
        ("not a host certificate", {"kind": 0}),
        ("other names", {"principals": ("ssh.evil.example",)}),
        ("other names", {"principals": NAMES[::-1]}),
        ("other names", {"principals": (*NAMES, "ssh.evil.example")}),
        ("other names", {"principals": ()}),
        ("critical option", {"critical_options": (("force-command", option("id")),)}),
        ("an extension", {"extensions": (("permit-pty", b""),)}),
        ("not a host id", {"key_id": "host"}),
        ("serial number 0", {"serial": 0}),
        ("lives too long", {"valid_before": NOW + LIFETIME + 1}),
        ("Ed25519 point", {"public_key": string(b"ssh-ed25519") + string(bytes(32))}),
    ],
)
def test_a_broken_host_certificate_is_never_signed(fault: str, changes: dict[str, object]) -> None:
    with pytest.raises(SigningFailed) as caught:
        lint_host(host(**changes))
    assert fault in str(caught.value.__cause__)


@pytest.mark.parametrize(
    "names",
    [
        *((), ("*.acme.example",), ("SSH.acme.example",), ("a", "a"), ("",), ("a b",), ("a,b",)),
        *(("?",), ("*",), ("a\n",), tuple(f"h{n}" for n in range(17)), ("ä.example",), ("-a",)),
    ],
)
def test_names_that_no_host_can_have_are_never_signed(names: tuple[str, ...]) -> None:
    with pytest.raises(SigningFailed):
        lint_host(host(principals=names), names)


def test_a_user_certificate_is_no_host_certificate_and_the_other_way_round() -> None:
    with pytest.raises(SigningFailed):
        lint_host(user_certificate(), (ALICE,))
    with pytest.raises(SigningFailed):
        lint(host(principals=(HANDLE,)))


def test_the_subject_is_judged_as_it_is_when_it_is_sent() -> None:
    lint(user_certificate("ssh-rsa", public_key=subject_key("ssh-rsa")))
