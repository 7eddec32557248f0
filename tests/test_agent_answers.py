"""The agent obeys nothing but the signed and current word of its CA."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from sshd_hook import bundle, freshness, paths, statement
from sshd_hook.agent import host as agent_host
from tests.agents import DAY, once, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hosts import Host

Bend = "Callable[[Host], dict[str, Any]]"


def signed_fresh(host: Host, data: bytes, **changes: Any) -> dict[str, Any]:
    fresh = host.ca.statement(data, **changes)
    return {
        "fresh": fresh.decode(),
        "fresh_signature": host.ca.sign(freshness.NAMESPACE, fresh),
    }


def signed_bundle(host: Host, **changes: Any) -> dict[str, Any]:
    data = host.ca.bundle(**changes)
    return {
        "bundle": base64.b64encode(data).decode(),
        "bundle_signature": host.ca.sign(bundle.NAMESPACE, data),
        **signed_fresh(host, data),
    }


def by_another_key(host: Host) -> dict[str, Any]:
    data = host.ca.bundle()
    return {
        "bundle": base64.b64encode(data).decode(),
        "bundle_signature": host.ca.sign(bundle.NAMESPACE, data, "other"),
        **signed_fresh(host, data),
    }


def for_another_purpose(host: Host) -> dict[str, Any]:
    data = host.ca.bundle()
    return {
        "bundle": base64.b64encode(data).decode(),
        "bundle_signature": host.ca.sign("file", data),
        **signed_fresh(host, data),
    }


def fresh_by_another_key(host: Host) -> dict[str, Any]:
    data = host.ca.bundle()
    fresh = host.ca.statement(data)
    return {
        "bundle": base64.b64encode(data).decode(),
        "bundle_signature": host.ca.sign(bundle.NAMESPACE, data),
        "fresh": fresh.decode(),
        "fresh_signature": host.ca.sign(freshness.NAMESPACE, fresh, "other"),
    }


def another_bundle_than_named(host: Host) -> dict[str, Any]:
    return signed_bundle(host) | signed_fresh(host, host.ca.bundle(services=()))


def with_times(host: Host, **changes: Any) -> dict[str, Any]:
    data = host.ca.bundle()
    return {
        "bundle": base64.b64encode(data).decode(),
        "bundle_signature": host.ca.sign(bundle.NAMESPACE, data),
        **signed_fresh(host, data, **changes),
    }


def without_not_after(host: Host) -> dict[str, Any]:
    data = host.ca.bundle()
    fresh = re.sub(rb"not-after .*\n", b"", host.ca.statement(data))
    signature = host.ca.sign(freshness.NAMESPACE, fresh)
    return signed_bundle(host) | {"fresh": fresh.decode(), "fresh_signature": signature}


def now() -> int:
    return int(time.time())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def krl(data: bytes) -> dict[str, Any]:
    return {"krl": base64.b64encode(data).decode()}


# What JSON can hold and UTF-8 cannot, in what is read before any signature is looked at.
HALF_A_LETTER = (
    statement.render(statement.Statement(1 << 40, "ssh-ed25519 AAAA"))
    + f"{statement.BEGIN}\ud800\n{statement.END}"
)
REFUSED: list[Any] = [
    pytest.param(lambda h: signed_bundle(h, host_id="another"), id="another host's bundle"),
    pytest.param(lambda h: signed_bundle(h, version=1), id="not the version that it says"),
    pytest.param(by_another_key, id="signed by another key"),
    pytest.param(for_another_purpose, id="signed for another purpose"),
    pytest.param(fresh_by_another_key, id="freshness signed by another key"),
    pytest.param(another_bundle_than_named, id="not the bundle that freshness names"),
    pytest.param(lambda _: {"bundle": None}, id="no bundle where one is needed"),
    pytest.param(lambda _: {"bundle_signature": ""}, id="no signature"),
    pytest.param(lambda _: {"bundle_signature": "x" * 9000}, id="no real signature"),
    pytest.param(lambda _: {"bundle": "!"}, id="not base64"),
    pytest.param(lambda _: {"version": "1"}, id="not a number"),
    pytest.param(lambda _: {"services": [1]}, id="services that are no names"),
    pytest.param(lambda _: {"keys": [HALF_A_LETTER]}, id="a statement that is no text"),
    pytest.param(lambda _: {"keys": ["x"] * 1001}, id="too many statements"),
    pytest.param(lambda h: with_times(h, host_id="another"), id="another host's freshness"),
    pytest.param(
        lambda h: with_times(h, issued_at=now() - DAY, not_after=now() - 1),
        id="expired by a second",
        marks=pytest.mark.attack(44),
    ),
    pytest.param(
        lambda h: with_times(h, not_after=now() + 10 * DAY),
        id="absurdly long good",
        marks=pytest.mark.attack(44),
    ),
    pytest.param(without_not_after, id="good for ever", marks=pytest.mark.attack(44)),
    pytest.param(lambda h: with_times(h, issued_at=now() + 400), id="from the future"),
    pytest.param(lambda _: krl(b""), id="empty KRL", marks=pytest.mark.attack(46)),
    pytest.param(lambda h: krl(h.ca.krl()[:-1]), id="cut KRL", marks=pytest.mark.attack(46)),
    pytest.param(lambda h: krl(h.ca.krl()[:20]), id="KRL's head", marks=pytest.mark.attack(46)),
    pytest.param(lambda h: krl(h.ca.krl(9)), id="another KRL", marks=pytest.mark.attack(46)),
    pytest.param(
        lambda h: with_times(h, krl_digest=sha256(h.ca.krl(9))) | krl(h.ca.krl(9)),
        id="not the KRL's version",
        marks=pytest.mark.attack(46),
    ),
    pytest.param(lambda h: krl(b"X" + h.ca.krl()[1:]), id="no KRL", marks=pytest.mark.attack(46)),
    pytest.param(
        lambda h: krl(h.ca.keys["other"].encode()), id="KRL as text", marks=pytest.mark.attack(46)
    ),
    pytest.param(
        lambda h: signed_bundle(h, authorities=(b"\0\0\0\x0bssh-ed25519\0\0\0\x01x",)),
        id="a CA key that sshd cannot read",
        marks=pytest.mark.attack(66),
    ),
    pytest.param(
        lambda h: signed_bundle(h, authorities=(b"\0\0\0\x0bssh-x\nssh-y\0\0\0\x01x",)),
        id="a CA key with a line end",
        marks=pytest.mark.attack(66),
    ),
]


@pytest.mark.parametrize("bend", REFUSED)
def test_nothing_of_a_bad_answer_lands(joined: Host, bend: Callable[[Host], Any]) -> None:
    before = snapshot(joined)
    joined.ca.version += 1
    joined.offer(joined.ca.answer() | bend(joined))

    said = once(joined)

    assert said.startswith("sshd-hook: ")
    assert said.count("\n") == 1 + ("the clock is" in said)
    assert snapshot(joined) == before
    joined.publish()
    assert "obeying" in once(joined)


@pytest.mark.attack(43)
def test_nothing_older_ever_comes_back(joined: Host) -> None:
    old = joined.publish()
    once(joined)
    joined.publish()
    once(joined)
    before = snapshot(joined)
    joined.offer(old)

    assert "older" in once(joined)
    # Nor after the floor is lost, for what is in place is one too; nor after the bundle is.
    joined.machine.check("rm", agent_host.FLOOR)
    assert "older" in once(joined)
    assert snapshot(joined) == before
    joined.publish()
    once(joined)
    joined.machine.check("rm", paths.BUNDLE)
    joined.offer(old)
    assert "older" in once(joined)
    assert not joined.machine.path(paths.BUNDLE).exists()


@pytest.mark.attack(43)
def test_nor_after_a_boot(joined: Host) -> None:
    """Which leaves nothing in /run; the last policy's file is lost as well."""
    old = joined.publish()
    joined.publish()
    once(joined)
    joined.machine.check("rm", "-r", paths.RUN, paths.BUNDLE, paths.FRESH)
    joined.offer(old)

    assert "older" in once(joined)

    joined.publish()
    assert "obeying" in once(joined)
    joined.machine.check("mkdir", "-m", "755", paths.RUN)
    joined.machine.check("install", "-d", "-m", "700", "-o", paths.HOOK_USER, paths.VERDICTS)


@pytest.mark.attack(43)
@pytest.mark.attack(46)
def test_nor_does_an_older_revocation_list(joined: Host) -> None:
    joined.ca.krl_version += 1
    joined.publish()
    assert "obeying" in once(joined)
    before = snapshot(joined)
    joined.ca.krl_version -= 1
    joined.publish()

    try:
        assert "revocation list is older" in once(joined)
        assert snapshot(joined) == before
    finally:
        joined.ca.krl_version += 1


@pytest.mark.attack(46)
def test_nobody_without_the_bundle_key_leaves_entries_out_of_the_revocation_list(
    joined: Host,
) -> None:
    """They have the CA's certificate for HTTPS and all that it signed, the newest word included.

    The host keeps its list, and that word, which is good for a day at most, does not land.
    """
    older = joined.ca.krl()
    joined.ca.krl_version += 1
    whole, shorter = joined.ca.longer_krl(), joined.ca.krl()
    answers = []
    for _ in range(2):
        joined.ca.version += 1
        data = joined.ca.bundle()
        fresh = joined.ca.statement(data, krl_digest=sha256(whole))
        answers.append(joined.ca.answer(data, fresh, whole))
    first, newest = answers
    joined.offer(first)
    assert "obeying" in once(joined)
    before = snapshot(joined)
    assert before[paths.REVOKED] == whole

    for answer in (first, newest):
        for bent in (shorter, older):
            joined.offer(answer | krl(bent))
            assert "not the one that the freshness statement names" in once(joined)
            assert snapshot(joined) == before

    joined.offer(newest)
    assert "obeying" in once(joined)
    assert joined.read(paths.REVOKED) == whole


@pytest.mark.attack(43)
def test_a_damaged_floor_is_named_and_nothing_is_taken(joined: Host) -> None:
    joined.machine.path(agent_host.FLOOR).write_text("garbage")
    before = snapshot(joined)
    joined.publish()

    assert agent_host.FLOOR in once(joined)
    assert snapshot(joined) == before
    joined.machine.check("rm", agent_host.FLOOR)
