"""A second reading of the rules of access, written from their description and not from the code.

It is slow, knows nothing of `sshd_hook`, and says what `decide` must say.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

ALLOWED, NO_ACCESS, MORE = "allowed", "no access", "more authentication needed"


@dataclass(frozen=True)
class Question:
    """All that a decision may depend on."""

    amr: frozenset[str]
    auth_time: int | None
    via: str
    role: int | None
    needed: int
    exempt: bool
    required: frozenset[str]
    max_age: int | None
    device: bool
    networks: tuple[str, ...] | None
    providers: frozenset[str]
    peer: str | None
    now: int


@dataclass(frozen=True)
class Answer:
    """`required` in the order of the parameters; `missing` as a set."""

    outcome: str
    required: tuple[str, ...] = ()
    missing: frozenset[str] = frozenset()


def answer(q: Question) -> Answer:
    """Where the description has several reasons to refuse, the one it names first wins."""
    if q.role is None or q.role < q.needed or not _reachable(q):
        return Answer(NO_ACCESS)
    required = set(q.required)
    if q.amr and not _factors(q.amr) and not _logins(q.amr, q.providers, ours=True):
        required.add("mfa")  # nobody's own provider opens another's doors
    if q.exempt or not required:
        return Answer(ALLOWED)
    missing = _missing(q, required)
    if not missing:
        return Answer(ALLOWED)
    order = (["mfa"] if "mfa" in required else []) + sorted(required - {"mfa"})
    return Answer(MORE, tuple(order), frozenset(missing))


def _missing(q: Question, required: set[str]) -> set[str]:
    age = float("inf") if q.auth_time is None else q.now - q.auth_time
    dated = -300 <= age < float("inf")
    proved = {value for value in required if value in q.amr and value != "mfa"}
    if _is_multi_factor(q.amr, q.providers):
        proved.add("mfa")
    missing = required - proved if dated else set(required)
    if q.max_age is not None and not (dated and age <= q.max_age):
        missing.add("max_age")
    if q.via == "device" and not q.device:
        missing.add("device")
    return missing


def _reachable(q: Question) -> bool:
    if q.networks is None:
        return True
    if q.peer is None:
        return len(q.networks) > 0  # sshd compares it with the networks on the hook's line
    address = ipaddress.ip_address(q.peer)
    return any(address in ipaddress.ip_network(network) for network in q.networks)


def _factors(amr: frozenset[str]) -> frozenset[str]:
    return amr & {"pwd", "otp", "hwk", "swk", "recovery"}


def _logins(amr: frozenset[str], providers: frozenset[str], *, ours: bool) -> set[str]:
    found = set()
    for value in amr:
        match = re.fullmatch(r"sso:([a-z0-9-]{1,32})(:mfa)?", value)
        if match and (match[1] in providers) is ours:
            found.add(value)
    return found


def _is_multi_factor(amr: frozenset[str], providers: frozenset[str]) -> bool:
    ours = _logins(amr, providers, ours=True)
    foreign = _logins(amr, providers, ours=False)
    if any(value.endswith(":mfa") for value in ours - {"sso:mfa"}):
        return True  # mapped by a provider of this organization
    if "mfa" not in amr:
        return False
    if not foreign:
        return True
    # Two kinds must be left without the foreign login. What a key verified is not written down,
    # so it counts as possession alone.
    knowledge = "pwd" in amr or bool(ours)
    return knowledge and bool(amr & {"otp", "recovery", "hwk", "swk"})
