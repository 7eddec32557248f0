"""The agent leaves every file whole, wherever it is stopped and however full the disk is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sshd_hook import bundle, paths
from tests.agents import once, snapshot

if TYPE_CHECKING:
    from tests.hosts import Host


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
