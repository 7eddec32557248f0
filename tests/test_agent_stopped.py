"""The agent leaves every file whole, wherever it is stopped and however full the disk is."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from sshd_hook import accounts, bundle, paths
from sshd_hook.agent import host as agent_host
from tests.agents import FILES, once, snapshot
from tests.hosts import SERVICE, Host


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
