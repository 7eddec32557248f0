"""Figure F30: clocks that are not the CA's: how far off all is still as it should be, and no longer.

What a host decides depends on how far apart times are, so a host whose clock is ahead is one whose
CA wrote earlier times: real logins are tried by these, because nothing moves the clock of one sshd.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, NamedTuple

from ca.client.certificates import is_good
from ca.client.check import MARGIN
from ca.hosts import bundle_writer
from ca.issuance import draft
from sshd_hook import bundle
from sshd_hook.answer import DeniedError, Policy, answer_to
from sshd_hook.bundle import ServiceRecord
from sshd_hook.freshness import MAX_OFFLINE
from sshd_hook.policy import Requirement
from tests.certificates import ALICE, HANDLE, NOW, authority, subject_key
from tests.drills.drill import Drill, Finding
from tests.questions import DAY, SHARED_UID, arguments, content, statement

if TYPE_CHECKING:
    from collections.abc import Callable

    from sshd_hook.certificate import Certificate
    from tests.drills.nodes import Stage

HOUR = 3600
BACKDATE = 60  # seconds; so are the next two, written out from the documents
FUTURE = 300  # that the CA's word may be dated after a host's clock
EPOCH, YEAR_2100 = -NOW, 4_102_444_800 - NOW
SKEWS = [0, 1, 59, 60, 61, 119, 120, 121, 299, 300, 301, 600, HOUR - 1, HOUR, DAY]
SKEWS += [-skew for skew in SKEWS] + [EPOCH, EPOCH - 60, YEAR_2100]
LIVES = [300, HOUR]
HEARD = 600  # seconds: so often the CA speaks, whatever happens
OLDEST = 10**9  # seconds: nothing is from before 1970
SERVICES = {"open": (None, DAY), "strict": (HOUR, HOUR)}
"""What each asks: the greatest age of a login, and how long it may be decided without the CA."""

FACTORS = frozenset({"mfa", "otp", "pwd"})
OUTCOMES = ("allowed", "more_authentication", "not_valid_now", "policy_stale")


class Moment(NamedTuple):
    """By the CA's clock, at `NOW`: how old things are; and how far ahead of it a host's clock is."""

    skew: int
    age: int
    life: int
    login: int
    word: int


def drawn(source: random.Random) -> Moment:
    life = source.choice(LIVES)
    near = [0, 1, 59, 60, 61, 300, 301]
    skew = source.choice([*SKEWS, source.randint(-600, 600)])
    # At the edges, too, of what a host of this clock would take.
    age = source.choice(
        [*near, *(life + d for d in (-61, -1, 0, 1, 299, 300)), life - skew - 1, life - skew]
    )
    word = source.choice([*near, 600, HOUR - skew, DAY - skew, HOUR - skew + 1, DAY - skew + 1])
    login = source.choice([0, 1, HOUR, 2 * HOUR])
    return Moment(skew, min(max(0, age), OLDEST), life, login, min(max(0, word), OLDEST))


def issued(moment: Moment) -> Certificate:
    """What the CA made of a login that was `login` seconds ago, `age` seconds ago."""
    born = NOW - moment.age
    holder = draft.Holder(ALICE, "Alice", HANDLE, FACTORS, born - moment.login, "")
    issue = draft.Issue(7, bytes(32), authority().public_key, born, moment.life)
    return draft.user_certificate(subject_key("ssh-ed25519"), holder, issue)


def decided(policy: Policy, certificate: Certificate, name: str, now: int) -> str:
    try:
        return answer_to(arguments(certificate, name), now, lambda: policy).code
    except DeniedError as denied:
        return denied.code


def expected(moment: Moment, service: str) -> str:
    """What the description says of a host whose clock is `skew` ahead."""
    max_age, offline = SERVICES[service]
    age, word = moment.age + moment.skew, moment.word + moment.skew  # as this host sees them
    if not -BACKDATE <= age < moment.life:
        return "not_valid_now"
    if not -FUTURE <= word <= offline:
        return "policy_stale"
    if max_age is not None and age + moment.login > max_age:
        return "more_authentication"
    return "allowed"


def skewed(_stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """Ask the hook's own function by moved clocks; and the engineer's command, by the same ones."""
    found = bundle.from_bytes(bundle_writer.write(content(*map(_record, SERVICES))))
    source = random.Random(30)
    wrong, longest, late = 0, 0, 0
    seen: dict[str, int] = {}
    for number in range(count):
        moment, service = drawn(source), source.choice([*SERVICES])
        stated = NOW - moment.word
        word = statement(issued_at=stated, not_after=stated + MAX_OFFLINE)
        policy = Policy(found, word, SHARED_UID)
        certificate = issued(moment)
        code = decided(policy, certificate, name(service), NOW + moment.skew)
        wrong += code != expected(moment, service)
        seen[code] = seen.get(code, 0) + 1
        if code == "allowed":
            over = moment.age - moment.life
            if moment.word <= HEARD:
                longest = max(longest, over)
            # Behind by more than the CA's word may be ahead, a host has no word to go by.
            late += over >= max(0, -moment.skew) or over >= FUTURE + moment.word
        kept = is_good(certificate, NOW + moment.skew) and moment.age >= moment.life
        late += kept and moment.skew >= -MARGIN
        tell(number + 1)
    figures = {code: f"{100 * times // count} %" for code, times in sorted(seen.items())}
    figures["the longest after its end while the CA is heard"] = f"{longest} s"
    missed = "" if len(seen) == len(OUTCOMES) else "not every outcome was seen"
    return Finding(count, wrong + late, figures, missed)


def name(label: str) -> str:
    return f"abcdefg123456-main-bvxea6i--{label}"


def _record(label: str) -> ServiceRecord:
    max_age, offline = SERVICES[label]
    asked = Requirement(frozenset({"mfa"}), max_age)
    return ServiceRecord(name(label), asked, max_offline=offline, access_list=0)


# How far ahead the host's clock is, how old the certificate by the CA's, and whether that gets in:
# half a minute from each edge, because a login takes a while. The CA's word is a second old.
LOGINS = (
    (-30, 0, True),  # made just now, and the host is a little slow
    (-150, 0, False),  # not valid there yet
    (-400, HOUR, False),  # the CA's word is from the future
    (HOUR - 40, 0, True),
    (0, HOUR - 40, True),
    (-150, 150, True),
    (-250, HOUR + 200, True),  # it ended by the CA's clock, and not yet by the host's
    (-250, HOUR + 290, False),
    (60, HOUR - 30, False),  # the other way round
    (HOUR, 0, False),
    (DAY, 0, False),
    (-DAY, DAY, False),
)


def at_sshd(stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """Real logins, by certificates and words that the CA dated so far from the host's clock."""
    host, wrong = stage.host, []
    for number in range(count):
        skew, age, admitted = LOGINS[number % len(LOGINS)]
        host.set_policy(age=skew + 1)
        born = int(time.time()) - skew - age
        host.certify("alice", valid_after=born - BACKDATE, valid_before=born + HOUR)
        if host.admits("alice") is not admitted:
            wrong.append(f"{skew} s ahead, {age} s old")
        tell(number + 1)
    host.set_policy()
    return Finding(count, len(wrong), {}, "; ".join(wrong[:3]))


DRILLS = (
    Drill("clock-skew", "F30", "0 wrong; no longer life", 200_000, 1500, skewed, attack=26),
    Drill("clock-logins", "F30", "0 wrong", 10 * len(LOGINS), 4, at_sshd, attack=26),
)
