"""Enrolling a machine that is a host already: it mends what is missing, and harms nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sshd_hook import hostfiles, paths
from sshd_hook.agent import host as agent_host
from tests.hosts import FOLDER, SERVICE, Host
from tests.test_enroll import state

if TYPE_CHECKING:
    from collections.abc import Callable

MEND = ("enroll", "--admin", "none")


@pytest.fixture(scope="module")
def host(joined_host: Host) -> Host:
    return joined_host


def damage(path: str) -> Callable[[Host], object]:
    return lambda host: host.machine.check("rm", path)


def lose_lines(path: str, change: Callable[[str], str]) -> Callable[[Host], object]:
    def lose(host: Host) -> None:
        file = host.machine.path(path)
        file.write_text(change(file.read_text()))

    return lose


DAMAGES = [
    pytest.param(lambda _host: None, id="nothing"),
    pytest.param(lose_lines(hostfiles.PAM, hostfiles.remove_pam), id="PAM's file was replaced"),
    pytest.param(lose_lines(hostfiles.NSSWITCH, hostfiles.remove_name_service), id="nsswitch"),
    pytest.param(damage(paths.SSHD_DROP_IN), id="sshd's file is gone"),
    pytest.param(damage(paths.PRINCIPALS), id="a program is gone"),
    pytest.param(damage(paths.USER_CA), id="the CA's keys are gone"),
    pytest.param(lambda h: h.machine.check("truncate", "-s0", paths.REVOKED), id="an empty KRL"),
    pytest.param(damage(paths.BUNDLE), id="the policy is gone"),
    pytest.param(damage(paths.NO_PRINCIPALS), id="the empty file is gone"),
    pytest.param(damage(paths.SHARED_UID), id="the shared uid is gone"),
    pytest.param(lambda h: h.machine.check("chmod", "777", paths.POLICY), id="an open folder"),
    pytest.param(lambda h: h.machine.check("userdel", paths.HOOK_USER), id="a user is gone"),
]


@pytest.mark.parametrize("spoil", DAMAGES)
def test_what_is_missing_is_mended_and_nothing_else_changes(
    host: Host, spoil: Callable[[Host], object]
) -> None:
    before = state(host)
    spoil(host)

    mended = host.command(*MEND)

    assert mended.status == 0, mended.err
    assert "already: what was missing was mended" in mended.out
    changed = {line.split()[0 if line[0] == "/" else 1] for line in set(state(host)) ^ set(before)}
    accounts = {"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"}
    assert changed - accounts <= {paths.FRESH}


def test_the_map_of_uids_is_not_written_while_an_agent_may_give_some(host: Host) -> None:
    before = host.machine.path(paths.UIDS).stat()
    host.machine.check("chmod", "644", paths.UIDS)

    mended = host.command(*MEND)

    after = host.machine.path(paths.UIDS).stat()
    assert mended.status == 0, mended.err
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


def test_the_same_line_again_spends_no_token(host: Host) -> None:
    asked = len(host.requests())

    again = host.enroll()

    assert again.status == 0, again.err
    assert not any(one["path"] == "/hosts/enroll" for one in host.requests()[asked:])


def test_a_host_that_the_ca_does_not_know_any_more_joins_anew(host: Host) -> None:
    key, uids = host.read(agent_host.KEY), host.read(paths.UIDS)
    host.machine.path(f"{FOLDER}/forgotten").touch()

    again = host.enroll()

    assert again.status == 0, again.err
    assert host.read(agent_host.KEY) != key
    assert host.read(paths.UIDS) == uids


def test_a_token_that_is_refused_leaves_the_host_as_it_was(host: Host) -> None:
    host.machine.path(f"{FOLDER}/forgotten").touch()
    host.machine.path(f"{FOLDER}/joined.json").rename(host.machine.path(f"{FOLDER}/away"))
    host.machine.path(f"{FOLDER}/joined.json").write_text("{}")
    before = state(host)

    again = host.enroll()

    assert again.status == 1
    assert state(host) == before
    host.machine.path(f"{FOLDER}/joined.json").write_text(json.dumps(host.ca.joined()))
    host.machine.path(f"{FOLDER}/forgotten").unlink(missing_ok=True)


def test_mending_needs_no_ca(host: Host) -> None:
    host.machine.check("rm", paths.SSHD_DROP_IN)
    host.machine.path(f"{FOLDER}/refuse").touch()

    mended = host.command(*MEND)

    host.machine.path(f"{FOLDER}/refuse").unlink()
    assert mended.status == 0, mended.err
    assert "The policy in place stays" in mended.out
    assert SERVICE.encode() in host.read(paths.UIDS)


def test_another_hosts_line_is_refused(host: Host) -> None:
    before = state(host)

    other = host.enroll("--name", "ssh2")

    assert other.status == 1
    assert "this is the host 'ssh1'" in other.err
    assert state(host) == before


def test_without_a_token_a_machine_that_is_no_host_is_told_what_to_do(fresh_host: Host) -> None:
    ended = fresh_host.command(*MEND)

    assert ended.status == 1
    assert "not enrolled" in ended.err
    assert "amrgate-ca host token" in ended.err
