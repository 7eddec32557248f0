"""Figure F11: a bundle that differs from what the CA signed, on its way to a host or on its disk.

On its way the agent must find it: by the signature, with ssh-keygen as on a host, and again by the
digest that the signed statement of freshness names. On the disk only root can change it; the hook's
check sums find what a disk does, so that it never decides by damage.
"""

from __future__ import annotations

import hashlib
import random
import tempfile
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sshd_hook import bundle, freshness
from sshd_hook.agent import apply, keygen, poll
from sshd_hook.agent import host as agent_host
from sshd_hook.agent.host import Floor
from sshd_hook.bundle import ServiceRecord
from sshd_hook.policy import CONTRIBUTOR, VIEWER, Requirement
from tests.drills.drill import Drill, Finding
from tests.drills.pieces import Seen, on_every_processor
from tests.fuzz.certificates import flip
from tests.hosts import DAY, HOST_ID, SERVICE, TOKEN, PolicyCA

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.drills.nodes import Stage

STATED = 16  # of so many flips, one is named as right by a signed statement of freshness
OTHERS = 255  # values that a byte could have instead
KNOWN = agent_host.Host(HOST_ID, TOKEN, "ssh1", "http://127.0.0.1")

NAMES = [f"abcdefg123456-{branch}-bvxea6i--app" for branch in ("main", "next", "prod", "test")]
USERS = [f"{number:08x}-2222-4333-8444-555555555555" for number in range(8)]
ASKED = Requirement(frozenset({"mfa", "sso:acme"}), 3600, providers=frozenset({"acme"}))
INSIDE = Requirement(networks=("10.0.0.0/8", "2001:db8::/32"), device=True)


def told() -> dict[str, Any]:
    """What a small host is told: four services of each sort, eight people with roles on them."""
    services = [
        ServiceRecord(NAMES[0], ASKED, max_offline=DAY, access_list=0),
        ServiceRecord(NAMES[1], INSIDE, max_offline=7200, access_list=0, reported=ASKED),
        ServiceRecord(NAMES[2], ASKED, max_offline=3600, access_list=1, forwards=("[::1]:5432",)),
        ServiceRecord(NAMES[3], Requirement(), max_offline=DAY, access_list=1),
    ]
    roles = {user: (CONTRIBUTOR, place == 0) for place, user in enumerate(USERS)}
    return {
        "services": services,
        "access_lists": [roles, dict.fromkeys(USERS[:4], (VIEWER, False))],
    }


def flips(_stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """Each bit if there are so many, else at so many offsets that are far apart."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        ca = PolicyCA(Path(folder), version=1)
        signers = ca.directory / "signers"
        signers.write_bytes(agent_host.signers(ca.keys["bundle"], "amrgate-bundle,amrgate-fresh"))
        patch.setattr(agent_host, "BUNDLE_SIGNERS", str(signers))
        data = ca.bundle(**told())
        signature = ca.sign(bundle.NAMESPACE, data)
        fresh = ca.statement(data)
        fresh_signature = ca.sign(freshness.NAMESPACE, fresh)
        good = poll.Update(1, data, signature, fresh, fresh_signature, ca.krl(), (SERVICE,))
        _verify(good)  # or all of them would be refused anyway
        taken = 0
        for number in range(count):
            round_, place = divmod(number * max(1, len(data) // count), len(data))
            bent = bytearray(data)
            bent[place] ^= 1 << (place + round_) % 8
            sent = replace(good, bundle=bytes(bent))
            if number % STATED == 0:
                stated = ca.statement(data, digest=hashlib.sha256(bent).hexdigest())
                stated_signature = ca.sign(freshness.NAMESPACE, stated)
                sent = replace(sent, fresh=stated, fresh_signature=stated_signature)
            try:
                _verify(sent)
            except apply.Refused as refused:
                taken += "amrgate-bundle: the signature" not in str(refused)
            else:
                taken += 1
            tell(number + 1)
    return Finding(count, taken, {"bytes": str(len(data))})


def changes(_stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """A third of them one byte to each of its other values, at every offset; the others at random.

    What a signature would say is left out: this is what finds them after it, or on a disk.
    """
    with tempfile.TemporaryDirectory() as folder:
        ca = PolicyCA(Path(folder), version=1)
        data = ca.bundle(**told())
        good = poll.Update(1, data, "", ca.statement(data), "", ca.krl(), (SERVICE,))
    single = min(count // 3, OTHERS * len(data))
    seen = on_every_processor(partial(_change, good, single), count, tell)
    figures = {
        "bytes": str(len(data)),
        "of one byte": f"{single} of the {OTHERS * len(data)} there are",
        "at random": str(count - single),
        "refused by the hook for every question": str(seen.times["refused"]),
        "for some": str(seen.times["refused in part"]),
    }
    return Finding(count, len(seen.wrong), figures, "; ".join(seen.wrong[:3]))


def _change(good: poll.Update, single: int, numbers: range) -> Seen:
    """Make the changes of these numbers, the first `single` of which are of one byte."""
    seen = Seen(Counter(), [])
    data = good.bundle
    assert data is not None
    before = _answers(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keygen, "verify", lambda *_: None)
        _verify(good)
        for number in numbers:
            if number < single:
                bent = _one_byte(data, number * OTHERS * len(data) // single)
            else:
                bent = _at_random(random.Random(number), data)
            try:
                _verify(replace(good, bundle=bent))
            except apply.Refused as refused:
                if "not the one that the freshness statement names" not in str(refused):
                    seen.wrong.append(f"number {number}, by the agent: {refused}")
            else:
                seen.wrong.append(f"number {number}: taken by the agent")
            after = _answers(bent)
            if any(then not in (None, now) for now, then in zip(before, after, strict=True)):
                seen.wrong.append(f"number {number}: the hook answers {after}")
            refused_ = after.count(None)
            seen.times["refused" if refused_ == len(after) else "refused in part"] += refused_ > 0
    return seen


def _one_byte(data: bytes, number: int) -> bytes:
    """The change of this number, of all that there are of one byte."""
    place, other = divmod(number, OTHERS)
    return data[:place] + bytes([data[place] ^ (other + 1)]) + data[place + 1 :]


def _at_random(source: random.Random, data: bytes) -> bytes:
    bent = data
    while bent == data:
        for _ in range(source.randint(1, 4)):
            bent = flip(source, bent)
    return bent


def _answers(data: bytes) -> list[object]:
    """What the hook finds in a bundle: whose it is, each service, each role. None where it refuses."""
    asks: list[Callable[[bundle.Bundle], object]] = [
        lambda found: (found.host_id, found.version, found.strictest, found.authorities),
        *(partial(_service, name=name) for name in NAMES),
        *(partial(_role, number=number, user=user) for number in (0, 1) for user in USERS),
    ]
    try:
        found = bundle.from_bytes(data)
    except ValueError:
        return [None] * len(asks)
    return [_unless_damaged(ask, found) for ask in asks]


def _unless_damaged(ask: Callable[[bundle.Bundle], object], found: bundle.Bundle) -> object:
    try:
        return ask(found)
    except ValueError:
        return None


def _service(found: bundle.Bundle, name: str) -> object:
    record = found.service(name)
    if record is None:
        return "no service"
    terms = [
        (asked.amr, asked.max_age, asked.networks, asked.device, asked.providers)
        for asked in (record.requirement, record.reported)
        if asked
    ]
    return record.max_offline, record.access_list, record.forwards, terms


def _role(found: bundle.Bundle, number: int, user: str) -> object:
    return found.role(number, user) or "no role"


def _verify(update: poll.Update) -> None:
    apply.verify(update, KNOWN, Floor(), apply.Installed(), int(time.time()))


DRILLS = (
    Drill("bundle-flips", "F11", "0 taken, of every bit", 13_600, 60, flips, attack=41),
    Drill("bundle-changes", "F11", "0 of 1,500,000", 1_600_000, 1200, changes, attack=41),
)
