"""The agent: follows the CA within a second, obeys nothing but its signed and current word, and
leaves every file whole wherever it is stopped."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from sshd_hook import accounts, bundle, freshness, paths
from sshd_hook.agent import apply, poll
from sshd_hook.agent import host as agent_host
from sshd_hook.agent.host import Floor
from tests.hosts import FOLDER, SERVICE, TOKEN, Host, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OTHER = "abcdefg123456-main-bvxea6i--other"
FILES = (paths.REVOKED, paths.USER_CA, paths.UIDS, paths.BUNDLE, paths.FRESH)
DAY = 86400


@pytest.fixture
def joined(joined_host: Host) -> Host:
    """A host that is enrolled and up to date; no agent runs."""
    joined_host.ca.services = (SERVICE,)
    joined_host.publish()
    once(joined_host)
    return joined_host


@pytest.fixture
def agent(joined: Host) -> Iterator[Host]:
    """The same, with its agent running."""
    pid = start_agent(joined)
    yield joined
    joined.machine.run("kill", str(pid))
    wait_for(lambda: not joined.machine.path(f"/proc/{pid}/exe").exists())


def start_agent(host: Host) -> int:
    pid = host.machine.spawn(paths.SSHD_HOOK, "agent", log="/var/log/agent")
    wait_for(lambda: f" {pid} " in host.machine.check("cat", "/proc/locks"))
    return pid


def once(host: Host) -> str:
    """Run the agent once; return what it said."""
    return host.machine.run(paths.SSHD_HOOK, "agent", "--once").err


def snapshot(host: Host) -> dict[str, bytes]:
    return {path: host.read(path) for path in FILES}


def test_a_change_is_in_place_within_a_second(agent: Host) -> None:
    seconds = []
    for services in ((SERVICE, OTHER), (OTHER,), (SERVICE,)):
        agent.ca.services = services
        agent.publish()
        begin = time.monotonic()
        while agent.installed() != (agent.ca.version, sorted(services)):
            assert time.monotonic() - begin < 10
        seconds.append(time.monotonic() - begin)

    assert min(seconds) < 1, seconds


def test_what_is_in_place_and_whose_it_is(joined: Host) -> None:
    stat = ("stat", "-c", "%U:%G %a", *FILES, paths.SHARED_UID)
    uid = accounts.parse(joined.read(paths.UIDS)).live[SERVICE]

    assert joined.machine.check(*stat).splitlines() == [
        "root:root 644",
        "root:root 644",
        "root:amrgate-userdb 640",
        "root:amrgate-hook 640",
        "root:amrgate-hook 640",
        "root:amrgate-hook 640",
    ]
    home = joined.machine.path(f"{paths.HOMES}/{SERVICE}").stat()
    assert (home.st_uid, home.st_gid, home.st_mode & 0o7777) == (uid, uid, 0o700)
    key = joined.ca.keys["user_ca"]
    assert joined.read(paths.USER_CA).decode().strip() == " ".join(key.split()[:2])


def test_the_ca_hears_what_is_obeyed_with_the_hosts_token(joined: Host) -> None:
    said = [note for note in joined.requests() if note["path"].endswith("/acknowledgement")]

    assert said[-1]["body"]["version"] == joined.ca.version
    assert said[-1]["authorization"] == f"Bearer {TOKEN}"


def test_quiet_times_bring_a_new_word_that_all_is_current(joined: Host) -> None:
    answer = joined.publish()
    once(joined)
    before = snapshot(joined)
    time.sleep(1.1)
    data = base64.b64decode(answer["bundle"])
    fresh = joined.ca.statement(data)
    signature = joined.ca.sign(freshness.NAMESPACE, fresh)
    renewed = {"fresh": fresh.decode(), "fresh_signature": signature, "bundle": None}
    joined.offer(answer | renewed)

    assert once(joined) == ""
    after = snapshot(joined)
    assert after.pop(paths.FRESH) == fresh != before.pop(paths.FRESH)
    assert after == before


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


def krl(data: bytes) -> dict[str, Any]:
    return {"krl": base64.b64encode(data).decode()}


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
    assert said.count("\n") == 1
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


@pytest.mark.attack(43)
def test_a_damaged_floor_is_named_and_nothing_is_taken(joined: Host) -> None:
    joined.machine.path(agent_host.FLOOR).write_text("garbage")
    before = snapshot(joined)
    joined.publish()

    assert agent_host.FLOOR in once(joined)
    assert snapshot(joined) == before
    joined.machine.check("rm", agent_host.FLOOR)


@pytest.mark.attack(41)
def test_a_bundle_with_any_byte_flipped_is_refused(joined: Host) -> None:
    """At every offset; at some of them even with a signed statement that names the bent bytes."""
    ca = joined.ca
    data = ca.bundle()
    fresh = ca.statement(data)
    known = agent_host.Host(ca.host_id, TOKEN, "ssh1", "http://127.0.0.1")
    signers = ca.directory / "signers"
    signers.write_bytes(agent_host.signers(ca.keys["bundle"], "amrgate-bundle,amrgate-fresh"))
    good = poll.Update(
        version=ca.version,
        bundle=data,
        bundle_signature=ca.sign(bundle.NAMESPACE, data),
        fresh=fresh,
        fresh_signature=ca.sign(freshness.NAMESPACE, fresh),
        krl=ca.krl(),
        services=(SERVICE,),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agent_host, "BUNDLE_SIGNERS", str(signers))
        apply.verify(good, known, Floor(), apply.Installed(), now())
        for offset in range(len(data)):
            bent = bytearray(data)
            bent[offset] ^= 1 << offset % 8
            digest = hashlib.sha256(bent).hexdigest()
            stated = ca.statement(data, digest=digest) if offset % 16 == 0 else fresh
            signature = ca.sign(freshness.NAMESPACE, stated) if stated != fresh else ""
            update = poll.Update(
                **{
                    **vars(good),
                    "bundle": bytes(bent),
                    "fresh": stated,
                    "fresh_signature": signature or good.fresh_signature,
                }
            )
            with pytest.raises(apply.Refused, match="amrgate-bundle: the signature"):
                apply.verify(update, known, Floor(), apply.Installed(), now())


def test_the_agent_goes_on_while_the_ca_is_away_and_when_it_is_back(agent: Host) -> None:
    refuse = agent.machine.path(f"{FOLDER}/refuse")
    before = snapshot(agent)
    refuse.touch()
    agent.publish()
    wait_for(lambda: "answered 403" in agent.machine.path("/var/log/agent").read_text())
    assert snapshot(agent) == before

    refuse.unlink()

    wait_for(lambda: agent.installed()[0] == agent.ca.version)


def test_there_is_one_agent(agent: Host) -> None:
    assert "an agent runs already" in once(agent)


def test_a_service_that_is_not_in_the_bundle_gets_no_account(joined: Host) -> None:
    joined.publish(services=[SERVICE, OTHER, "root", "../etc", f"{SERVICE}--0"])
    once(joined)

    assert joined.installed() == (joined.ca.version, [SERVICE])


def test_uids_outlive_services_and_come_back_to_them(joined: Host) -> None:
    joined.ca.services = (SERVICE, OTHER)
    joined.publish()
    once(joined)
    first = accounts.parse(joined.read(paths.UIDS))
    joined.ca.services = (SERVICE,)
    joined.publish()
    once(joined)
    without = accounts.parse(joined.read(paths.UIDS))
    joined.ca.services = (SERVICE, OTHER)
    joined.publish()
    once(joined)

    assert without.gone[OTHER] == first.live[OTHER]
    assert accounts.parse(joined.read(paths.UIDS)).live == first.live


def test_what_somebody_damaged_is_set_right_when_the_agent_starts(joined: Host) -> None:
    right = snapshot(joined)
    joined.machine.check("rm", paths.USER_CA, paths.REVOKED, paths.FRESH, paths.BUNDLE)

    once(joined)

    assert snapshot(joined) == right


@pytest.mark.attack(54)
@pytest.mark.parametrize("folder", [paths.POLICY, paths.CONFIGURATION, paths.AGENT])
def test_a_full_disk_changes_nothing_and_is_recovered_from(joined: Host, folder: str) -> None:
    before = snapshot(joined)
    joined.ca.krl_version += 1
    joined.publish()
    mount = (
        f"cp -a {folder} /run/copy; mount -t tmpfs -o size=1M,mode=755 full {folder};"
        f" cp -a /run/copy/. {folder}/; rm -r /run/copy;"
        f" dd if=/dev/zero of={folder}/filling bs=4096 2>&1 | grep -q 'No space'"
    )
    joined.machine.check("sh", "-c", mount)
    try:
        said = once(joined)
        assert "No space left" in said
        during = snapshot(joined)
        if folder == paths.POLICY:  # what comes before it in the order is new
            before |= {path: during[path] for path in (paths.REVOKED, paths.UIDS)}
            bundle.from_bytes(during[paths.BUNDLE])
        assert during == before
        joined.machine.check("rm", f"{folder}/filling")
        assert "obeying" in once(joined)
    finally:
        back = f"cp -a {folder} /run/copy; umount {folder}; cp -a /run/copy/. {folder}/"
        joined.machine.check("sh", "-c", f"{back}; rm -r /run/copy {folder}/filling; true")
    assert joined.installed()[0] == joined.ca.version


SYSCALLS = ("openat", "write", "fsync", "fchmod", "fchown", "rename", "unlink", "mkdir")
WRITTEN = (
    *FILES,
    agent_host.FLOOR,
    *(re.sub("([^/]+)$", r".\1.new", path) for path in (*FILES, agent_host.FLOOR)),
    *(paths.CONFIGURATION, paths.POLICY, paths.STATE, paths.AGENT, paths.HOMES),
)


@pytest.mark.attack(66)
def test_killed_at_any_system_call_it_leaves_each_file_old_or_new(joined: Host) -> None:
    """SIGKILL at the n-th call of each kind that has to do with our files, for each n there is."""
    runs = dict.fromkeys(SYSCALLS, 0)
    joined.machine.check("mkdir", "-p", "/run/trace")
    filters = [word for path in WRITTEN for word in ("-P", path)]
    for call in SYSCALLS:
        ended = 1
        while ended:
            runs[call] += 1
            new = f"abcdefg123456-main--{call}{runs[call]}"
            joined.ca.services = (SERVICE, new)
            joined.ca.krl_version += 1
            filters_home = ("-P", f"{paths.HOMES}/{new}")
            before = snapshot(joined)
            answer = joined.publish()
            inject = f"inject={call}:signal=KILL:when={runs[call]}"
            trace = ("strace", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject)
            ended = joined.machine.run(
                *trace, *filters, *filters_home, paths.SSHD_HOOK, "agent", "--once"
            ).status
            check_whole(joined, before, answer)
            assert runs[call] < 100
        assert joined.installed()[0] == joined.ca.version
    once(joined)
    assert snapshot(joined)[paths.FRESH] == answer["fresh"].encode()
    assert min(runs.values()) > 1, runs


def check_whole(host: Host, before: dict[str, bytes], answer: dict[str, Any]) -> None:
    after = snapshot(host)
    new = {
        paths.REVOKED: base64.b64decode(answer["krl"]),
        paths.USER_CA: before[paths.USER_CA],
        paths.BUNDLE: base64.b64decode(answer["bundle"]),
        paths.FRESH: answer["fresh"].encode(),
    }
    for path, data in new.items():
        assert after[path] in (before[path], data), path
    was, now_is = accounts.parse(before[paths.UIDS]), accounts.parse(after[paths.UIDS])
    assert (was.live | was.gone).items() <= (now_is.live | now_is.gone).items()
    # What is in place never rests on what is not.
    for name, uid in now_is.live.items():
        assert host.machine.path(f"{paths.HOMES}/{name}").stat().st_uid == uid
    if after[paths.FRESH] == new[paths.FRESH]:
        assert after[paths.BUNDLE] == new[paths.BUNDLE]
    if after[paths.BUNDLE] == new[paths.BUNDLE]:
        assert after[paths.REVOKED] == new[paths.REVOKED]
        assert set(now_is.live) == set(answer["services"])
