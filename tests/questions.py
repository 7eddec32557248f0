"""What sshd asks the hook, and the policies that it is asked under."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ca.hosts import bundle_writer
from ca.hosts.bundle_writer import BundleContent
from sshd_hook import bundle, freshness
from sshd_hook.answer import Policy
from sshd_hook.bundle import ServiceRecord
from sshd_hook.policy import CONTRIBUTOR, VIEWER, Requirement
from sshd_hook.wire import b64
from tests.certificates import ALICE, NOW, authority, extensions, user_certificate

if TYPE_CHECKING:
    from collections.abc import Callable

    from sshd_hook.certificate import Certificate

SERVICE = "abcdefg123456-main-bvxea6i--app"
GUARDED = "abcdefg123456-main-bvxea6i--guarded"  # asks for mfa, and where from
FOREIGN = "zyxwvut987654-main-bvxea6i--app"  # somebody else's
NOWHERE = "abcdefg123456-main-bvxea6i--nothing"
HOST = "0e8f3d57-6a4b-4b1e-9c39-5a3f8e8f1a11"
CAROL = "11111111-2222-4333-8444-555555555555"
DAVE = "99999999-2222-4333-8444-555555555555"
UID, SHARED_UID = "400001", "400000"
DAY = 86400
MFA = Requirement(frozenset({"mfa"}), 3600, ("127.0.0.0/8", "::1/128"))


def record(name: str = SERVICE, requirement: Requirement | None = None) -> ServiceRecord:
    return ServiceRecord(
        name,
        requirement or Requirement(),
        max_offline=DAY,
        access_list=0,
        forwards=("127.0.0.1:9001", "localhost:5432"),
    )


def content(*services: ServiceRecord, version: int = 7) -> BundleContent:
    """A host of three services: alice and carol may reach two, dave can only look at them."""
    foreign = ServiceRecord(FOREIGN, Requirement(), max_offline=DAY, access_list=1)
    return BundleContent(
        host_id=HOST,
        version=version,
        authorities=(authority().public_key,),
        services=services or (record(), record(GUARDED, MFA), foreign),
        access_lists=[
            {ALICE: (CONTRIBUTOR, False), CAROL: (CONTRIBUTOR, False), DAVE: (VIEWER, False)},
            {"cccccccc-2222-4333-8444-555555555555": (CONTRIBUTOR, False)},
        ],
    )


def statement(now: int = NOW, **changes: object) -> freshness.Freshness:
    fields: dict[str, object] = {
        "host_id": HOST,
        "version": 7,
        "digest": "0" * 64,
        "krl_version": 1,
        "krl_digest": "1" * 64,
        "issued_at": now - 60,
        "not_after": now - 60 + DAY,
    }
    return freshness.Freshness(**{**fields, **changes})  # type: ignore[arg-type]  # tests break it


def policy(of: BundleContent | None = None, **freshness_changes: int) -> Policy:
    reader = bundle.from_bytes(bundle_writer.write(of or content()))
    return Policy(reader, statement(NOW, **freshness_changes), SHARED_UID)


def reading(of: BundleContent | None = None, **freshness_changes: int) -> Callable[[], Policy]:
    """A function that hands out one policy."""
    made = policy(of, **freshness_changes)
    return lambda: made


def arguments(
    certificate: Certificate, name: str = SERVICE, uid: str = UID, blob: bytes | None = None
) -> list[str]:
    """`%u %U %i %s %t %K %k` as sshd fills them in."""
    return [
        name,
        uid,
        certificate.key_id,
        str(certificate.serial),
        certificate.key_type,
        b64(certificate.signature_key),
        b64(authority().certify(certificate) if blob is None else blob),
    ]


def certified(amr: str = "mfa,otp,pwd", **changes: int) -> Certificate:
    """A certificate that is good now."""
    now = int(time.time())
    fields = {"valid_after": now - 60, "valid_before": now + 3600} | changes
    return user_certificate(extensions=extensions(amr=amr, auth_time=str(now - 60)), **fields)


def good(name: str = SERVICE) -> list[str]:
    """A question that is answered, now, by letting in, if the name is alice's."""
    return arguments(certified(), name)
