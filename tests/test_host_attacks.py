"""What somebody at the other end of a connection may try: none of it opens, or closes, a door."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from machine.clients import SERVICE, Answers, Step, probe
from machine.host import Service
from machine.people import PASSWORD_ONLY
from machine.sshd import restart_sshd
from sshd_hook.certificate import parse
from sshd_hook.policy import Requirement
from sshd_hook.wire import b64

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from machine.host import Host

ALICES_KEY = "/home/alice/.ssh/id_ed25519"
BOBS_KEY = "/home/bob/.ssh/id_ed25519"
MFA = "\t - Multi-factor authentication (MFA)\n"
DROP_IN = "/etc/ssh/sshd_config.d/00-amrgate.conf"


def with_a_change_between(host: Host, blob: bytes, change: Callable[[], None]) -> Answers:
    """Run the hook by a query, change something, then run it again by the login that follows."""
    go, reached = host.machine.path("/run/go"), host.machine.path("/run/go.reached")
    for path in (go, reached):
        path.unlink(missing_ok=True)
    steps: list[Step] = [
        ("query", SERVICE, b64(blob), 1),
        ("pause", "", "", "/run/go"),
        ("login", SERVICE, b64(blob), ALICES_KEY),
    ]
    with ThreadPoolExecutor() as pool:
        future = pool.submit(probe, host.machine, steps)
        while not reached.exists():
            assert not future.done(), future.result()
            time.sleep(0.01)
        change()
        go.touch()
        (seen,) = future.result()
    return seen


@pytest.mark.attack(59)
def test_allowed_first_and_refused_at_the_end(host: Host) -> None:
    blob = host.certify("alice", PASSWORD_ONLY)

    seen = with_a_change_between(host, blob, lambda: host.require("mfa"))

    assert seen["answers"] == ["sign", "closed"]
    assert MFA in "".join(seen["banners"])


@pytest.mark.attack(59)
def test_refused_first_and_allowed_at_the_end(host: Host) -> None:
    host.require("mfa")
    blob = host.certify("alice", PASSWORD_ONLY)

    seen = with_a_change_between(host, blob, host.set_policy)

    assert seen["answers"] == ["sign", "in"]
    assert seen["banners"] == []


@pytest.mark.attack(198)
def test_an_allowed_colleagues_certificate_first(host: Host) -> None:
    """Anybody can offer it: only the proof that would follow is missing."""
    host.require("mfa")
    good, mine = host.certify("bob"), host.certify("alice", PASSWORD_ONLY)

    (seen,) = probe(
        host.machine,
        [("query", SERVICE, b64(good), 3), ("login", SERVICE, b64(mine), ALICES_KEY)],
    )

    assert seen["answers"] == ["sign", "sign", "sign", "closed"]
    assert MFA in "".join(seen["banners"])


@pytest.mark.attack(198)
def test_an_allowed_colleagues_certificate_before_one_that_gets_no_answer(host: Host) -> None:
    """Each run removes the verdict before it looks at anything."""
    good = host.certify("bob")
    expired = host.authority.sign(host.draft("alice", valid_after=1, valid_before=2))
    plain = host.keys["alice"]
    as_bob: list[Step] = [("query", SERVICE, b64(good), 1)]

    for mine in (expired, plain):
        (seen,) = probe(host.machine, [*as_bob, ("login", SERVICE, b64(mine), ALICES_KEY)])
        assert seen["answers"] == ["sign", "no"]


@pytest.mark.attack(198)
def test_an_allowed_certificate_for_another_service_first(host: Host) -> None:
    other = "abcdefg123456-main-bvxea6i--other"
    strict = Service(Requirement(frozenset({"mfa"})))
    host.set_policy({SERVICE: strict, other: Service()})
    mine = host.certify("alice", PASSWORD_ONLY)

    (seen,) = probe(
        host.machine,
        [("query", other, b64(mine), 1), ("login", SERVICE, b64(mine), ALICES_KEY)],
    )

    assert seen["answers"] == ["sign", "closed"]


@pytest.mark.attack(170)
def test_a_certificate_without_its_key(host: Host) -> None:
    good = host.certify("bob")

    (seen,) = probe(host.machine, [("login", SERVICE, b64(good), ALICES_KEY)])

    assert seen["answers"][-1] in ("no", "closed")


@pytest.mark.attack(199)
def test_twenty_refusals_in_a_row_and_then_a_good_login(host: Host) -> None:
    host.require("mfa")
    host.certify("alice", PASSWORD_ONLY)

    texts = [host.ssh("alice", "true").err for _ in range(20)]
    host.certify("alice")

    assert all(MFA in text for text in texts)
    assert host.admits("alice")
    assert host.admin_login() < 5


@pytest.fixture(params=["publickey,keyboard-interactive", "keyboard-interactive,publickey"])
def two_methods(host: Host, request: pytest.FixtureRequest) -> Iterator[None]:
    """An operator made services ask for a password as well; PAM takes any here."""
    drop_in, pam = host.machine.path(DROP_IN), host.machine.path("/etc/pam.d/sshd")
    before = drop_in.read_text(), pam.read_text()
    changed = before[0].replace("Methods publickey", f"Methods {request.param}")
    drop_in.write_text(
        changed.replace("KbdInteractiveAuthentication no", "KbdInteractiveAuthentication yes")
    )
    pam.write_text(before[1].replace("@include common-auth", "auth required pam_permit.so"))
    restart_sshd(host.machine)
    yield
    drop_in.write_text(before[0])
    pam.write_text(before[1])
    restart_sshd(host.machine)


@pytest.mark.attack(36)
@pytest.mark.usefixtures("two_methods")
def test_a_second_method_beside_the_certificate(host: Host) -> None:
    """The gate stays shut whichever comes first: the account phase needs the hook's verdict."""
    host.require("mfa")
    host.certify("alice", PASSWORD_ONLY)
    words = ("ssh", "-o", "BatchMode=no", "-o", "KbdInteractiveAuthentication=yes")

    result = host.machine.run(*words, f"{SERVICE}@ssh.acme.example", "echo in", user="alice")

    assert (result.status, result.out) == (255, "")


@pytest.mark.attack(61)
def test_an_expired_certificate_never_gets_as_far_as_the_policy(host: Host) -> None:
    """Not even for its name: no role and no requirement is looked up for whoever was once here."""
    expired = host.authority.sign(host.draft("alice", valid_after=1, valid_before=2))
    good = host.authority.sign(host.draft("alice"))

    assert "/var/lib/amrgate/policy/bundle" not in files_opened_for(host, expired)
    assert "/var/lib/amrgate/policy/bundle" in files_opened_for(host, good)


def files_opened_for(host: Host, blob: bytes) -> str:
    """What a run of the hook for this certificate opens, as strace has it."""
    certificate, _, _ = parse(blob)
    uid = host.machine.check("id", "-u", SERVICE).strip()
    arguments = (
        *(SERVICE, uid, certificate.key_id, str(certificate.serial), certificate.key_type),
        *(b64(certificate.signature_key), b64(blob)),
    )
    strace = ("strace", "-f", "-e", "trace=open,openat", "/usr/lib/amrgate/principals")
    return host.machine.run(*strace, *arguments, user="amrgate-hook").err
