"""Figure F6: what a host decides that its CA left alone for up to a day, after three quiet ones."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ca.hosts import bundle_writer
from ca.hosts import freshness as words
from ca.issuance.revocation import RevocationList
from ca.keys.files import FileSigner
from ca.store.hosts import Built
from sshd_hook import bundle, freshness
from sshd_hook.answer import DeniedError, Policy, answer_to
from sshd_hook.bundle import ServiceRecord
from sshd_hook.policy import CONTRIBUTOR, VIEWER, Requirement
from tests import oracle
from tests.certificates import ALICE, NOW, extensions, user_certificate
from tests.drills.drill import Drill, Finding
from tests.questions import CAROL, DAVE, DAY, HOST, SHARED_UID, arguments, content

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.drills.nodes import Stage

HOUR = 3600
QUIET = 3 * DAY
POLL = 50  # seconds: as often an agent hears that nothing changed
OUTCOMES = ("allowed", "no_access", "more_authentication", "policy_stale")
STRANGER = "99999999-3333-4333-8444-555555555555"
REQUIREMENTS = {
    "open": (Requirement(), DAY),
    "mfa": (Requirement(frozenset({"mfa"}), 7200), DAY),
    "short": (Requirement(), 2 * HOUR),
    "strict": (Requirement(frozenset({"mfa"}), HOUR), HOUR),
}
ROLES = {ALICE: CONTRIBUTOR, CAROL: CONTRIBUTOR, DAVE: VIEWER}


def name(label: str) -> str:
    return f"abcdefg123456-main-bvxea6i--{label}"


def left_alone() -> Policy:
    """What a host has whose CA was there for three days without a change, until `NOW`."""
    services = [
        ServiceRecord(name(label), asked, max_offline=limit, access_list=0)
        for label, (asked, limit) in REQUIREMENTS.items()
    ]
    data = bundle_writer.write(content(*services))
    signer = FileSigner(Ed25519PrivateKey.generate())
    revoked = RevocationList(1, b"", "0" * 64)
    for moment in (*range(NOW - QUIET, NOW, 6 * HOUR), NOW - POLL):
        text, _signature = words.state(signer, HOST, Built(7, "0" * 64, ""), revoked, moment)
        heard = freshness.parse(text.encode())
        assert freshness.is_fresh(heard, HOUR, moment + POLL)
    return Policy(bundle.from_bytes(data), heard, SHARED_UID)


class Login(NamedTuple):
    """Who wants in where, and the age and the `amr` of their login."""

    user: str
    label: str
    age: int = 60
    amr: str = "mfa,otp,pwd"


def decided(policy: Policy, login: Login, now: int) -> str:
    certificate = user_certificate(
        key_id=login.user,
        principals=(login.user,),
        valid_after=now - 60,
        valid_before=now + HOUR,
        extensions=extensions(amr=login.amr, auth_time=str(now - login.age)),
    )
    try:
        return answer_to(arguments(certificate, name(login.label)), now, lambda: policy).code
    except DeniedError as denied:
        return denied.code


def expected(login: Login, offline: int) -> str:
    """What the description says, for a host that heard nothing for `offline` seconds."""
    asked, limit = REQUIREMENTS.get(login.label, (Requirement(), 0))
    known = login.label in REQUIREMENTS
    answer = oracle.answer(
        oracle.Question(
            amr=frozenset(login.amr.split(",")),
            auth_time=NOW - login.age,
            via="",
            role=ROLES.get(login.user, 0) if known else None,
            needed=CONTRIBUTOR,
            exempt=False,
            required=asked.amr,
            max_age=asked.max_age,
            device=asked.device,
            networks=None,
            providers=frozenset(),
            peer=None,
            now=NOW,
        )
    )
    # Who has no access is told so only as long as the shortest limit on the host allows.
    least = min(limit for _, limit in REQUIREMENTS.values())
    if offline > (least if answer.outcome == oracle.NO_ACCESS else limit):
        return "policy_stale"
    codes = {oracle.ALLOWED: "allowed", oracle.NO_ACCESS: "no_access"}
    return codes.get(answer.outcome, "more_authentication")


def day_offline(_stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """Ask the hook's own function by moved clocks, and the second reading of the rules."""
    policy = left_alone()
    draw = random.Random(53)
    wrong = 0
    seen: dict[str, int] = {}
    for number in range(count):
        login = Login(
            draw.choice([*ROLES, ALICE, CAROL, STRANGER]),
            draw.choice([*REQUIREMENTS, "nowhere"]),
            draw.choice([60, HOUR - 1, HOUR + 1, 3 * HOUR, 5 * DAY]),
            draw.choice(["pwd", "mfa,otp,pwd"]),
        )
        offline = POLL + draw.choice(
            [0, 30 * 60, HOUR - 2 * POLL, HOUR, 2 * HOUR, 20 * HOUR, DAY - POLL, DAY]
        )
        code = decided(policy, login, NOW + offline - POLL)
        wrong += code != expected(login, offline)
        seen[code] = seen.get(code, 0) + 1
        tell(number + 1)
    shares = {code: f"{100 * times // count} %" for code, times in sorted(seen.items())}
    missed = "" if len(seen) == len(OUTCOMES) else "not every outcome was seen"
    return Finding(count, wrong, shares, missed)


DRILLS = (Drill("day-offline", "F6", "0 wrong of 10,000", 20_000, 600, day_offline, attack=53),)
