"""The agent follows the CA within a second, and says what it obeys."""

from __future__ import annotations

import base64
import time

from sshd_hook import accounts, freshness, paths
from sshd_hook.agent import decisions
from tests.agents import FILES, OTHER, once, snapshot, start_agent
from tests.hosts import FOLDER, SERVICE, TOKEN, Host, wait_for


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


def test_a_map_from_a_backup_gives_nobody_the_files_of_others(joined: Host) -> None:
    backup, newest = joined.read(paths.UIDS), "aaaaaaaaaaaa1-main--app"
    for services in ((SERVICE, OTHER), (newest, SERVICE, OTHER)):
        joined.ca.services = services
        joined.publish()
        once(joined)
        uid = joined.machine.path(f"{paths.HOMES}/{OTHER}").stat().st_uid
        given = accounts.parse(joined.read(paths.UIDS)).live
        joined.machine.path(paths.UIDS).write_bytes(backup)

    assert (given[OTHER], len(set(given.values()))) == (uid, 3)
    joined.ca.services = (SERVICE,)
    joined.publish()
    once(joined)


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


def test_the_agent_goes_on_while_the_ca_is_away_and_when_it_is_back(agent: Host) -> None:
    refuse, log = (agent.machine.path(path) for path in (f"{FOLDER}/refuse", "/var/log/agent"))
    before = snapshot(agent)
    refuse.touch()
    agent.publish()
    away = "sshd-hook: 127.0.0.1 answered 403"
    wait_for(lambda: away in log.read_text())
    asked = len(agent.requests())
    wait_for(lambda: len(agent.requests()) >= asked + 2)
    assert snapshot(agent) == before

    refuse.unlink()

    wait_for(lambda: agent.installed()[0] == agent.ca.version)
    wait_for(lambda: "is heard again" in log.read_text().partition(away)[2])
    assert log.read_text().count(away) == 1, "one line, however often it asks"


def test_there_is_one_agent(agent: Host) -> None:
    assert "an agent runs already" in once(agent)


def test_the_agent_does_not_go_on_without_one_of_its_duties(joined: Host) -> None:
    """Else connections would stay open, or decisions away, and nobody would see why."""
    joined.machine.path(decisions.SPOOL).write_text("[" * 100_000)  # json fails as nobody foresaw

    pid = start_agent(joined)

    wait_for(lambda: not joined.machine.path(f"/proc/{pid}/exe").exists())
    assert "a duty failed, so the agent ends: RecursionError" in joined.machine.path(
        "/var/log/agent"
    ).read_text(errors="replace")
    joined.machine.path(decisions.SPOOL).unlink()


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
